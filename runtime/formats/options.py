"""The options of a request, each with its default, its range and what it does.

The text stage checks requests against this table, and `python -m tools.options` generates the client's class, its
command-line options and the documentation page from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

MAX_SEED = 2**63 - 1
MAX_SPEAKERS = 64
MAX_PRONUNCIATIONS = 200
LONGEST_CHUNK_SECONDS = 10.0
CHUNK_METHODS = ("auto", "speaker", "fixed", "semantic", "sentence", "none")
DIALOGUE_MODES = ("auto", "on", "off")
DIALOGUE_CONTEXTS = ("all", "own")
REFERENCE_PLACES = ("turns", "system")

AUDIO_QUALITY_PRESETS: dict[str, dict[str, Any]] = {
    "high_quality": {"temperature": 0.3, "top_p": 0.8, "max_part_seconds": 120.0},
    "balanced": {"temperature": 0.7, "top_p": 0.9, "max_part_seconds": 60.0},
    "fast_generation": {"temperature": 1.0, "top_p": 0.95, "max_part_seconds": 30.0},
}
DEFAULT_PRESET = "balanced"


class Bundle(str):
    """A value that the bundle's settings hold under this name, a field of `OptionLimits`."""


class Preset(str):
    """A value that each preset sets."""


@dataclass(frozen=True)
class OptionLimits:
    """What the engine behind a bundle allows, and what suits its model."""

    codebook_size: int
    frame_seconds: float
    max_seconds: float
    max_part_seconds: float
    max_timeout_seconds: float
    ras_window: int
    ras_max_repeats: int
    max_ras_window: int
    chunk_words: int
    dialogue_context: str
    max_scene_characters: int


@dataclass(frozen=True)
class Option:
    """One option. `low` and `high` are inclusive; for a string or a mapping they bound its length."""

    meaning: str
    default: Any
    low: float | Bundle | None = None
    high: float | Bundle | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class GenerationParams:
    """How to speak."""

    temperature: Annotated[
        float, Option("Randomness of each draw; 0 always takes the most likely code.", Preset(), 0.0, 2.0)
    ]
    top_k: Annotated[int, Option("Draw from the K most likely codes; 0 is off.", 50, 0, Bundle("codebook_size"))]
    top_p: Annotated[float, Option("Draw from the most likely codes that add up to P; 1 is off.", Preset(), 0.01, 1.0)]
    ras_window: Annotated[
        int,
        Option(
            "How far repetition-aware sampling looks back; 0 is off.",
            Bundle("ras_window"),
            0,
            Bundle("max_ras_window"),
            "frames",
        ),
    ]
    ras_max_repeats: Annotated[
        int,
        Option(
            "Repeats of a code in that window before it is drawn again.",
            Bundle("ras_max_repeats"),
            1,
            Bundle("max_ras_window"),
        ),
    ]
    seed: Annotated[int, Option("The same request and seed give the same audio.", 0, 0, MAX_SEED)]
    max_seconds: Annotated[
        float,
        Option(
            "Longest speech; one that reaches it ends with the finish reason `length`.",
            Bundle("max_seconds"),
            Bundle("frame_seconds"),
            Bundle("max_seconds"),
            "seconds",
        ),
    ]
    max_part_seconds: Annotated[
        float,
        Option(
            "Longest part: a turn of a dialogue, or a chunk of a long text.",
            Preset(),
            Bundle("frame_seconds"),
            Bundle("max_part_seconds"),
            "seconds",
        ),
    ]
    first_chunk_seconds: Annotated[
        float,
        Option(
            "Length of the first chunk of audio; a short one sounds earlier.",
            0.2,
            Bundle("frame_seconds"),
            LONGEST_CHUNK_SECONDS,
            "seconds",
        ),
    ]
    chunk_growth: Annotated[float, Option("Factor from one chunk's length to the next.", 1.5, 1.0, 4.0)]
    max_chunk_seconds: Annotated[
        float,
        Option(
            "Length of the longest chunk of audio; long ones cost less.",
            2.0,
            Bundle("frame_seconds"),
            LONGEST_CHUNK_SECONDS,
            "seconds",
        ),
    ]
    timeout_seconds: Annotated[
        float,
        Option(
            "Longest time from arrival to the last sample; past it the request fails with `GenerationTimeoutError`.",
            Bundle("max_timeout_seconds"),
            0.1,
            Bundle("max_timeout_seconds"),
            "seconds",
        ),
    ]
    # 35: the longest language tag that RFC 5646 requires every implementation to accept.
    language: Annotated[
        str,
        Option(
            "`en`, `zh`, `es` or `fr`, also with a region (`en-US`); empty: detected from the text.",
            "",
            0,
            35,
            "characters",
        ),
    ]
    system: Annotated[
        str | None,
        Option(
            'Instruction to the model, instead of the one it was trained with; "" for none.',
            None,
            0,
            Bundle("max_scene_characters"),
            "characters",
        ),
    ]
    scene: Annotated[
        str,
        Option(
            "Description of the recording's surroundings and of the speakers.",
            "",
            0,
            Bundle("max_scene_characters"),
            "characters",
        ),
    ]
    reference_place: Annotated[
        str,
        Option(
            "Where reference clips go: in `turns` of their own, or in the `system` message.",
            "turns",
            choices=REFERENCE_PLACES,
        ),
    ]
    speakers: Annotated[
        dict[str, str],
        Option("The voice of each speaker: a profile, or `feminine` or `masculine`.", {}, 0, MAX_SPEAKERS, "entries"),
    ]
    lexicon: Annotated[
        dict[str, str],
        Option(
            "Your own readings: maps whole words, case-sensitive, to what is said instead.",
            {},
            0,
            MAX_PRONUNCIATIONS,
            "entries",
        ),
    ]
    dialogue: Annotated[
        str,
        Option(
            "Whether labels such as `Anna:` name speakers: all do (`on`), none do (`off`), the text decides (`auto`).",
            "auto",
            choices=DIALOGUE_MODES,
        ),
    ]
    chunk_method: Annotated[
        str,
        Option(
            "How the text is cut into parts: by turns (`speaker`), by words (`fixed`), by sentences and "
            "paragraphs (`semantic`), after each sentence (`sentence`), not at all (`none`), or as suits the text "
            "(`auto`).",
            "auto",
            choices=CHUNK_METHODS,
        ),
    ]
    chunk_words: Annotated[int, Option("About how many words a part may have.", Bundle("chunk_words"), 5, 400, "words")]
    context_parts: Annotated[int, Option("How many of the last parts the next one has as context.", 3, 0, 16)]
    dialogue_context: Annotated[
        str,
        Option(
            "Whether a turn has `all` voices and turns as context, or only those of its `own` speaker.",
            Bundle("dialogue_context"),
            choices=DIALOGUE_CONTEXTS,
        ),
    ]
    pause_seconds: Annotated[float, Option("Silence between two parts.", 0.2, 0.0, 10.0, "seconds")]
    paragraph_pause_seconds: Annotated[
        float, Option("Silence where a paragraph or a turn ends.", 0.6, 0.0, 10.0, "seconds")
    ]
    text_timeout_seconds: Annotated[
        float,
        Option(
            "How long a stream that has spoken all its text waits for more; past it the request fails with "
            "`GenerationTimeoutError`.",
            60.0,
            0.1,
            Bundle("max_timeout_seconds"),
            "seconds",
        ),
    ]
    unfinished_seconds: Annotated[
        float,
        Option(
            "How long the beginning of a sentence waits for the rest, in a text that comes in pieces; past it, it is "
            "spoken as it is.",
            3.0,
            0.1,
            Bundle("max_timeout_seconds"),
            "seconds",
        ),
    ]
    runaway_guard: Annotated[bool, Option("End a part that is far too long, loops or falls silent.", True)]
    max_retries: Annotated[
        int, Option("Retries, with other seeds, of a part that ran away or stopped too early.", 2, 0, 10)
    ]
    hold_parts: Annotated[
        bool, Option("Send a part only when it is known to be good, so that it can always be retried.", False)
    ]
    fallback_modes: Annotated[
        bool, Option("Speak a part that an error of the server hit once more, with less, before giving up.", True)
    ]


_HINTS = get_type_hints(GenerationParams, include_extras=True)
OPTIONS: dict[str, Option] = {name: hint.__metadata__[0] for name, hint in _HINTS.items()}
KINDS: dict[str, Any] = {name: hint.__origin__ for name, hint in _HINTS.items()}
