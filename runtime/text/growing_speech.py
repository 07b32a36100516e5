"""The speech of a text that comes in pieces: what the first piece settles, and the parts that each further one adds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from runtime.formats.errors import InvalidRequestError, classify, sentence
from runtime.formats.more_parts import MoreParts
from runtime.formats.options import GenerationParams
from runtime.formats.speech_plan import PlannedPart
from runtime.text.dialogue.dialogue import DialogueTurn, Recognition
from runtime.text.growing_text import GrowingText
from runtime.text.languages import Language, resolve
from runtime.text.parts import TextPart, text_parts
from runtime.text.plan_writer import SpeechWriter, WrittenPlan
from runtime.text.text_input import read_turns

_METHODS = ("auto", "sentence")


def growing_params(params: GenerationParams) -> GenerationParams:
    """The options as a growing text takes them. Raises InvalidRequestError for what needs the whole text."""
    if params.chunk_method not in _METHODS:
        raise InvalidRequestError(
            f"chunk_method {params.chunk_method} needs the whole text; one that comes in pieces is cut by sentence"
        )
    if params.dialogue == "on" and not params.speakers:
        raise InvalidRequestError(
            "dialogue is on, and the text comes in pieces; name its speakers in the option speakers"
        )
    return replace(params, chunk_method="sentence")


def opening_turns(text: str, params: GenerationParams, recognition: Recognition) -> list[DialogueTurn]:
    """The turns of the first piece, and one without words for each further speaker whom the request names.

    There is one at least. Whoever speaks in them can speak in the rest of the text. Raises InvalidRequestError for what
    is not plain text.
    """
    turns = read_turns(text, recognition)
    named = {turn.speaker for turn in turns}
    turns += [DialogueTurn(name, "") for name in params.speakers if name not in named]
    return turns or [DialogueTurn(None, "")]


@dataclass(frozen=True)
class Settled:
    """What holds for the whole text. names: of its speakers; none if it is no dialogue. likely: the languages that the
    rest of the request is in. lexicons: as `text_parts`.
    """

    params: GenerationParams
    names: frozenset[str]
    likely: Sequence[str]
    lexicons: Mapping[str, Mapping[str, str]]
    max_characters: int


class GrowingSpeech:
    """One stream's. Not thread-safe."""

    def __init__(self, stream: str, settled: Settled, writer: SpeechWriter, send: Callable[[MoreParts], None]) -> None:
        self.stream = stream
        self._settled, self._writer, self._send = settled, writer, send
        self._recognition = Recognition(settled.params.dialogue if settled.names else "off", settled.names)
        self._language: Language | None = None
        self._text = GrowingText(self, settled.params)
        self._said = self.over = False
        self.due = math.inf  # when what is left of the text should wait no longer, on the machine's clock

    def open(self, text: str, arrived: float) -> WrittenPlan:
        """The plan with what the first piece says for sure. Raises InvalidRequestError."""
        self._add(text, arrived)
        _, parts = self._text.sure()
        self._said, self.due = bool(parts), self._text.due()
        return self._writer.plan(parts, self._spoken_language, arrived, growing=True)

    def append(self, text: str, now: float) -> None:
        """The next piece, which came at that time on the machine's clock."""
        self._guarded(lambda: self._append(text, now))

    def flush(self) -> None:
        """Nothing that is there waits for more."""
        self._guarded(lambda: self._give(*self._text.all(closing=False)))

    def end(self) -> None:
        """Nothing more will come."""
        self._guarded(self._end)

    def language(self, text: str) -> str:
        """The code of the language that is settled, or of that text's."""
        return (self._language or self._resolved(text)).code

    def parts(self, text: str, speaker: str, opening: bool, closing: bool) -> list[TextPart]:
        """As `ReadsParts`; the first text with words settles the language."""
        turns = read_turns(text, self._recognition)
        if self._language is None and any(turn.text for turn in turns):
            self._language = self._resolved(" ".join(turn.text for turn in turns))
        if turns and turns[0].speaker is None and speaker:
            turns[0] = replace(turns[0], speaker=speaker)
        settled, language = self._settled, self._spoken_language.code
        return text_parts(turns, settled.params, language, settled.lexicons, opening=opening, closing=closing)

    @property
    def _spoken_language(self) -> Language:
        return self._language or self._resolved("")

    def _resolved(self, text: str) -> Language:
        return resolve(self._settled.params.language or None, text, self._settled.likely)

    def _add(self, text: str, now: float) -> None:
        most = self._settled.max_characters
        if self._text.characters + len(text) > most:
            raise InvalidRequestError(f"the text has more than {most} characters, as many as are allowed")
        self._text.append(text, now)

    def _append(self, text: str, now: float) -> None:
        self._add(text, now)
        pause, parts = self._text.sure()
        if parts:
            self._give(pause, parts)

    def _end(self) -> None:
        pause, parts = self._text.all(closing=True)
        if not parts and not self._said:
            raise InvalidRequestError("text holds no letter or digit; there is nothing to say")
        self._give(pause, parts, ended=True)

    def _give(self, pause: float, parts: Sequence[TextPart], ended: bool = False) -> None:
        self._said = self._said or bool(parts)
        self._tell(self._writer.pause(pause), self._writer.parts(parts, self._spoken_language), ended=ended)

    def _tell(self, pause: int, parts: Sequence[PlannedPart], ended: bool, fault: str = "") -> None:
        self.over = ended
        about = self._writer.about(self._spoken_language)
        self._send(MoreParts(self.stream, pause, tuple(parts), ended, fault, about))

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do it; what is wrong with the text ends the stream, behind what it has said so far."""
        if self.over:
            return
        try:
            work()
            self.due = math.inf if self.over else self._text.due()
        except Exception as error:
            self._tell(0, (), ended=True, fault=sentence(classify(error, "reading the text")))
