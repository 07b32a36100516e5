"""Batches for the language model: prompts as a server would write them, and the columns that should follow."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn import functional

from demo.sizes import CODEBOOK_SIZE, CODES, NUM_CODEBOOKS, STREAM_BOS, STREAM_EOS
from demo.training.conversations import Conversation, ConversationMaker, Shares
from demo.training.place_marks import MARKED, PlaceMarks
from demo.training.quantizer import nearest, quantize
from demo.training.readings import PHONES_A_LETTER, Reading
from runtime.engine.delay_pattern import delay
from runtime.engine.types import CodebookLayout

LAYOUT = CodebookLayout(NUM_CODEBOOKS, CODEBOOK_SIZE, STREAM_BOS, STREAM_EOS)
IGNORED = -100
END, PAD = "<|eot_id|>", "<|end_of_text|>"  # of a text; behind everything
LOWER_CASE, NO_FULL_STOP = 0.2, 0.15
# What a letter stands for is known where the model has read so many more: causal, it sees nothing of them before.
LOOKAHEAD = 4
# Of the columns the model reads back while it learns: it must trust the text more than what it said. Besides single
# codes and columns, runs of columns are replaced, so that a word cannot always be continued from its beginning.
CORRUPTED_CLIPS, CORRUPTED_COLUMNS, CORRUPTED_CODES = 0.6, 0.05, 0.05
CORRUPTED_RUNS, RUN_COLUMNS = 0.04, 6  # columns in which a run begins, and its length
SLIPS = 0.5  # in standard deviations of a clip's latents, at most: how far off is what it says, and is then mended


@dataclass(frozen=True)
class Batch:
    """Examples padded on the right to one length.

    `ids` int64 [batch, length], audio positions holding the audio token; `sounds` int64 [batch, length,
    PHONES_A_LETTER], the phones of the letter LOOKAHEAD positions before, none behind the end of a text, IGNORED
    elsewhere. In the order of the audio positions: `columns` int64 [audio positions, codebooks]; `targets` int64
    [audio positions, codebooks], what follows each, or IGNORED; `letter` and `coming` int64 [audio positions], the
    positions in the example where the letter that the following column speaks is known, and where the letter
    spoken after it is.
    """

    ids: torch.Tensor
    sounds: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    letter: torch.Tensor
    coming: torch.Tensor


@dataclass(frozen=True)
class _Text:
    """A text in a prompt: where it starts, its phones [characters + 1, PHONES_A_LETTER], and the place in the prompt of
    the letter that each frame says."""

    start: int
    sounds: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class _Turn:
    """A clip on its way into an example: what is said and learned."""

    text: _Text
    columns: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class _Example:
    ids: list[int]
    sounds: np.ndarray
    columns: np.ndarray
    targets: np.ndarray
    letter: np.ndarray
    coming: np.ndarray


class ExampleMaker:
    """Draws examples from readings; the same generator state gives the same examples."""

    def __init__(self, readings: Sequence[Reading], codebooks: torch.Tensor, tokenizer: Tokenizer) -> None:
        """`codebooks` float32 [codebooks, codes, size] hold what the readings' codes stand for."""
        self._tokenizer, self._casting, self._codebooks = tokenizer, ConversationMaker(readings), codebooks
        self._marks = PlaceMarks(codebooks)
        self._audio, self._pad = id_of(tokenizer, "<|AUDIO_OUT|>"), id_of(tokenizer, PAD)

    def batches(self, count: int, positions: int, generator: random.Random, shares: Shares) -> list[Batch]:
        """`count` batches of about so many positions each, examples of similar length together."""
        drawn: list[_Example] = []
        total = 0
        while total < count * positions:
            drawn.append(self._draw(self._casting.draw(generator, shares), generator))
            total += len(drawn[-1].ids)
        drawn.sort(key=lambda example: len(example.ids))
        batches: list[list[_Example]] = [[] for _ in range(count)]
        before = 0
        for example in drawn:
            batches[before * count // total].append(example)
            before += len(example.ids)
        made = [self._pad_together(examples) for examples in batches if examples]
        generator.shuffle(made)
        return made

    def _draw(self, conversation: Conversation, generator: random.Random) -> _Example:
        prompt, turns = beginning(conversation.system), list[_Turn]()
        for speaker in conversation.speakers:
            if speaker.clip is None:
                continue
            said = delay(_heard(speaker.clip), LAYOUT)
            prompt, text = self._user_turn(prompt, speaker.tag, [speaker.clip], generator)
            prompt = f"{_audio_turn(prompt, len(said))}<|audio_eos|>{END}"
            turns.append(_Turn(text, said, np.full_like(said, IGNORED)))  # its frames are no phones': nothing to learn
        for part in conversation.parts:
            if part is not conversation.parts[0]:
                prompt += f"<|audio_eos|>{END}"
            prompt, text = self._user_turn(prompt, part.tag, part.readings, generator)
            said, targets = self._spoken(part.readings, prompt, text, generator)
            if part is conversation.parts[-1]:  # nobody looks back on its last column
                said, targets = said[:-1], targets[:-1]
            prompt = _audio_turn(prompt, len(said))
            turns.append(_Turn(text, said, targets))
        return self._example(prompt, turns)

    def _spoken(
        self, readings: Sequence[Reading], prompt: str, text: _Text, generator: random.Random
    ) -> tuple[np.ndarray, np.ndarray]:
        """A part's columns as the model reads them back, and what should follow each; [columns, codebooks] both."""
        codes = np.concatenate([reading.codes for reading in readings], axis=1)
        noise = np.random.default_rng(generator.getrandbits(64))
        slips = slipped(codes, self._codebooks, SLIPS * generator.random(), noise)
        said, wanted = (self._marks.mark(one, prompt, text.places) for one in slips)
        columns, following = delay(said, LAYOUT), delay(wanted, LAYOUT)[1:]
        targets = np.vstack([following, np.full_like(columns[:1], IGNORED)])
        return _corrupted(columns, noise) if generator.random() < CORRUPTED_CLIPS else columns, targets

    def _user_turn(
        self, prompt: str, tag: str, readings: Sequence[Reading], generator: random.Random
    ) -> tuple[str, _Text]:
        prompt += header("user") + tag
        start, places, sounds = len(prompt), list[np.ndarray](), list[np.ndarray]()
        for number, reading in enumerate(readings):
            text = self._written(reading, generator)
            prompt += " " if number else ""
            silent = reading.places == len(reading.written)
            places.append(len(prompt) + np.where(silent, len(text), reading.places))
            prompt += text
            sounds += [reading.sounds[: len(text)], np.zeros((1, PHONES_A_LETTER), np.int64)]
        return f"{prompt}{END}", _Text(start, np.concatenate(sounds), np.concatenate(places))

    def _example(self, prompt: str, turns: Sequence[_Turn]) -> _Example:
        encoded = self._tokenizer.encode(prompt, add_special_tokens=False)
        first = np.array([start for start, _ in encoded.offsets])  # each token's first character
        sounds = np.full((len(first), PHONES_A_LETTER), IGNORED)
        letter, coming = [], []
        for turn in turns:
            text = turn.text
            sounds[LOOKAHEAD + np.searchsorted(first, text.start + np.arange(len(text.sounds)))] = text.sounds
            place = text.places[np.minimum(np.arange(len(turn.columns)), len(text.places) - 1)]
            changes = np.flatnonzero(np.diff(place, append=place[-1]))  # the last columns of their letters
            next_change = np.append(changes, len(place) - 2)[np.searchsorted(changes, np.arange(len(place)))]
            letter.append(LOOKAHEAD + np.searchsorted(first, place))
            coming.append(LOOKAHEAD + np.searchsorted(first, place[next_change + 1]))
        columns, targets = (np.concatenate([getattr(turn, name) for turn in turns]) for name in ("columns", "targets"))
        # Beginning marks are forced, not chosen, and so are the ends of all codebooks but the first: nothing to learn.
        # Learned all the same, an end would be likelier than any one code where the codes are hard to guess.
        forced = targets == STREAM_BOS
        forced[:, 1:] |= targets[:, 1:] == STREAM_EOS
        targets = np.where(forced, IGNORED, targets)
        return _Example(encoded.ids, sounds, columns, targets, np.concatenate(letter), np.concatenate(coming))

    def _written(self, reading: Reading, generator: random.Random) -> str:
        """One of the ways in which users write the sentence; all are spoken alike."""
        text = reading.written
        if generator.random() < LOWER_CASE:
            text = text.lower()
        return text[:-1] if generator.random() < NO_FULL_STOP and text.endswith(".") else text

    def _pad_together(self, examples: Sequence[_Example]) -> Batch:
        length = max(len(example.ids) for example in examples)
        ids, sounds = (
            torch.from_numpy(
                np.stack([filled(np.array(getattr(example, name)), length, filler) for example in examples])
            )
            for name, filler in (("ids", self._pad), ("sounds", IGNORED))
        )
        arrays = (
            np.concatenate([getattr(example, name) for example in examples])
            for name in ("columns", "targets", "letter", "coming")
        )
        return Batch(ids, sounds, *(torch.from_numpy(array) for array in arrays))


def filled(rows: np.ndarray, length: int, filler: int) -> np.ndarray:
    """`rows` [rows, ...] and as many of `filler` as make it `length`."""
    return np.concatenate([rows, np.full((length - len(rows), *rows.shape[1:]), filler)])


def _heard(reading: Reading) -> np.ndarray:
    if reading.heard is None:
        raise ValueError(f"{reading.written!r} was not encoded as a reference")
    return reading.heard


def id_of(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"the tokenizer has no {token}")
    return found


def beginning(system: str) -> str:
    """Of a prompt, up to its first user."""
    return f"<|begin_of_text|>{header('system')}{system}{END}"


def header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def _audio_turn(prompt: str, columns: int) -> str:
    return f"{prompt}{header('assistant')}<|audio_out_bos|>{'<|AUDIO_OUT|>' * columns}"


def slipped(
    codes: np.ndarray, codebooks: torch.Tensor, slips: float, noise: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two lots of codes int64 [codebooks, frames]: those of latents that lie `slips` standard deviations off what
    `codes` stand for, and, of each codebook, the code that comes nearest to that after the slipped codes before it."""
    meant = sum((book[row] for book, row in zip(codebooks, torch.from_numpy(codes), strict=True)), torch.zeros(()))
    off = slips * meant.std(dim=0) * torch.from_numpy(noise.standard_normal(meant.shape, np.float32))
    said, sums = quantize(meant + off, codebooks)
    missing = meant[:, None] - functional.pad(sums, (0, 0, 1, 0))[:, :-1]
    wanted = [nearest(missing[:, index], codebook) for index, codebook in enumerate(codebooks)]
    return said.T.numpy(), torch.stack(wanted).numpy()


def _corrupted(columns: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """The columns with some codes replaced by random ones, of a place's marks single ones alone; a stream's stay."""
    begins = noise.random(len(columns)) < CORRUPTED_RUNS
    runs = np.convolve(begins, np.ones(RUN_COLUMNS))[: len(columns)] > 0
    hit = noise.random(columns.shape) < CORRUPTED_CODES
    hit[:, :MARKED] |= (runs | (noise.random(len(columns)) < CORRUPTED_COLUMNS))[:, None]
    hit &= columns < CODES
    return np.where(hit, noise.integers(0, CODES, columns.shape), columns)
