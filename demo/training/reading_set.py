"""`python -m demo.training.reading_set`: speaks and encodes what the language model learns to read.

Blocks are made independently of each other, each from its number alone: any number of processes, on any machine, can
make some of them, and a killed one goes on.
"""

from __future__ import annotations

import argparse
import functools
import random
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from demo.codec import SAMPLE_RATE
from demo.domain import Domain
from demo.training.flite import phones_of, pronunciations, speak
from demo.training.latent_set import CodeSpace, encode
from demo.training.letter_timing import LetterTiming, words_of
from demo.training.open_text import OpenText
from demo.training.phone_speech import PhoneSpeech, load
from demo.training.quantizer import quantize
from demo.training.readings import VOICES, WORDS_FILE, Reading, write_codebooks, write_readings
from demo.training.speech_set import HELD_OUT_SEED
from demo.training.spelling import Spelling
from demo.training.train_codec import code_space, load_parts

SENTENCES = 200  # of a block
REFERENCES = 40  # of a block's sentences whose readings are also encoded as reference clips are
SEED = 3
BLOCKS, BLOCK_HOURS = 100, 0.4  # of the recipe; about
TRAIN, HELD_OUT, HELD_OUT_OPEN = "reading_train", "reading_held_out", "reading_held_out_open"
LISTED = 150_000  # words that are drawn to be only read, 106,000 of them different
HELD_OUT_DOMAIN = 100
SPELLED_WORDS = 2000  # of the commonest, from which it is learned which letters spell which phones


_open_text = functools.cache(OpenText)


class ReadingMaker:
    """Has sentences said by `speech`, in the given code space; `codec` hears the reference clips, which flite says, and
    without one there are none."""

    def __init__(self, space: CodeSpace, speech: PhoneSpeech, codec: torch.nn.Module | None) -> None:
        self._space, self._speech, self._codec = space, speech, codec
        self._spelling = Spelling.learn(pronunciations(_open_text().frequent[:SPELLED_WORDS]))

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """The first voice reads each text, and the others take turns."""
        spoken_alone = pronunciations({word for text in texts for word in words_of(text)})
        first, *others = VOICES
        readings = []
        for place, text in enumerate(texts):
            phones = phones_of(text)
            timing = LetterTiming(text, [spoken_alone[word] for word in words_of(text)], phones, self._spelling)
            for voice in (first, others[place % len(others)]):
                readings.append(self._read(text, voice, phones, timing, place < REFERENCES))
        return readings

    def spell(self, words: Collection[str]) -> list[Reading]:
        """The words, as far as they are spoken at all, with what their letters stand for and without speech."""
        spoken_alone = pronunciations({word.lower() for word in words})
        return [
            Reading.silent(word, LetterTiming(word, [phones], phones, self._spelling).sounds)
            for word in words
            if (phones := spoken_alone[word.lower()])
        ]

    @torch.no_grad()
    def _read(self, text: str, voice: str, phones: Sequence[str], timing: LetterTiming, is_reference: bool) -> Reading:
        latents, counts = self._speech.speak(phones, voice)
        heard = encode(self._codec, speak(text, voice, SAMPLE_RATE)) if is_reference and self._codec else None
        return Reading(
            text,
            voice,
            self._codes(latents),
            None if heard is None else self._codes(heard),
            np.repeat(timing.places, counts),
            timing.sounds,
        )

    def _codes(self, latents: torch.Tensor) -> np.ndarray:
        return quantize(latents, self._space.codebooks)[0].T.numpy()


def make_block(folder: Path, number: int, maker: ReadingMaker | None = None) -> None:
    """Writes block `number`, the same wherever it is made; in a process of `main`'s with its maker."""
    text, generator = _open_text(), random.Random(f"{SEED} {number}")
    texts = [text.draw(generator) for _ in range(SENTENCES)]
    write_readings(block_file(folder, number), (maker or _inherited[0]).read(texts))


def block_file(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.npz"


_inherited = list[ReadingMaker]()  # by a forked process: a codec cannot be sent to one


def _inherit(maker: ReadingMaker) -> None:
    torch.set_num_threads(1)
    _inherited.append(maker)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of code space, phones and encoder")
    parser.add_argument(
        "--start", type=Path, help="the codec that the recipe starts from: without an encoder, it hears"
    )
    parser.add_argument("--out", type=Path, help="folder for the readings, if not that of the work")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help=f"how many, of {BLOCK_HOURS} hours each ({BLOCKS})")
    parser.add_argument("--first", type=int, default=0, help="number of the first block (0)")
    parser.add_argument("--workers", type=int, default=1, help="processes that make blocks (1)")
    arguments = parser.parse_args()
    work, out = arguments.work, arguments.out or arguments.work
    space, start = code_space(work, arguments.start)
    halves = ("encoder",) if (work / "encoder.pt").exists() else ()
    maker = ReadingMaker(space, load(work), load_parts(work, space, *halves, start=start).codec)
    folder = out / TRAIN
    folder.mkdir(parents=True, exist_ok=True)
    write_codebooks(out, space.codebooks)
    domain = Domain.load()
    sentences = domain.sentences(HELD_OUT_DOMAIN, HELD_OUT_SEED, held_out=True)
    for name, texts in (
        (HELD_OUT, [domain.written(sentence) for sentence in sentences]),
        (HELD_OUT_OPEN, [f"{sentence.capitalize()}." for sentence in _open_text().held_out.sentences]),
    ):
        if not (out / f"{name}.npz").exists():
            write_readings(out / f"{name}.npz", maker.read(texts))
    if not (out / WORDS_FILE).exists():
        write_readings(out / WORDS_FILE, maker.spell(_open_text().words(LISTED, random.Random(SEED))))
    numbers = range(arguments.first, arguments.first + arguments.blocks)
    missing = [number for number in numbers if not block_file(folder, number).exists()]
    with ProcessPoolExecutor(arguments.workers, get_context("fork"), _inherit, (maker,)) as pool:
        made = pool.map(functools.partial(make_block, folder), missing)
        for _ in tqdm(made, total=len(missing), desc=TRAIN, unit="block", mininterval=20):
            pass


if __name__ == "__main__":
    main()
