"""Captions of a speech: its words in time, as SubRip, WebVTT or JSON."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from .speech import SpeechPart
from .words import TimedWord

FORMATS = (".srt", ".vtt", ".json")
_LINE, _MOST = 42, 84  # characters: of a line, and of the two lines of a caption
_ENDINGS = tuple(".,;:!?…。，；：！？、")


def captions(parts: Sequence[SpeechPart], extension: str) -> str:
    """The contents of a file with one of the extensions of FORMATS.

    JSON holds every word: text, characters (where it stands in the text that was given), start and stop in seconds, and
    who speaks. The others hold up to two lines at a time; where there are speakers, each is named.
    """
    if extension == ".json":
        told = [asdict(word) | {"speaker": part.speaker} for part in parts for word in part.words]
        return json.dumps(told, ensure_ascii=False, indent=1) + "\n"
    lines = ["WEBVTT", ""] if extension == ".vtt" else []
    mark = "." if extension == ".vtt" else ","
    for number, (speaker, words) in enumerate(_cues(parts), start=1):
        times = " --> ".join(_time(second, mark) for second in (words[0].start, words[-1].stop))
        said = textwrap.wrap(f"{speaker}: {_text(words)}" if speaker else _text(words), _LINE)
        # A line may say the arrow that parts two times; it must not read as one.
        lines += [str(number), times, *(line.replace("-->", "→") for line in said), ""]
    return "\n".join(lines)


def _cues(parts: Sequence[SpeechPart]) -> Iterator[tuple[str | None, Sequence[TimedWord]]]:
    """The words that are shown together, none of two parts."""
    for part in parts:
        shown: list[TimedWord] = []
        for word in part.words:
            length = len(_text(shown))
            if shown and (
                length + 1 + len(word.text) > _MOST or (length > _LINE and shown[-1].text.endswith(_ENDINGS))
            ):
                yield part.speaker, shown
                shown = []
            shown.append(word)
        if shown:
            yield part.speaker, shown


def _text(words: Sequence[TimedWord]) -> str:
    """With a space where the given text had something between two words."""
    text, stop = "", -1
    for word in words:
        text += ("" if not text or stop == word.characters[0] else " ") + word.text
        stop = word.characters[1]
    return text


def _time(seconds: float, mark: str) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{mark}{thousandths:03}"
