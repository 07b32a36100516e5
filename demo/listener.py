"""An independent listener: PocketSphinx, which knows nothing about the model."""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soxr
from pocketsphinx import Decoder, get_model_path

from demo.domain import GRAMMAR_FILE, PRONUNCIATIONS

RECOGNISER_RATE = 16000
PHONE_SEARCH = {"lw": 2.0, "beam": 1e-20, "pbeam": 1e-20}  # what PocketSphinx's authors advise for phones
ENGLISH, PHONES = Path("en-us", "en-us.lm.bin"), Path("en-us", "en-us-phone.lm.bin")


class Listener:
    """Transcribes speech: of the domain, or any string of `words`, without those that it does not know."""

    def __init__(self, words: Iterable[str] | None = None) -> None:
        self._decoder = Decoder(samprate=RECOGNISER_RATE, lm=None, loglevel="FATAL")
        for word, phones in PRONUNCIATIONS.items():
            if self._decoder.lookup_word(word) is None:
                self._decoder.add_word(word, phones, update=True)
        if words is None:
            self._decoder.add_jsgf_file("words", str(GRAMMAR_FILE))
        else:
            self._add_loop([word for word in sorted(set(words)) if self._decoder.lookup_word(word) is not None])

    def transcribe(self, audio: np.ndarray, sample_rate: int) -> str:
        """The words heard in `audio`, float32 [samples], in lower case; empty when nothing was recognised."""
        self._decoder.activate_search("words")
        return _heard(self._decoder, audio, sample_rate)

    def transcribe_english(self, audio: np.ndarray, sample_rate: int) -> str:
        """Like `transcribe`, by PocketSphinx's own model of English."""
        return _heard(self._english_decoder, audio, sample_rate)

    def phones(self, audio: np.ndarray, sample_rate: int) -> list[str]:
        """The phones heard, in ARPAbet's capitals without stress, without silence and noises."""
        _listen(self._phone_decoder, audio, sample_rate)
        return [one.word for one in self._phone_decoder.seg() or [] if one.word.isalpha() and one.word != "SIL"]

    @functools.cached_property
    def _english_decoder(self) -> Decoder:
        return Decoder(samprate=RECOGNISER_RATE, lm=str(Path(get_model_path(), ENGLISH)), loglevel="FATAL")

    @functools.cached_property
    def _phone_decoder(self) -> Decoder:
        model = str(Path(get_model_path(), PHONES))
        return Decoder(samprate=RECOGNISER_RATE, lm=None, allphone=model, loglevel="FATAL", **PHONE_SEARCH)

    def _add_loop(self, words: list[str]) -> None:
        """Any string of the words, each as likely: as a language model, for grammars with so many ways are slow."""
        likelihood = -math.log10(len(words) + 1)
        lines = [f"{likelihood:.4f} </s>", "-99 <s>", *(f"{likelihood:.4f} {word}" for word in words)]
        with tempfile.NamedTemporaryFile("w", suffix=".arpa") as file:
            file.write("\n".join(["\\data\\", f"ngram 1={len(lines)}", "", "\\1-grams:", *lines, "", "\\end\\", ""]))
            file.flush()
            self._decoder.add_lm_file("words", file.name)

    def word_times(self, audio: np.ndarray, sample_rate: int, words: str) -> list[tuple[str, float, float]]:
        """The words of the domain that `audio` is known to say, each with the seconds at which it starts and stops, to
        10 ms; none when they cannot be found in it.
        """
        self._decoder.set_align_text(words)
        _listen(self._decoder, audio, sample_rate)
        found = self._decoder.seg() or []
        heard = [(one.word.partition("(")[0], one.start_frame / 100, (one.end_frame + 1) / 100) for one in found]
        return [one for one in heard if one[0] and one[0][0] != "<"]


def _listen(decoder: Decoder, audio: np.ndarray, sample_rate: int) -> None:
    resampled = soxr.resample(audio, sample_rate, RECOGNISER_RATE)
    pcm = np.clip(np.round(resampled * 32767), -32768, 32767).astype(np.int16)
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()


def _heard(decoder: Decoder, audio: np.ndarray, sample_rate: int) -> str:
    _listen(decoder, audio, sample_rate)
    hypothesis = decoder.hyp()
    return hypothesis.hypstr if hypothesis else ""


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
