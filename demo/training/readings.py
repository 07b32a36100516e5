"""Sentences in codes, with the letter that each frame says, and the files they are kept in: what a training reads.

A second of speech takes about 300 bytes: codes of ten bits, and bytes for each frame's letter and each letter's phones,
which compress well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from demo.sizes import NUM_CODEBOOKS
from runtime.formats.whole_files import whole_file

VOICES = ("slt", "rms", "awb")  # a woman and two men; the first is the voice without a reference
CODE_BITS = 10
# What flite's English is made of, behind what stands for no phone.
PHONES = (
    "", "aa", "ae", "ah", "ao", "aw", "ax", "axr", "ay", "b", "brth", "ch", "d", "dh", "dx", "eh", "el", "em", "en",
    "er", "ey", "f", "g", "hh", "hv", "ih", "iy", "jh", "k", "l", "m", "n", "ng", "nx", "ow", "oy", "p", "r", "s", "sh",
    "t", "th", "uh", "uw", "v", "w", "y", "z", "zh",
)  # fmt: skip
PHONES_A_LETTER = 2  # at most
CODEBOOKS, WORDS_FILE = "reading_codebooks.npy", "reading_words.npz"


@dataclass(frozen=True)
class Reading:
    """One sentence in one voice.

    `codes` int64 [codebooks, frames] are what the model is to say; `heard`, of some readings, is flite's own speech as
    the codec's encoder hears it, which is what a reference clip looks like. `places`
    int64 [frames] is the character of `written` being spoken, its length in the silence at the end; `sounds` int64
    [characters, PHONES_A_LETTER] are the phones, by their places in PHONES, that each character stands for.
    """

    written: str
    voice: str
    codes: np.ndarray
    heard: np.ndarray | None
    places: np.ndarray
    sounds: np.ndarray

    @classmethod
    def silent(cls, written: str, sounds: np.ndarray) -> Reading:
        """What is only read, by nobody."""
        return cls(written, VOICES[0], np.zeros((NUM_CODEBOOKS, 0), np.int64), None, np.zeros(0, np.int64), sounds)


def write_readings(file: Path, readings: Sequence[Reading]) -> None:
    """Raises ValueError for a sentence of more than 255 characters."""
    if longest := max((reading.written for reading in readings if len(reading.written) > 255), default=""):
        raise ValueError(f"a sentence has at most 255 characters, this one {len(longest)}: {longest!r}")
    heard = [reading.heard for reading in readings]
    with whole_file(file) as stream:
        np.savez_compressed(
            stream,
            written=np.frombuffer("\n".join(reading.written for reading in readings).encode(), np.uint8),
            voices=np.array([VOICES.index(reading.voice) for reading in readings], np.uint8),
            frames=np.array([reading.codes.shape[1] for reading in readings], np.uint16),
            heard_frames=np.array([0 if one is None else one.shape[1] for one in heard], np.uint16),
            codes=_packed([reading.codes for reading in readings]),
            heard=_packed([one for one in heard if one is not None]),
            places=np.concatenate([reading.places for reading in readings]).astype(np.uint8),
            sounds=np.concatenate([reading.sounds for reading in readings]).astype(np.uint8),
        )


def read_readings(file: Path) -> Iterator[Reading]:
    """The readings of a file, as they were written."""
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored.files}
    frames, heard_frames = arrays["frames"].astype(np.int64), arrays["heard_frames"].astype(np.int64)
    codes = _unpacked(arrays["codes"], frames)
    heard = _unpacked(arrays["heard"], heard_frames)
    places = np.split(arrays["places"].astype(np.int64), np.cumsum(frames)[:-1])
    written = arrays["written"].tobytes().decode().split("\n")
    sounds = np.split(arrays["sounds"].astype(np.int64), np.cumsum([len(text) for text in written])[:-1])
    for text, voice, said, clip, place, sound in zip(
        written, arrays["voices"], codes, heard, places, sounds, strict=True
    ):
        yield Reading(text, VOICES[voice], said, clip if clip.size else None, place, sound)


def _packed(clips: Sequence[np.ndarray]) -> np.ndarray:
    """uint8: the codes of clips [codebooks, frames] in CODE_BITS bits each."""
    codes = np.concatenate([np.zeros(0, np.int64), *(clip.T.ravel() for clip in clips)])
    return np.packbits((codes[:, None] >> np.arange(CODE_BITS)) & 1)


def _unpacked(packed: np.ndarray, frames: np.ndarray) -> list[np.ndarray]:
    count = int(frames.sum()) * NUM_CODEBOOKS
    bits = np.unpackbits(packed, count=count * CODE_BITS).reshape(count, CODE_BITS).astype(np.int64)
    codes = (bits << np.arange(CODE_BITS)).sum(axis=1).reshape(-1, NUM_CODEBOOKS)
    return [clip.T for clip in np.split(codes, np.cumsum(frames)[:-1])]


def write_codebooks(folder: Path, codebooks: torch.Tensor) -> None:
    """What the codes of a folder's readings stand for, float32 [codebooks, codes, size] of values that float16 has."""
    with whole_file(folder / CODEBOOKS) as stream:
        np.save(stream, codebooks.half().numpy())


def read_codebooks(folder: Path) -> torch.Tensor:
    """As they were written."""
    return torch.from_numpy(np.load(folder / CODEBOOKS)).float()
