"""From turns of text to the parts that are spoken one after another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chunking import Chunk, chunk
from common.pronunciations import pronounced
from dialogue import DialogueTurn
from normalization import normalize
from options import GenerationParams

_BLANK_LINES = re.compile(r"\n[ \t\r]*\n\s*")


@dataclass(frozen=True)
class TextPart:
    """A part's words as the model reads them, and the silence behind them in seconds."""

    speaker: str
    text: str
    pause: float


def text_parts(
    turns: Sequence[DialogueTurn],
    params: GenerationParams,
    language: str,
    lexicons: Mapping[str, Mapping[str, str]] | None = None,
) -> list[TextPart]:
    """Every part that has something to say, in the order to speak them.

    lexicons: readings that a speaker's voice brings, by the speaker's name; those of the request win.
    """
    parts: list[TextPart] = []
    for turn in turns:
        readings = {**(lexicons or {}).get(turn.speaker or "", {}), **params.lexicon}
        for one in _chunks(pronounced(turn.text, readings), params, language):
            if any(c.isalnum() for c in one.text):
                pause = params.paragraph_pause_seconds if one.ends_paragraph else params.pause_seconds
                parts.append(TextPart(turn.speaker or "", one.text, pause))
    return parts


def _chunks(text: str, params: GenerationParams, language: str) -> Iterator[Chunk]:
    """Normalised chunks of one turn.

    A sentence is found in the text as it was written, and a number is spelled out in its chunk. Only where words are
    counted are they counted, and cut, as they will be read.
    """
    if params.chunk_method == "fixed":
        paragraphs = (normalize(paragraph, language) for paragraph in _BLANK_LINES.split(text))
        yield from chunk("\n\n".join(filter(None, paragraphs)), params.chunk_method, language, params.chunk_words)
        return
    for one in chunk(text, params.chunk_method, language, params.chunk_words):
        yield Chunk(normalize(one.text, language), one.ends_paragraph)
