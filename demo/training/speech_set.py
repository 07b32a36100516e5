"""Speech to train and judge on: sentences of the domain, spoken by flite's voices, on disk as they are finished."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from demo.domain import Domain
from demo.training.flite import VOICES, speak
from runtime.formats.whole_files import whole_file

BLOCK = 50  # sentences per file: the most that a kill loses
INT16_SCALE = 32767
# The sets of the recipe: the seed their sentences are drawn with, and whether they are held out.
CODEC_SET, HELD_OUT, LANGUAGE_MODEL_SET = (1, False), (2, True), (3, False)


@dataclass(frozen=True)
class Utterance:
    """One sentence in one voice, as heard and as written; `audio` is float32 [samples]."""

    sentence: str
    written: str
    voice: str
    audio: np.ndarray


@dataclass(frozen=True)
class SpeechSet:
    """`count` sentences, each spoken by every voice, in `directory`."""

    directory: Path
    count: int
    seed: int
    held_out: bool
    sample_rate: int

    def make(self) -> None:
        """Speaks what does not exist yet."""
        self.directory.mkdir(parents=True, exist_ok=True)
        domain = Domain.load()
        blocks = self._blocks()
        with ThreadPoolExecutor() as pool:
            for number, sentences in enumerate(tqdm(blocks, desc=self.directory.name, unit="block")):
                file = self._file(number)
                if file.exists():
                    continue
                jobs = [(domain.written(sentence), voice) for sentence in sentences for voice in VOICES]
                spoken = pool.map(lambda job: speak(job[0], job[1], self.sample_rate), jobs)
                pcm = [np.round(audio * INT16_SCALE).astype(np.int16) for audio in spoken]
                with whole_file(file) as stream:
                    np.savez(stream, **{str(index): samples for index, samples in enumerate(pcm)})

    def utterances(self) -> Iterator[Utterance]:
        """Every utterance: the voices of the first sentence, of the second, …"""
        domain = Domain.load()
        for number, sentences in enumerate(self._blocks()):
            with np.load(self._file(number)) as arrays:
                for index, (sentence, voice) in enumerate((s, v) for s in sentences for v in VOICES):
                    audio = arrays[str(index)].astype(np.float32) / INT16_SCALE
                    yield Utterance(sentence, domain.written(sentence), voice, audio)

    def _blocks(self) -> list[list[str]]:
        sentences = Domain.load().sentences(self.count, self.seed, self.held_out)
        return [sentences[start : start + BLOCK] for start in range(0, len(sentences), BLOCK)]

    def _file(self, number: int) -> Path:
        return self.directory / f"{number:04d}.npz"
