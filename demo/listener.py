"""An independent listener: PocketSphinx with the domain's grammar, which knows nothing about the model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import soxr
from pocketsphinx import Decoder

from demo.domain import GRAMMAR_FILE, PRONUNCIATIONS

RECOGNISER_RATE = 16000


class Listener:
    """Transcribes speech of the domain."""

    def __init__(self) -> None:
        self._decoder = Decoder(samprate=RECOGNISER_RATE, lm=None, loglevel="FATAL")
        for word, phones in PRONUNCIATIONS.items():
            if self._decoder.lookup_word(word) is None:
                self._decoder.add_word(word, phones, update=True)
        self._decoder.add_jsgf_file("domain", str(GRAMMAR_FILE))

    def transcribe(self, audio: np.ndarray, sample_rate: int) -> str:
        """The words heard in `audio`, float32 [samples], in lower case; empty when nothing was recognised."""
        self._decoder.activate_search("domain")
        self._listen(audio, sample_rate)
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""

    def word_times(self, audio: np.ndarray, sample_rate: int, words: str) -> list[tuple[str, float, float]]:
        """The words of the domain that `audio` is known to say, each with the seconds at which it starts and stops, to
        10 ms; none when they cannot be found in it.
        """
        self._decoder.set_align_text(words)
        self._listen(audio, sample_rate)
        found = self._decoder.seg() or []
        heard = [(one.word.partition("(")[0], one.start_frame / 100, (one.end_frame + 1) / 100) for one in found]
        return [one for one in heard if one[0] and one[0][0] != "<"]

    def _listen(self, audio: np.ndarray, sample_rate: int) -> None:
        resampled = soxr.resample(audio, sample_rate, RECOGNISER_RATE)
        pcm = np.clip(np.round(resampled * 32767), -32768, 32767).astype(np.int16)
        self._decoder.start_utt()
        self._decoder.process_raw(pcm.tobytes(), full_utt=True)
        self._decoder.end_utt()


def word_errors(said: str, heard: str) -> int:
    """Substitutions, insertions and deletions between two transcripts: Levenshtein's distance over words."""
    expected, found = said.split(), heard.split()
    row = list(range(len(found) + 1))
    for place, word in enumerate(expected, start=1):
        previous, row[0] = row[0], place
        for column, other in enumerate(found, start=1):
            previous, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, previous + (word != other))
    return row[-1]


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Word errors over words said, of (said, heard) pairs."""
    errors = words = 0
    for said, heard in pairs:
        errors += word_errors(said, heard)
        words += len(said.split())
    return errors / words
