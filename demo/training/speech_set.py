"""Speech to train and judge on: sentences spoken by flite's voices, on disk as they are finished."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from demo.codec import SAMPLE_RATE
from demo.domain import Domain
from demo.training.flite import speak
from demo.training.open_text import OpenText
from demo.training.readings import VOICES
from runtime.formats.whole_files import whole_file

BLOCK = 50  # sentences per file: the most that a kill loses
INT16_SCALE = 32767
CODEC_SEED, HELD_OUT_SEED = 1, 2


@dataclass(frozen=True)
class Utterance:
    """One sentence in one voice, as heard and as written; `audio` is float32 [samples]."""

    sentence: str
    written: str
    voice: str
    audio: np.ndarray


@dataclass(frozen=True)
class SpeechSet:
    """Sentences as `written`, each spoken by every voice, in `directory`."""

    directory: Path
    written: Sequence[str]

    @classmethod
    def taught(cls, work: Path, count: int) -> SpeechSet:
        """Open text, for the codec."""
        text, generator = OpenText(), random.Random(CODEC_SEED)
        return cls(work / "speech_train", [text.draw(generator) for _ in range(count)])

    @classmethod
    def held_out(cls, work: Path, count: int) -> SpeechSet:
        """Sentences of the domain."""
        domain = Domain.load()
        sentences = domain.sentences(count, HELD_OUT_SEED, held_out=True)
        return cls(work / "speech_held_out", [domain.written(sentence) for sentence in sentences])

    @classmethod
    def held_out_open(cls, work: Path) -> SpeechSet:
        """Open text."""
        return cls(work / "speech_held_out_open", [f"{one.capitalize()}." for one in OpenText().held_out.sentences])

    def make(self) -> None:
        """Speaks what does not exist yet."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor() as pool:
            for number, texts in enumerate(tqdm(self._blocks(), desc=self.directory.name, unit="block")):
                file = self._file(number)
                if file.exists():
                    continue
                jobs = [(text, voice) for text in texts for voice in VOICES]
                spoken = pool.map(lambda job: speak(job[0], job[1], SAMPLE_RATE), jobs)
                pcm = [np.round(audio * INT16_SCALE).astype(np.int16) for audio in spoken]
                with whole_file(file) as stream:
                    np.savez(stream, **{str(index): samples for index, samples in enumerate(pcm)})

    def utterances(self) -> Iterator[Utterance]:
        """Every utterance: the voices of the first sentence, of the second, …"""
        for number, texts in enumerate(self._blocks()):
            with np.load(self._file(number)) as arrays:
                for index, (text, voice) in enumerate((text, voice) for text in texts for voice in VOICES):
                    yield Utterance(bare(text), text, voice, arrays[str(index)].astype(np.float32) / INT16_SCALE)

    def _blocks(self) -> list[Sequence[str]]:
        return [self.written[start : start + BLOCK] for start in range(0, len(self.written), BLOCK)]

    def _file(self, number: int) -> Path:
        return self.directory / f"{number:04d}.npz"


def bare(text: str) -> str:
    """The words of a text as a recogniser writes them."""
    return " ".join(re.findall(r"[a-z']+", text.lower().replace("-", " ")))
