"""What a caller may ask of the generation."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class GenerationParams:
    """Options of one request. None leaves the choice to the server, which also checks the values.

    A preset sets several of the others at once; its values live in the server, and options given beside it
    win.
    """

    preset: str | None = None  # high_quality | balanced | fast_generation
    temperature: float | None = None  # 0 takes the most likely code
    top_k: int | None = None
    top_p: float | None = None
    ras_window: int | None = None  # frames looked back on by repetition-aware sampling; 0 turns it off
    ras_max_repeats: int | None = None  # repeats of a code in that window before it is drawn again
    seed: int | None = None  # the same request and seed give the same audio
    max_seconds: float | None = None  # of audio; then the finish reason is `length`
    first_chunk_seconds: float | None = None  # of audio; small for an early first sound
    chunk_growth: float | None = None  # factor from one chunk's length to the next
    max_chunk_seconds: float | None = None  # of audio
    timeout_seconds: float | None = None  # of waiting; then GenerationTimeoutError
    scene: str | None = None  # description of the recording's surroundings

    def to_options(self) -> dict[str, str | int | float]:
        """The options that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}
