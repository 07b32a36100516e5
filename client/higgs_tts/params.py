"""What a caller may ask of the generation. Written by the bundle's tools/options.py: change it there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


def told(meaning: str, unit: str = "", on: bool | None = None) -> dict[str, Any]:
    """What is known of an option. `on`: what a switch is where nobody sets it."""
    return {"meaning": meaning, "unit": unit, "on": on}


@dataclass(frozen=True)
class GenerationParams:
    """Options of one request. None leaves the choice to the server, which also checks the values.

    A preset sets several of the others at once; its values live in the server, and options given beside it win.
    """

    preset: Literal["high_quality", "balanced", "fast_generation"] | None = field(
        default=None,
        metadata=told(
            "Values for several of the options at once.",
        ),
    )
    temperature: float | None = field(
        default=None,
        metadata=told(
            "Randomness of each draw; 0 always takes the most likely code.",
        ),
    )
    top_k: int | None = field(
        default=None,
        metadata=told(
            "Draw from the K most likely codes; 0 is off.",
        ),
    )
    top_p: float | None = field(
        default=None,
        metadata=told(
            "Draw from the most likely codes that add up to P; 1 is off.",
        ),
    )
    ras_window: int | None = field(
        default=None,
        metadata=told(
            "How far repetition-aware sampling looks back; 0 is off.",
            unit="frames",
        ),
    )
    ras_max_repeats: int | None = field(
        default=None,
        metadata=told(
            "Repeats of a code in that window before it is drawn again.",
        ),
    )
    seed: int | None = field(
        default=None,
        metadata=told(
            "The same request and seed give the same audio.",
        ),
    )
    max_seconds: float | None = field(
        default=None,
        metadata=told(
            "Longest speech; one that reaches it ends with the finish reason `length`.",
            unit="seconds",
        ),
    )
    max_part_seconds: float | None = field(
        default=None,
        metadata=told(
            "Longest part: a turn of a dialogue, or a chunk of a long text.",
            unit="seconds",
        ),
    )
    first_chunk_seconds: float | None = field(
        default=None,
        metadata=told(
            "Length of the first chunk of audio; a short one sounds earlier.",
            unit="seconds",
        ),
    )
    chunk_growth: float | None = field(
        default=None,
        metadata=told(
            "Factor from one chunk's length to the next.",
        ),
    )
    max_chunk_seconds: float | None = field(
        default=None,
        metadata=told(
            "Length of the longest chunk of audio; long ones cost less.",
            unit="seconds",
        ),
    )
    timeout_seconds: float | None = field(
        default=None,
        metadata=told(
            "Longest generation; past it the request fails with `GenerationTimeoutError`.",
            unit="seconds",
        ),
    )
    language: str | None = field(
        default=None,
        metadata=told(
            "`en`, `zh`, `es` or `fr`; empty: detected from the text.",
            unit="characters",
        ),
    )
    system: str | None = field(
        default=None,
        metadata=told(
            'Instruction to the model, instead of the one it was trained with; "" for none.',
            unit="characters",
        ),
    )
    scene: str | None = field(
        default=None,
        metadata=told(
            "Description of the recording's surroundings and of the speakers.",
            unit="characters",
        ),
    )
    reference_place: Literal["turns", "system"] | None = field(
        default=None,
        metadata=told(
            "Where reference clips go: in `turns` of their own, or in the `system` message.",
        ),
    )
    speakers: dict[str, str] | None = field(
        default=None,
        metadata=told(
            "The voice of each speaker: a profile, or `feminine` or `masculine`.",
            unit="entries",
        ),
    )
    lexicon: dict[str, str] | None = field(
        default=None,
        metadata=told(
            "Your own readings: maps whole words, case-sensitive, to what is said instead.",
            unit="entries",
        ),
    )
    dialogue: Literal["auto", "on", "off"] | None = field(
        default=None,
        metadata=told(
            "Whether labels such as `Anna:` name speakers: all do (`on`), none do (`off`), the text decides (`auto`).",
        ),
    )
    chunk_method: Literal["auto", "speaker", "fixed", "semantic", "none"] | None = field(
        default=None,
        metadata=told(
            "How the text is cut into parts: by turns (`speaker`), by words (`fixed`), by sentences and"
            " paragraphs (`semantic`), not at all (`none`), or as suits the text (`auto`).",
        ),
    )
    chunk_words: int | None = field(
        default=None,
        metadata=told(
            "About how many words a part may have.",
            unit="words",
        ),
    )
    context_parts: int | None = field(
        default=None,
        metadata=told(
            "How many of the last parts the next one has as context.",
        ),
    )
    dialogue_context: Literal["all", "own"] | None = field(
        default=None,
        metadata=told(
            "Whether a turn has `all` voices and turns as context, or only those of its `own` speaker.",
        ),
    )
    pause_seconds: float | None = field(
        default=None,
        metadata=told(
            "Silence between two parts.",
            unit="seconds",
        ),
    )
    paragraph_pause_seconds: float | None = field(
        default=None,
        metadata=told(
            "Silence where a paragraph or a turn ends.",
            unit="seconds",
        ),
    )
    runaway_guard: bool | None = field(
        default=None,
        metadata=told(
            "End a part that is far too long, loops or falls silent.",
            on=True,
        ),
    )
    max_retries: int | None = field(
        default=None,
        metadata=told(
            "Retries, with other seeds, of a part that ran away or stopped too early.",
        ),
    )
    hold_parts: bool | None = field(
        default=None,
        metadata=told(
            "Send a part only when it is known to be good, so that it can always be retried.",
            on=False,
        ),
    )

    def to_options(self) -> dict[str, Any]:
        """The options that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}
