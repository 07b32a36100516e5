"""Batches for the language model: prompts as a server would write them, and the columns that should follow."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer

from demo.sizes import CODEBOOK_SIZE, CODES, NUM_CODEBOOKS, STREAM_BOS, STREAM_EOS
from demo.training.conversations import Conversation, ConversationMaker, Shares
from demo.training.readings import Reading
from runtime.engine.delay_pattern import delay
from runtime.engine.types import CodebookLayout

LAYOUT = CodebookLayout(NUM_CODEBOOKS, CODEBOOK_SIZE, STREAM_BOS, STREAM_EOS)
IGNORED = -100
LOWER_CASE, NO_FULL_STOP = 0.2, 0.15
WORD = re.compile(r"\S+\s?")  # with what follows it, where a causal model has read all of it
# Of the columns the model reads back while it learns: it must trust the text more than what it said. Besides single
# codes and columns, runs of columns are replaced, so that a word cannot always be continued from its beginning.
CORRUPTED_CLIPS, CORRUPTED_COLUMNS, CORRUPTED_CODES = 0.6, 0.05, 0.05
CORRUPTED_RUNS, RUN_COLUMNS = 0.04, 6  # columns in which a run begins, and its length
# Some columns of a reference clip are learned as well; none of its beginning, where the voice cannot be known.
VOICE_KNOWN, REFERENCE_LEARNED = 16, 0.4


@dataclass(frozen=True)
class Batch:
    """Examples padded on the right to one length.

    `ids` int64 [batch, length], audio positions holding the audio token; in the order of those positions: `columns`
    int64 [audio positions, codebooks]; `targets` int64 [audio positions, codebooks], what follows each, or IGNORED;
    `spoken`, `coming` and `letter` int64 [audio positions, 2], first and last + 1 of the text positions of the word
    that the following column speaks, of the word after it, and of the letter, empty ranges where there is nothing to
    follow.
    """

    ids: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    spoken: torch.Tensor
    coming: torch.Tensor
    letter: torch.Tensor


@dataclass(frozen=True)
class _Turn:
    """A clip on its way into an example: what is said and learned, and the places in the prompt of the letters said.

    `spans` are the places of the words, the last one that of the turn's end.
    """

    spans: list[tuple[int, int]]
    columns: np.ndarray
    targets: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class _Example:
    ids: list[int]
    columns: np.ndarray
    targets: np.ndarray
    spoken: np.ndarray
    coming: np.ndarray
    letter: np.ndarray


class ExampleMaker:
    """Draws examples from readings; the same generator state gives the same examples."""

    def __init__(self, readings: Sequence[Reading], tokenizer: Tokenizer) -> None:
        self._tokenizer, self._casting = tokenizer, ConversationMaker(readings)
        self._audio, self._pad = _id(tokenizer, "<|AUDIO_OUT|>"), _id(tokenizer, "<|end_of_text|>")

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
        prompt, turns = f"<|begin_of_text|>{_header('system')}{conversation.system}<|eot_id|>", list[_Turn]()
        for speaker in conversation.speakers:
            if speaker.clip is None:
                continue
            said, following = delay(_heard(speaker.clip), LAYOUT), delay(speaker.clip.codes, LAYOUT)
            targets = np.vstack([following[1:], np.full_like(following[:1], IGNORED)])
            left_out = np.random.default_rng(generator.getrandbits(64)).random(len(targets)) >= REFERENCE_LEARNED
            left_out[:VOICE_KNOWN] = True
            targets[left_out] = IGNORED
            prompt, spans, places = self._user_turn(prompt, speaker.tag, [speaker.clip], generator)
            prompt = f"{_audio_turn(prompt, len(said))}<|audio_eos|><|eot_id|>"
            turns.append(_Turn(spans, said, targets, places))
        for part in conversation.parts:
            if part is not conversation.parts[0]:
                prompt += "<|audio_eos|><|eot_id|>"
            prompt, spans, places = self._user_turn(prompt, part.tag, part.readings, generator)
            columns = delay(np.concatenate([reading.codes for reading in part.readings], axis=1), LAYOUT)
            said, targets = _corrupted(columns, generator), np.vstack([columns[1:], np.full_like(columns[:1], IGNORED)])
            if part is conversation.parts[-1]:  # nobody looks back on its last column
                said, targets = said[:-1], targets[:-1]
            prompt = _audio_turn(prompt, len(said))
            turns.append(_Turn(spans, said, targets, places))
        return self._example(prompt, turns)

    def _user_turn(
        self, prompt: str, tag: str, readings: Sequence[Reading], generator: random.Random
    ) -> tuple[str, list[tuple[int, int]], np.ndarray]:
        """The prompt with the text of a turn; where in it each word and the end of the turn stand, and the letter that
        each frame says."""
        prompt += _header("user") + tag
        start, places = len(prompt), list[np.ndarray]()
        for number, reading in enumerate(readings):
            text = self._written(reading, generator)
            prompt += " " if number else ""
            silent = reading.places == len(reading.written)
            places.append(len(prompt) + np.where(silent, len(text), reading.places))
            prompt += text
        spans = [(start + word.start(), start + word.end()) for word in WORD.finditer(prompt[start:])]
        return f"{prompt}<|eot_id|>", [*spans, (len(prompt), len(prompt) + 1)], np.concatenate(places)

    def _example(self, prompt: str, turns: Sequence[_Turn]) -> _Example:
        encoded = self._tokenizer.encode(prompt, add_special_tokens=False)
        first = np.array([start for start, _ in encoded.offsets])  # each token's first character
        spoken, coming, letter = [], [], []
        for turn in turns:
            spans = np.array(turn.spans)
            place = turn.places[np.minimum(np.arange(len(turn.columns)), len(turn.places) - 1)]
            word = np.searchsorted(spans[:, 0], place, side="right") - 1
            learned = (turn.targets != IGNORED).any(axis=1, keepdims=True)
            spoken.append(np.searchsorted(first, spans[word]) * learned)
            coming.append(np.searchsorted(first, spans[np.minimum(word + 1, len(spans) - 1)]) * learned)
            letter.append(np.searchsorted(first, np.stack([place, place + 1], axis=1)) * learned)
        columns, targets = ([getattr(turn, name) for turn in turns] for name in ("columns", "targets"))
        joined = np.concatenate(targets)
        # Beginning marks are forced, not chosen: there is nothing to learn.
        joined = np.where(joined == STREAM_BOS, IGNORED, joined)
        marked = (np.concatenate(ranges) for ranges in (spoken, coming, letter))
        return _Example(encoded.ids, np.concatenate(columns), joined, *marked)

    def _written(self, reading: Reading, generator: random.Random) -> str:
        """One of the ways in which users write the sentence; all are spoken alike."""
        text = reading.written
        if generator.random() < LOWER_CASE:
            text = text.lower()
        return text[:-1] if generator.random() < NO_FULL_STOP and text.endswith(".") else text

    def _pad_together(self, examples: Sequence[_Example]) -> Batch:
        length = max(len(example.ids) for example in examples)
        ids = torch.tensor([example.ids + [self._pad] * (length - len(example.ids)) for example in examples])
        arrays = (
            np.concatenate([getattr(example, name) for example in examples])
            for name in ("columns", "targets", "spoken", "coming", "letter")
        )
        return Batch(ids, *(torch.from_numpy(array) for array in arrays))


def _heard(reading: Reading) -> np.ndarray:
    if reading.heard is None:
        raise ValueError(f"{reading.written!r} was not encoded as a reference")
    return reading.heard


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"the tokenizer has no {token}")
    return found


def _header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def _audio_turn(prompt: str, columns: int) -> str:
    return f"{prompt}{_header('assistant')}<|audio_out_bos|>{'<|AUDIO_OUT|>' * columns}"


def _corrupted(columns: np.ndarray, generator: random.Random) -> np.ndarray:
    """The columns with some codes replaced by random ones, in some of the clips; marks stay."""
    if generator.random() >= CORRUPTED_CLIPS:
        return columns
    noise = np.random.default_rng(generator.getrandbits(64))
    begins = noise.random(len(columns)) < CORRUPTED_RUNS
    runs = np.convolve(begins, np.ones(RUN_COLUMNS))[: len(columns)] > 0
    hit = (runs | (noise.random(len(columns)) < CORRUPTED_COLUMNS))[:, None]
    hit = (hit | (noise.random(columns.shape) < CORRUPTED_CODES)) & (columns < CODES)
    return np.where(hit, noise.integers(0, CODES, columns.shape), columns)
