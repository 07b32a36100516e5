"""From turns of text to the parts that are spoken one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chunking import Chunk, chunk
from dialogue import DialogueTurn
from normalization import normalize
from options import GenerationParams
from paragraphs import paragraphs


@dataclass(frozen=True)
class TextPart:
    """A part's words as the model reads them, and the silence behind them in seconds."""

    speaker: str
    text: str
    pause: float


def text_parts(turns: Sequence[DialogueTurn], params: GenerationParams, language: str) -> list[TextPart]:
    """Every part that has something to say, in the order to speak them."""
    parts: list[TextPart] = []
    for turn in turns:
        for one in _chunks(turn.text, params, language):
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
        read = (normalize(paragraph, language) for paragraph in paragraphs(text, language))
        yield from chunk("\n\n".join(filter(None, read)), params.chunk_method, language, params.chunk_words)
        return
    for one in chunk(text, params.chunk_method, language, params.chunk_words):
        yield Chunk(normalize(one.text, language), one.ends_paragraph)
