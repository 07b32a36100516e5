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
            "Spread of the draw of each code; 0 takes the most likely one.",
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
            "Longest speech; then the finish reason is `length`.",
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
            "Longest generation; then `GenerationTimeoutError`.",
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
            'What the model is told to do, instead of what it was trained with; "" for nothing.',
            unit="characters",
        ),
    )
    scene: str | None = field(
        default=None,
        metadata=told(
            "Description of the recording's surroundings, and of speakers.",
            unit="characters",
        ),
    )
    reference_place: Literal["turns", "system"] | None = field(
        default=None,
        metadata=told(
            "Where clips stand: in `turns` of their own, or in the `system` message.",
        ),
    )
    speakers: dict[str, str] | None = field(
        default=None,
        metadata=told(
            "Speaker to voice: a profile, or `feminine` or `masculine`.",
            unit="entries",
        ),
    )
    lexicon: dict[str, str] | None = field(
        default=None,
        metadata=told(
            "Readings of your own: whole words, case as written, to what is said instead.",
            unit="entries",
        ),
    )
    dialogue: Literal["auto", "on", "off"] | None = field(
        default=None,
        metadata=told(
            "Whether labels such as `Anna:` name speakers: all do (`on`), none (`off`), or as the text shows (`auto`).",
        ),
    )
    chunk_method: Literal["auto", "speaker", "fixed", "semantic", "none"] | None = field(
        default=None,
        metadata=told(
            "How the text is cut into parts: turns stay whole (`speaker`), by words (`fixed`), by "
            "sentences and paragraphs (`semantic`), not at all (`none`), or as suits it (`auto`).",
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
            "How many of the last parts the next one is spoken in view of.",
        ),
    )
    dialogue_context: Literal["all", "own"] | None = field(
        default=None,
        metadata=told(
            "Whether a turn is spoken in view of `all` voices and turns, or of its `own` speaker's only.",
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
            "Further attempts, with other seeds, at a part that ran away or came to nothing.",
        ),
    )
    hold_parts: bool | None = field(
        default=None,
        metadata=told(
            "Send a part only when it is known to be good, so that it can always be tried again.",
            on=False,
        ),
    )

    def to_options(self) -> dict[str, Any]:
        """The options that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}
