"""What the client returns: chunks while the speech is generated, and the whole speech at the end."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .pcm import AudioFile
from .words import PartText, TimedWord

FinishReason = Literal["stop", "length", "runaway", "cancelled"]


@dataclass(frozen=True)
class SpeechPart:
    """A turn of a dialogue or a chunk of a long text, as it was spoken."""

    speaker: str | None
    text: str  # as the model read it
    written: str  # as it was given, without marks that are not spoken
    characters: tuple[int, int]  # where that stands in the given text; of a part that was cut, as far as spoken
    start: float  # seconds from the beginning of the stream
    stop: float  # seconds, without the pause after it
    finish_reason: FinishReason
    retries: int  # attempts before this one
    words: tuple[TimedWord, ...] = ()  # estimated; of a part that was cut, those that were spoken


@dataclass(frozen=True)
class SpeechReport:
    """What the server reports at the end of a stream."""

    language: str  # ISO 639-1
    language_quality: Literal["high", "medium", "unknown"]  # how well the model is known to speak it
    voices: dict[str, str | None]  # voice profile of each speaker, "" in a text without names; None: no profile
    seed: int
    retries: int  # of all parts
    parts: tuple[SpeechPart, ...]
    error_chain: tuple[str, ...] = ()  # errors of the server that did not end it: "CLASS: what was tried"
    text_tokens: int = 0  # of all parts, as the model reads them
    frames: int = 0  # of codes that were spoken, without pauses
    warnings: tuple[str, ...] = ()  # sentences on what may not sound as written

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers the server found in the text; empty when it did not take the text for a dialogue."""
        return tuple(name for name in self.voices if name)

    def heard(self, seconds: float) -> int:
        """How many characters of the given text a listener has heard who left after so many seconds of audio.

        Whole words, by the estimate of when they are heard; one that was half heard counts.
        """
        whole = [part.characters[1] for part in self.parts if part.stop <= seconds]
        words = [word.characters[1] for part in self.parts for word in part.words if word.middle <= seconds]
        return max([0, *whole, *words])

    @classmethod
    def read(cls, text: str) -> "SpeechReport":
        """Parse the server's JSON. Raises ValueError when it is not a report."""
        try:
            values = json.loads(text)
            parts = tuple(
                SpeechPart(**part | {"speaker": part["speaker"] or None, "characters": tuple(part["characters"])})
                for part in values["parts"]
            )
            language, chain = values["language"], tuple(values.get("error_chain", ()))
            tokens = values.get("text_tokens", 0), values.get("frames", 0)
            return cls(
                language["code"],
                language["quality"],
                values["voices"],
                values["seed"],
                values["retries"],
                parts,
                chain,
                *tokens,
                tuple(values.get("warnings", ())),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"its report lacks or misplaces {error}") from None


@dataclass(frozen=True, eq=False)
class AudioChunk:
    """A piece of the stream. Only the last one has a finish reason, and it may hold no samples."""

    samples: NDArray[np.float32]  # [n], mono, in [-1, 1]
    start_sample: int  # position of the first sample in the stream
    sample_rate: int  # Hz
    finish_reason: FinishReason | None
    received_at: float  # seconds on the clock of time.monotonic()
    speaker: str | None = None  # who speaks, where the text says so
    part: int = 0  # number of the part it belongs to, from 0
    report: SpeechReport | None = None  # with the finish reason
    said: PartText | None = None  # what the part says, with the first chunk of each

    @property
    def start(self) -> float:
        """Seconds of the stream at which it begins."""
        return self.start_sample / self.sample_rate

    @property
    def stop(self) -> float:
        """Seconds of the stream at which it ends."""
        return (self.start_sample + len(self.samples)) / self.sample_rate


@dataclass(frozen=True, eq=False)
class Speech:
    """A finished stream in one piece."""

    samples: NDArray[np.float32]  # [n], mono, in [-1, 1]
    sample_rate: int  # Hz
    finish_reason: FinishReason
    time_to_first_audio: float | None  # seconds from sending the request; None when no sample came
    elapsed: float  # seconds from sending the request to the last chunk
    report: SpeechReport | None = None  # None when the stream was cancelled before the server had one

    @classmethod
    def from_chunks(cls, chunks: Sequence[AudioChunk], started_at: float) -> "Speech":
        """Join the chunks of one finished stream, at least one.

        `started_at`: when the request was sent, on the clock of time.monotonic().
        """
        last = chunks[-1]
        first_audio = next((chunk.received_at for chunk in chunks if len(chunk.samples)), None)
        return cls(
            samples=np.concatenate([chunk.samples for chunk in chunks]),
            sample_rate=last.sample_rate,
            finish_reason=last.finish_reason or "cancelled",
            time_to_first_audio=None if first_audio is None else first_audio - started_at,
            elapsed=last.received_at - started_at,
            report=last.report,
        )

    @property
    def parts(self) -> tuple[SpeechPart, ...]:
        """Who said what, from when to when."""
        return self.report.parts if self.report else ()

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """Every word and about when it is heard."""
        return tuple(word for part in self.parts for word in part.words)

    @property
    def retries(self) -> int:
        """How many attempts at parts the server threw away."""
        return self.report.retries if self.report else 0

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.samples) / self.sample_rate

    @property
    def real_time_factor(self) -> float:
        """Seconds of waiting per second of audio: below 1 is faster than real time. Infinite without audio."""
        return self.elapsed / self.seconds if len(self.samples) else math.inf

    def save(self, path: str | PathLike[str]) -> None:
        """Write an audio file; the name's extension chooses the format (wav, flac, ogg, ...).

        Raises AudioFormatError for an extension that cannot be written and OSError when the file cannot be written.
        """
        with AudioFile(path, self.sample_rate) as file:
            file.write(self.samples)
