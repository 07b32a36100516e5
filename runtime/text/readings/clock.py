"""Times of day: "7:05 pm", "4.30 pm", "20.30 h", "19h30", "9am-5pm", "下午3:30"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.calendar_words import time_of_day
from runtime.text.readings.lexicon import LEXICONS
from runtime.text.readings.numerals import before_noun, cardinal
from runtime.text.readings.reading_rules import END, LETTER, START, Rule, hidden

_HOURS, _MINUTES = "([01]?[0-9]|2[0-4])", "([0-5][0-9])"
_HALF_DAY = rf"([AaPp]\.? ?[Mm](?![{LETTER}])(?!\.[{LETTER}0-9]))"


def time_rules(language: str) -> Iterator[Rule]:
    """The rules of one language: a span becomes two times first, and then each of them is read."""
    words = LEXICONS[language]
    hours, minutes = _HOURS[1:-1], _MINUTES[1:-1]
    clock = rf"(?:{hours}):{minutes}(?: ?{_HALF_DAY[1:-1]})?"
    if language == "fr":
        clock = rf"(?:(?:{hours}):{minutes}|(?:{hours}) ?h(?: ?{minutes})?(?![{LETTER}0-9]))"
    if language == "en":
        clock = rf"(?:(?:{hours})(?:[:.]{minutes})? ?{_HALF_DAY[1:-1]}\.?|(?:{hours}):{minutes})"
    to = f"{words.space}{words.to}{words.space}"
    yield rf"{START}({clock}) ?[-–—~] ?({clock})(?=\.?{END})", lambda m: f"{m[1]}{to}{m[2]}"
    if language == "en":
        yield from _english_durations()
        yield (
            rf"\b((?:leav|depart|arriv)(?:es?|s|ed|ing)? at ){START}{_HOURS}\.{_MINUTES}{END}"
            rf"(?=[.,;!?]|$| (?:and|or|from|on|for|in|at|sharp|every)\b)",
            lambda m: m[1] + time_of_day(int(m[2]), int(m[3]), None, "en"),
        )
        yield rf"{START}[01][0-9]00h{END}|{START}2[0-4]00h{END}", hidden
        yield (
            rf"{START}([0-9]{{1,2}})[-–]({clock})(?=\.?{END})(?<=[Mm])",
            lambda m: f"{cardinal(int(m[1]), 'en')}{to}{m[2]}",
        )
        yield (
            rf"{START}{_HOURS}\.{_MINUTES} ?{_HALF_DAY}",
            lambda m: time_of_day(int(m[1]), int(m[2]), None, "en", m[3]) + f" {m[3]}",
        )
    if language == "es":
        yield rf"{START}{_HOURS}[.:]{_MINUTES} ?h(?:oras|rs|s)?\b(?:\.(?= [a-z]))?", _spanish_hours
        yield (
            rf"\b([Ll]as? ){START}{_HOURS}\.{_MINUTES}{END}",
            lambda m: m[1] + time_of_day(int(m[2]), int(m[3]), None, "es"),
        )
        yield (
            rf"\b([Aa] la|[Aa] las|[Ll]as|[Ll]a)( )(1|2?1){END}(?! (?!(?:y|menos|en punto)\b)[{LETTER}]|\.[ºª°])",
            _spanish_feminine,
        )
    if language == "fr":
        yield (
            rf"{START}{_HOURS} ?(?:h|heures?) ?{_MINUTES}(?: ?min)?(?![{LETTER}0-9]){END}",
            lambda m: time_of_day(int(m[1]), int(m[2]), None, "fr"),
        )
        yield rf"{START}{_HOURS}\.{_MINUTES} ?h{END}", lambda m: time_of_day(int(m[1]), int(m[2]), None, "fr")
        yield rf"{START}{_HOURS} ?h{END}", lambda m: time_of_day(int(m[1]), 0, None, "fr")
    minute_word = "(?:分(?![开手钟]))?" if language == "zh" else ""
    half_day = rf"( ?{_HALF_DAY[1:-1]})?" if language == "en" else "()"

    def read(match: re.Match[str]) -> str:
        hour, minute, second, half = match.groups()
        said = time_of_day(int(hour), int(minute), int(second) if second else None, language, (half or "").strip())
        return f"{said} {half.strip()}" if half else said

    zone = r"(?:(?<=[0-9]:[0-9]{2})|(?<=:[0-9]{2} [12][0-9]{3})) ([-+])([01][0-9])(00|30)(?![0-9:])"
    signs = {"+": "加", "-": "减"} if language == "zh" else {"+": words.plus, "-": words.minus}
    yield (
        zone,
        lambda m: (
            f" {signs[m[1]]}{words.space}{cardinal(int(m[2]), language)}" + f" {cardinal(30, language)}" * (m[3] > "00")
        ),
    )
    yield rf"{START}{_HOURS}:{_MINUTES}(?::{_MINUTES})?{half_day}{END}{minute_word}", read
    if language != "zh":
        yield rf"{START}([0-9]{{1,2}}) ?{_HALF_DAY}", lambda m: _on_the_hour(m, language)


def _english_durations() -> Iterator[Rule]:
    """ "1h 20m", "5m 30s", whose m is no meter; "in 2:00:35", which is no time of day."""
    hours, minutes, seconds = "([0-9]{1,3}) ?h(?:rs?)?", "([0-5]?[0-9]) ?m", "([0-5]?[0-9]) ?s"
    end = f"(?![{LETTER}0-9_/])"

    def said(match: re.Match[str]) -> str:
        return " ".join(
            f"{cardinal(int(number), 'en')} {name}{'s' * (int(number) != 1)}"
            for number, name in zip(match.groups()[-3:], ("hour", "minute", "second"), strict=True)
            if number and int(number)
        )

    yield rf"{START}{hours} ?{minutes}(?: ?{seconds})?{end}", said
    yield rf"{START}(){minutes} ?{seconds}{end}", said
    lasting = "in|record|time|record (?:is|of)|time (?:is|of)|took|ran|lasts|lasted|lasting"
    yield (
        rf"\b((?:{lasting}) ){START}([1-9][0-9]?):([0-5][0-9]):([0-5][0-9]){END}(?! ?[AaPp]\.?[Mm])",
        lambda m: m[1] + said(m),
    )


def _on_the_hour(match: re.Match[str], language: str) -> str:
    if not 1 <= int(match[1]) <= 12:
        return match[0]
    return f"{cardinal(int(match[1]), language, feminine=language == 'es')} {match[2]}"


def _spanish_hours(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if minute:
        return f"{time_of_day(hour, minute, None, 'es')} horas"
    return f"{before_noun(hour, 'es', feminine=True)} {'hora' if hour == 1 else 'horas'}"


def _spanish_feminine(match: re.Match[str]) -> str:
    return match[1] + match[2] + cardinal(int(match[3]), "es", feminine=True)
