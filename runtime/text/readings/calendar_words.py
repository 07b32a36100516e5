"""Dates and times of day as each language says them."""

from __future__ import annotations

import datetime

from runtime.text.readings.lexicon import LEXICONS
from runtime.text.readings.numerals import before_noun, cardinal, ordinal, year


def date(year_number: int, month: int, day: int, language: str) -> str | None:
    """ "March fourteenth, twenty twenty-six"; None where the calendar has no such day."""
    try:
        datetime.date(year_number, month, day)
    except ValueError:
        return None
    name, spoken_year = LEXICONS[language].months[month - 1], year(year_number, language)
    if language == "zh":
        return f"{spoken_year}年{name}{cardinal(day, language)}日"
    if language == "es":
        return f"{'primero' if day == 1 else cardinal(day, language)} de {name} de {spoken_year}"
    if language == "fr":
        return f"{'premier' if day == 1 else cardinal(day, language)} {name} {spoken_year}"
    return f"{name} {ordinal(day, language)}, {spoken_year}"


def time_of_day(hour: int, minute: int, second: int | None, language: str, half_day: str = "") -> str:
    """19:30 -> "nineteen thirty"; `half_day` is the "pm" that follows in the text, if any."""
    if language == "zh":
        return _chinese(hour, minute, second)
    said = {"en": _english, "es": _spanish, "fr": _french}[language](hour, minute, bool(half_day))
    return said if second is None else said + _seconds(second, language)


def _english(hour: int, minute: int, half_day: bool) -> str:
    if minute:
        return f"{cardinal(hour, 'en')} {'oh ' * (minute < 10)}{cardinal(minute, 'en')}"
    if half_day:
        return cardinal(hour, "en")
    if hour in (0, 24):
        return "midnight"
    return cardinal(hour, "en") + (" hundred" if hour > 12 else " o'clock")


def _spanish(hour: int, minute: int, half_day: bool) -> str:
    whole = "horas" if hour in (0, 24) else "en punto"
    minutes = f"{'cero ' * (minute < 10)}{cardinal(minute, 'es')}" if minute else whole
    return f"{cardinal(hour, 'es', feminine=True)} {minutes}"


def _french(hour: int, minute: int, half_day: bool) -> str:
    hours = f"{cardinal(hour, 'fr', feminine=True)} {'heure' if hour < 2 else 'heures'}"
    return f"{hours} {cardinal(minute, 'fr', feminine=True)}" if minute else hours


def _seconds(second: int, language: str) -> str:
    joint, one, many = {
        "en": ("and", "second", "seconds"),
        "es": ("y", "segundo", "segundos"),
        "fr": ("et", "seconde", "secondes"),
    }[language]
    return f" {joint} {before_noun(second, language, feminine=language == 'fr')} {one if second == 1 else many}"


def _chinese(hour: int, minute: int, second: int | None) -> str:
    said = before_noun(hour, "zh") + "点"
    if minute or second is not None:
        said += ("零" if 0 < minute < 10 else "") + cardinal(minute, "zh") + "分"
    if second is not None:
        said += ("零" if 0 < second < 10 else "") + cardinal(second, "zh") + "秒"
    return said
