"""Batches for the language model: prompts as a server would write them, and the columns that should follow."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer

from demo.sizes import CODEBOOK_SIZE, CODES, NUM_CODEBOOKS, STREAM_BOS, STREAM_EOS
from demo.training.flite import VOICES
from demo.training.latent_set import Clip
from engine.delay_pattern import delay
from engine.types import CodebookLayout

LAYOUT = CodebookLayout(NUM_CODEBOOKS, CODEBOOK_SIZE, STREAM_BOS, STREAM_EOS)
IGNORED = -100
SCENE = "Audio is recorded from a quiet room."
WITH_REFERENCE, WITH_SCENE, LOWER_CASE, WITH_COMMA, OTHER_MARK = 0.5, 0.1, 0.2, 0.2, 0.15
# Of the columns the model reads back while it learns: it must trust the text more than what it said by mistake.
CORRUPTED_CLIPS, CORRUPTED_COLUMNS, CORRUPTED_CODES = 0.6, 0.08, 0.05


@dataclass(frozen=True)
class Batch:
    """Examples padded on the right to one length.

    `ids` int64 [batch, length], audio positions holding the audio token; `columns` int64 [audio positions, codebooks]
    in the order of those positions; `targets` int64 [audio positions, codebooks], what follows each, or IGNORED.
    """

    ids: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True)
class _Example:
    ids: list[int]
    columns: np.ndarray
    targets: np.ndarray


class ExampleMaker:
    """Draws examples from clips; the same generator state gives the same examples."""

    def __init__(self, clips: Sequence[Clip], tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._audio, self._pad = _id(tokenizer, "<|AUDIO_OUT|>"), _id(tokenizer, "<|end_of_text|>")
        self._by_voice: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            self._by_voice[clip.utterance.voice].append(clip)

    def batches(self, count: int, size: int, generator: random.Random) -> list[Batch]:
        """`count` batches of `size` examples, those of similar length together."""
        examples = sorted((self._draw(generator) for _ in range(count * size)), key=lambda example: len(example.ids))
        made = [self._pad_together(examples[start : start + size]) for start in range(0, len(examples), size)]
        generator.shuffle(made)
        return made

    def _draw(self, generator: random.Random) -> _Example:
        has_reference = generator.random() < WITH_REFERENCE
        clips = self._by_voice[generator.choice(VOICES) if has_reference else VOICES[0]]
        clip = generator.choice(clips)
        reference = generator.choice(clips) if has_reference else None
        scene = f"\n\n<|scene_desc_start|>\n{SCENE}\n<|scene_desc_end|>" if generator.random() < WITH_SCENE else ""
        prompt = f"<|begin_of_text|>{_header('system')}Generate audio following instruction.{scene}<|eot_id|>"
        columns, targets = [], []
        if reference:
            said = delay(reference.codes, LAYOUT)
            columns.append(said)
            targets.append(np.full_like(said, IGNORED))
            prompt += f"{_header('user')}{self._written(reference, generator)}<|eot_id|>{_header('assistant')}"
            prompt += f"<|audio_out_bos|>{'<|AUDIO_OUT|>' * len(said)}<|audio_eos|><|eot_id|>"
        prompt += f"{_header('user')}{self._written(clip, generator)}<|eot_id|>{_header('assistant')}"
        spoken = delay(clip.codes, LAYOUT)
        columns.append(_corrupted(spoken[:-1], generator))
        following = spoken[1:]
        targets.append(np.where(following == STREAM_BOS, IGNORED, following))
        ids = self._tokenizer.encode(prompt + "<|audio_out_bos|>", add_special_tokens=False).ids
        ids += [self._audio] * (len(spoken) - 1)
        return _Example(ids, np.concatenate(columns), np.concatenate(targets))

    def _written(self, clip: Clip, generator: random.Random) -> str:
        """One of the ways in which users write the clip's sentence; all are spoken alike."""
        text = clip.utterance.written
        if generator.random() < LOWER_CASE:
            text = text.lower()
        if generator.random() < OTHER_MARK:
            text = text[:-1] + generator.choice(".!?")
        if generator.random() < WITH_COMMA:
            words = text.split()
            place = generator.randrange(len(words))
            if place < len(words) - 1:
                words[place] += ","
            text = " ".join(words)
        return text

    def _pad_together(self, examples: Sequence[_Example]) -> Batch:
        length = max(len(example.ids) for example in examples)
        ids = torch.tensor([example.ids + [self._pad] * (length - len(example.ids)) for example in examples])
        columns = torch.from_numpy(np.concatenate([example.columns for example in examples]))
        targets = torch.from_numpy(np.concatenate([example.targets for example in examples]))
        return Batch(ids, columns, targets)


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"the tokenizer has no {token}")
    return found


def _header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def _corrupted(columns: np.ndarray, generator: random.Random) -> np.ndarray:
    """The columns with some codes replaced by random ones, in some of the clips; marks stay."""
    if generator.random() >= CORRUPTED_CLIPS:
        return columns
    noise = np.random.default_rng(generator.getrandbits(64))
    hit = noise.random((len(columns), 1)) < CORRUPTED_COLUMNS
    hit = (hit | (noise.random(columns.shape) < CORRUPTED_CODES)) & (columns < CODES)
    return np.where(hit, noise.integers(0, CODES, columns.shape), columns)
