"""Listens to a stream's chunks for when its words are heard, and tells its report."""

from dataclasses import replace

from .speech import AudioChunk, SpeechPart
from .words import HeardPart

_ROUNDING = 0.02  # seconds: what the report rounds, and the samples of a step that is not full


class Hearing:
    """Of one stream. It keeps some hundred bytes for each second of audio."""

    def __init__(self) -> None:
        self._parts: dict[int, HeardPart] = {}

    def heard(self, chunk: AudioChunk) -> AudioChunk:
        """The next chunk in order; its report, if it has one, with the words of the parts."""
        if chunk.said is not None:
            self._parts[chunk.part] = HeardPart(chunk.said, chunk.sample_rate, chunk.start)
        if chunk.part in self._parts:
            self._parts[chunk.part].add(chunk.samples)
        if chunk.report is None:
            return chunk
        parts = tuple(self._told(number, part) for number, part in enumerate(chunk.report.parts))
        return replace(chunk, report=replace(chunk.report, parts=parts))

    def _told(self, number: int, part: SpeechPart) -> SpeechPart:
        """The part with its words; of one that was cut, with those whose middle was heard at the usual pace."""
        heard = self._parts.get(number)
        if heard is None:
            return part
        if part.finish_reason == "stop" and heard.stop > part.stop - _ROUNDING:
            return replace(part, words=heard.words(whole=True))
        end = min(part.stop, heard.stop)
        words = [word for word in heard.words(whole=False) if word.middle <= end]
        first, _ = part.characters
        return replace(
            part,
            words=tuple(replace(word, stop=min(word.stop, end)) for word in words),
            characters=(first, words[-1].characters[1] if words else first),
        )
