"""What the language model learns to read: sentences in codes, with the word that each frame belongs to.

Most are sentences of the domain; some are loose strings of its words, which cannot be continued from memory. Each
reading begins somewhere else within its first frame, so that no two clips share their frames' borders.
"""

from __future__ import annotations

import functools
import itertools
import random
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from demo.codec import SAMPLE_RATE
from demo.domain import Domain, is_held_out
from demo.training.codec_parts import CodecParts
from demo.training.features import HOP
from demo.training.flite import VOICES, Phone, pronunciation, speak_timed
from demo.training.latent_set import CodeSpace
from demo.training.quantizer import quantize
from demo.training.word_timing import word_of_frames
from runtime.formats.whole_files import whole_file

BLOCK = 50  # sentences per file: the most that a kill loses
# In the first blocks every voice reads each sentence, and some readings are also encoded as reference clips are, which
# takes longest; in the others the first voice reads each sentence, and the other voices take turns.
REFERENCE_BLOCKS, REFERENCES = 100, 10
LOOSE_EVERY_NTH = 4
LOOSE_WORDS = (2, 8)


@dataclass(frozen=True)
class Reading:
    """One sentence in one voice.

    `codes` int64 [codebooks, frames] are what the model is to say, from the speech's own latents; `heard`, of some
    readings, are the same frames as the codec's encoder hears them, which is what a reference clip looks like. `words`
    int64 [frames] is the number of the word spoken, the sentence's number of words in the silence at the end.
    """

    sentence: str
    written: str
    voice: str
    codes: np.ndarray
    heard: np.ndarray | None
    words: np.ndarray


@dataclass(frozen=True)
class ReadingSet:
    """`count` sentences, read by the voices, in `directory`."""

    directory: Path
    count: int
    seed: int
    held_out: bool

    def make(self, space: CodeSpace, parts: CodecParts) -> None:
        """Speaks and encodes what does not exist yet."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor() as pool:
            for number, sentences in enumerate(tqdm(self._blocks(), desc=self.directory.name, unit="block")):
                if self._file(number).exists():
                    continue
                jobs = [
                    (
                        sentence,
                        voice,
                        number < REFERENCE_BLOCKS and place < REFERENCES,
                        0 if self.held_out else zlib.crc32(f"{number} {place} {voice}".encode()) % HOP,
                    )
                    for place, sentence, voice in _assigned(number, sentences)
                ]
                readings = pool.map(functools.partial(_read, space, parts), jobs)
                arrays = {f"{index}_{name}": array for index, reading in enumerate(readings)
                          for name, array in reading.items()}  # fmt: skip
                with whole_file(self._file(number)) as stream:
                    np.savez(stream, **arrays)

    def readings(self) -> Iterator[Reading]:
        """Every reading: those of the first sentence, of the second, …"""
        domain = Domain.load()
        for number, sentences in enumerate(self._blocks()):
            with np.load(self._file(number)) as arrays:
                for index, (_, sentence, voice) in enumerate(_assigned(number, sentences)):
                    heard = f"{index}_heard"
                    yield Reading(
                        sentence,
                        domain.written(sentence),
                        voice,
                        codes=arrays[f"{index}_codes"].astype(np.int64),
                        heard=arrays[heard].astype(np.int64) if heard in arrays else None,
                        words=arrays[f"{index}_words"].astype(np.int64),
                    )

    def _blocks(self) -> list[list[str]]:
        domain, generator = Domain.load(), random.Random(self.seed)
        if self.held_out:
            sentences = domain.sentences(self.count, self.seed, held_out=True)
        else:
            drawn = (domain.draw(generator) for _ in itertools.count())
            sentences = list(itertools.islice((one for one in drawn if not is_held_out(one)), self.count))
            for place in range(0, len(sentences), LOOSE_EVERY_NTH):
                sentences[place] = " ".join(generator.choices(domain.words, k=generator.randint(*LOOSE_WORDS)))
        return [sentences[start : start + BLOCK] for start in range(0, len(sentences), BLOCK)]

    def _file(self, number: int) -> Path:
        return self.directory / f"{number:04d}.npz"


def _assigned(number: int, sentences: Sequence[str]) -> list[tuple[int, str, str]]:
    """Who reads what in block `number`: (place in the block, sentence, voice)."""
    first, *others = VOICES
    return [
        (place, sentence, voice)
        for place, sentence in enumerate(sentences)
        for voice in (VOICES if number < REFERENCE_BLOCKS else (first, others[place % len(others)]))
    ]


@torch.no_grad()
def _read(space: CodeSpace, parts: CodecParts, job: tuple[str, str, bool, int]) -> dict[str, np.ndarray]:
    """One reading's arrays, int16. A job: sentence, voice, whether it is a reference, samples before it begins."""
    sentence, voice, is_reference, late = job
    audio, phones = speak_timed(Domain.load().written(sentence), voice, SAMPLE_RATE)
    audio = np.concatenate([np.zeros(late, np.float32), audio])
    phones = [Phone(phone.name, phone.end + late / SAMPLE_RATE) for phone in phones]
    codes = quantize(space.latents.latents(audio), space.codebooks)[0].T.to(torch.int16).numpy()
    alone = [pronunciation(word) for word in sentence.split()]
    arrays = {"codes": codes, "words": word_of_frames(alone, phones, codes.shape[1], HOP / SAMPLE_RATE)}
    if is_reference:
        framed = functional.pad(torch.from_numpy(audio), (0, -len(audio) % HOP))
        arrays["heard"] = quantize(parts.encode(framed[None])[0], space.codebooks)[0].T.to(torch.int16).numpy()
    return arrays
