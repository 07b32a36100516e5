"""What the language model's steps learn: which kinds of examples come when, and words, drawn beside the training."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from demo.training.conversations import Shares
from demo.training.examples import Batch, ExampleMaker
from demo.training.loop import SEED
from demo.training.readings import WORDS_FILE, Reading, read_codebooks, read_readings
from demo.training.vocabulary import trained_tokenizer
from demo.training.word_practice import LISTED, SENTENCES, Word, words_in

POOL = 25  # steps whose examples are drawn together
# Up to which share of the training: reading is learned on short prompts first; then come references and scenes, and at
# last conversations.
PHASES = (
    (0.3, Shares(reference=0.0, scene=0.0, conversation=0.0)),
    (0.95, Shares(reference=0.2, scene=0.05, conversation=0.1)),
    (1.0, Shares(reference=0.2, scene=0.05, conversation=0.5)),
)

Drawn = tuple[Batch, list[Word]]  # of a step


class Batches:
    """The steps' batches of about `positions` positions; with `workers`, drawn by so many processes ahead of the steps.
    The folder of readings may grow meanwhile."""

    def __init__(self, folder: Path, positions: int, workers: int) -> None:
        self._folder, self._positions, self._workers = folder, positions, workers
        self._pool = (
            ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) if workers else None
        )

    def of_steps(self, first: int, progress: Callable[[], float]) -> Iterator[Drawn]:
        """Those of step `first` and on, of the kinds for the progress when they are asked for, and words to practise
        on."""
        waiting = []
        for number in itertools.count(first // POOL):
            waiting.append(self._draw(number, progress()))
            if len(waiting) > 2 * self._workers:
                pool, drawn_number = waiting.pop(0), number - len(waiting)
                drawn = pool.result() if isinstance(pool, Future) else pool
                yield from drawn[max(0, first - drawn_number * POOL) :]  # the last run ended within a pool

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def _draw(self, number: int, progress: float) -> Future[list[Drawn]] | list[Drawn]:
        job = (self._folder, self._positions, number, shares_at(progress))
        return self._pool.submit(_draw_pool, *job) if self._pool else _draw_pool(*job)


def shares_at(progress: float) -> Shares:
    """Of the examples, at this share of the training."""
    return next(shares for end, shares in PHASES if progress < end or end == 1.0)


_known = dict[Path, list[Reading]]()  # what this process has read of a folder's files


def _draw_pool(folder: Path, positions: int, number: int, shares: Shares) -> list[Drawn]:
    words = folder.parent / WORDS_FILE
    for file in (words, *sorted(folder.glob("*.npz"))):
        if file not in _known:
            _known[file] = list(read_readings(file))
    readings = [reading for file in sorted(_known) if file.parent == folder for reading in _known[file]]
    maker = ExampleMaker(readings, read_codebooks(folder.parent), trained_tokenizer())
    generator = random.Random(SEED + number)
    batches = maker.batches(POOL, positions, generator, shares)
    practised = [
        [*generator.choices(readings, k=SENTENCES), *generator.choices(_known[words], k=LISTED)] for _ in batches
    ]
    return [
        (batch, [word for one in some for word in words_in(one)])
        for batch, some in zip(batches, practised, strict=True)
    ]
