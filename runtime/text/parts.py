"""Splits turns of text into the parts that are spoken one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from runtime.formats.options import GenerationParams
from runtime.formats.pronunciations import pronounced
from runtime.text.chunking import Chunk, chunk
from runtime.text.dialogue.dialogue import DialogueTurn
from runtime.text.paragraphs import paragraphs
from runtime.text.readings.normalization import normalize
from runtime.text.words import Place, find_words


@dataclass(frozen=True)
class TextPart:
    """What is spoken in one piece, as the model reads it, and the silence after it in seconds.

    A part is one turn, or a chunk of one; only a dialogue that is not cut at all has several turns in one part.
    written: its words before they were spelled out. words: each of them, where it stands in the text that was given.
    """

    turns: tuple[DialogueTurn, ...]
    pause: float
    written: str
    words: tuple[Place, ...] = ()

    @property
    def speaker(self) -> str:
        """The only speaker; "" for nobody by name, or several."""
        speakers = {turn.speaker or "" for turn in self.turns}
        return speakers.pop() if len(speakers) == 1 else ""

    @property
    def text(self) -> str:
        """The words of all turns."""
        return "\n".join(turn.text for turn in self.turns)


def text_parts(
    turns: Sequence[DialogueTurn],
    params: GenerationParams,
    language: str,
    lexicons: Mapping[str, Mapping[str, str]] | None = None,
    *,
    opening: bool = True,
    closing: bool = True,
) -> list[TextPart]:
    """Every part that has something to say, in speaking order.

    As in the original, only the end of the whole text gets a missing full stop: after earlier parts the text goes on.
    lexicons: readings that a speaker's voice brings, by the speaker's name; those of the request win. opening, closing:
    whether the speech begins, and ends, with these turns.
    """
    parts: list[TextPart] = []
    for turn in turns:
        readings = {**(lexicons or {}).get(turn.speaker or "", {}), **params.lexicon}
        for one, read in _chunks(pronounced(turn.text, readings), params, language, opening and not parts):
            if any(c.isalnum() for c in read):
                parts.append(TextPart((DialogueTurn(turn.speaker, read),), _pause(one, params), one.text))
    if params.chunk_method == "none" and parts:
        turns = tuple(turn for part in parts for turn in part.turns)
        parts = [TextPart(turns, parts[-1].pause, "\n".join(part.written for part in parts))]
    return [*parts[:-1], *map(partial(_closed, language=language), parts[-1:])] if closing else parts


def located(
    parts: Sequence[TextPart], text: str, start: int = 0, stop: int | None = None, offset: int = 0
) -> list[TextPart]:
    """The parts with where their words stand in a text from `start` to `stop`, which begins at `offset` of what was
    given.
    """
    found, place, end = [], start, len(text) if stop is None else stop
    for part in parts:
        words = find_words(part.written, text, place, end)
        place = words[-1][2] if words else place
        found.append(replace(part, words=tuple((word, offset + first, offset + last) for word, first, last in words)))
    return found


def _pause(one: Chunk, params: GenerationParams) -> float:
    if one.ends_paragraph:
        return params.paragraph_pause_seconds
    return params.pause_seconds if one.ends_sentence else 0.0


def _closed(part: TextPart, language: str) -> TextPart:
    """The last part, with the end that the model was trained to expect."""
    *before, last = part.turns
    return replace(part, turns=(*before, replace(last, text=normalize(last.text, language))))


def _chunks(text: str, params: GenerationParams, language: str, opening: bool) -> Iterator[tuple[Chunk, str]]:
    """The chunks of one turn, each with its words as they are read.

    A sentence is found in the text as it was written, and a number is spelled out in its chunk. Only where words are
    counted are they counted, and cut, as they will be read.
    """
    if params.chunk_method == "fixed":
        read = (normalize(paragraph, language, closed=False) for paragraph in paragraphs(text, language))
        for one in chunk("\n\n".join(filter(None, read)), params.chunk_method, language, params.chunk_words):
            yield one, one.text
        return
    method = "speaker" if params.chunk_method == "none" else params.chunk_method
    for one in chunk(text, method, language, params.chunk_words, opening):
        yield one, normalize(one.text, language, closed=False)
