"""What a caller may ask of the generation."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class GenerationParams:
    """Options of one request. None leaves the choice to the server, which also checks the values.

    A preset sets several of the others at once; its values live in the server, and options given beside it
    win.
    """

    preset: Literal["high_quality", "balanced", "fast_generation"] | None = None
    temperature: float | None = None  # 0 takes the most likely code
    top_k: int | None = None
    top_p: float | None = None
    ras_window: int | None = None  # frames looked back on by repetition-aware sampling; 0 turns it off
    ras_max_repeats: int | None = None  # repeats of a code in that window before it is drawn again
    seed: int | None = None  # the same request and seed give the same audio
    max_seconds: float | None = None  # of audio; then the finish reason is `length`
    max_part_seconds: float | None = None  # the same of each part: a turn of a dialogue, a chunk of a long text
    first_chunk_seconds: float | None = None  # of audio; small for an early first sound
    chunk_growth: float | None = None  # factor from one chunk's length to the next
    max_chunk_seconds: float | None = None  # of audio
    timeout_seconds: float | None = None  # of waiting; then GenerationTimeoutError
    language: Literal["en", "zh", "es", "fr"] | None = None  # else the server detects it
    system: str | None = None  # told to the model instead of what it was trained to be told; "" for nothing at all
    scene: str | None = None  # description of the recording's surroundings
    reference_place: Literal["turns", "system"] | None = None  # clips in turns of their own, or in the system message
    speakers: dict[str, str] | None = None  # speaker to voice profile, or to feminine | masculine: the model's choice
    lexicon: dict[str, str] | None = None  # whole words, case as written, to what is said instead of them
    dialogue: Literal["auto", "on", "off"] | None = None  # whether labels such as `Anna:` name speakers; auto finds out
    # How the text is cut into parts.
    chunk_method: Literal["auto", "speaker", "fixed", "semantic", "none"] | None = None
    chunk_words: int | None = None  # about how many words a part may have
    context_parts: int | None = None  # the most parts that the next one is spoken in view of
    # Whether turns see all voices and turns, or only their own speaker's.
    dialogue_context: Literal["all", "own"] | None = None
    pause_seconds: float | None = None  # of silence between two parts
    paragraph_pause_seconds: float | None = None  # the same where a paragraph or a turn ends
    runaway_guard: bool | None = None  # end a part that is far too long, loops or falls silent
    max_retries: int | None = None  # further attempts, with other seeds, at a part that ran away or came to nothing
    hold_parts: bool | None = None  # send a part only when it is known to be good, so that it can always be retried

    def to_options(self) -> dict[str, Any]:
        """The options that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}
