"""Cutting long text into pieces that are spoken one after another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import sentencex

METHODS = ("auto", "speaker", "fixed", "semantic")
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_UNIT = re.compile(r"<SE_?[se]?>[^<]*</SE_?[se]?>|[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff<]+|<")


@dataclass(frozen=True)
class Chunk:
    """A piece of text, and whether a paragraph ends with it."""

    text: str
    ends_paragraph: bool


def chunk(text: str, method: str, language: str, words: int) -> list[Chunk]:
    """The text in pieces of about `words` words."""
    text = text.strip()
    if method == "speaker" or (method == "auto" and _size(text) <= words):
        return [Chunk(text, True)] if text else []
    chunks = []
    for paragraph in (p.strip() for p in text.split("\n")):
        if not paragraph:
            continue
        pieces = [paragraph] if method == "fixed" else list(sentencex.segment(language, paragraph))
        packed = list(_pack(pieces, words))
        chunks += [Chunk(piece, i == len(packed) - 1) for i, piece in enumerate(packed)]
    return chunks


def _size(text: str) -> int:
    return len(_UNIT.findall(text))


def _pack(pieces: list[str], words: int) -> Iterator[str]:
    held, size = "", 0
    for piece in _cut(pieces, words):
        length = _size(piece)
        if held.strip() and size + length > words:
            yield held.strip()
            held, size = "", 0
        held, size = held + piece, size + length
    if held.strip():
        yield held.strip()


def _cut(pieces: list[str], words: int) -> Iterator[str]:
    for piece in pieces:
        units = list(_UNIT.finditer(piece))
        start = 0
        for first in range(words, len(units), words):
            yield piece[start : units[first].start()]
            start = units[first].start()
        yield piece[start:]
