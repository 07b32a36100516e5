"""Dates in figures and with months' names, seasons and spans of years, Chinese days, and ISO time stamps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from runtime.text.readings.calendar_words import date, time_of_day
from runtime.text.readings.lexicon import LEXICONS, any_case
from runtime.text.readings.measure_words import COUNTED
from runtime.text.readings.numerals import cardinal, digits, ordinal, year
from runtime.text.readings.reading_rules import END, START, Rule, hidden

_YEAR_FOLLOWED = "出生|毕业|入学|入伍|参加|世界杯|奥运|年?初|年?底|年?末|春|夏|秋|冬|高考"
_DAYS = "妇女节|女神节|女生节|劳动节|青年节|儿童节|建军节|教师节|国庆|情人节|植树节|表白日|购物节|大促"
_DAY = "([0-9]{1,2})"
_YEAR = "([12][0-9]{3})"
_TH = "(?:st|nd|rd|th)?"
# March and May are words too: without a year or an ordinal they need one of these before them, or nothing behind.
_BEFORE_MAY = "on|in|of|since|by|until|till|from|through|before|after|last|this|next|between|and|every|dated"
_BEFORE_MAY += "|Mon|Tue|Wed|Thu|Fri|Sat|Sun|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"


def date_rules(language: str) -> Iterator[Rule]:
    """The rules of one language; a day that no calendar has stays as it is."""
    iso = partial(_iso, language=language)
    clock = (
        r"(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.[0-9]{1,6})?)?(?: ?(Z|[+-][0-9]{2}:?[0-9]{2}))?)"
    )
    yield rf"{START}([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}}){clock}{END}", iso
    yield f"{START}([0-9]{{4}})([-/.]){_DAY}\\2{_DAY}{END}", lambda m: _date(m[0], m[1], m[3], m[4], language)
    if language == "zh":
        yield from _chinese()
        return
    yield from _seasons(language)
    if language == "en":
        yield from _english_figures()
        return
    yield f"{START}{_DAY}([-/.]){_DAY}\\2{_YEAR}{END}", lambda m: _date(m[0], m[4], m[3], m[1], language)
    yield f"{START}{_DAY}([-/]){_DAY}\\2([0-9]{{2}}){END}", lambda m: _short(m, m[3], m[1], language)
    article = {"es": "[Ee]l|[Dd]el|[Aa]l", "fr": "[Ll]e|[Dd]u|[Aa]u"}[language]
    yield rf"\b((?:{article}) ){START}([0-9]{{2}})/([0-9]{{2}}){END}", partial(_day_month, language=language)
    weekday = {
        "es": r"lunes|martes|miércoles|jueves|viernes|sábado|domingo|(?:lun|mar|mié|jue|vie|sáb|dom)\.?",
        "fr": r"lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|(?:lun|mar|mer|jeu|ven|sam|dim)\.?",
    }[language]
    day, hour = f"{_DAY}/{_DAY}{END}", {"es": "(?: a las? | por la )", "fr": "(?: à [0-9]| dès [0-9])"}[language]
    yield rf"\b((?i:{weekday}) ){START}{day}", partial(_day_month, language=language)
    yield rf"\b((?:{article}) ){START}{day}(?={hour})", partial(_day_month, language=language)
    late = "(?=1[3-9]|2[0-9]|3[01])"  # more than a fraction is likely to have above
    yield rf"\b((?:{article}) ){START}(?!24/7){late}{day}(?<!/0)", partial(_day_month, language=language)
    names = "|".join(LEXICONS[language].months)
    first, joint = {"es": ("primero", " de"), "fr": ("premier", "")}[language]
    yield rf"{START}1(?={joint} (?i:{names})\b)", lambda m: first


def _date(written: str, years: str, months: str, days: str, language: str) -> str:
    return date(int(years), int(months), int(days), language) or written


def _iso(match: re.Match[str], language: str) -> str:
    years, months, days, hours, minutes, seconds, zone = match.groups()
    day = date(int(years), int(months), int(days), language)
    if day is None or (zone and zone != "Z" and not zone.endswith("00")):
        return match[0]
    words = LEXICONS[language]
    said = f"{day},{words.space}{time_of_day(int(hours), int(minutes), int(seconds) if seconds else None, language)}"
    fraction_of_second = re.search(r"\.([0-9]+)", match[0])
    if fraction_of_second and int(fraction_of_second[1]):
        return match[0]
    if not zone:
        return said
    if zone == "Z" or not int(zone[1:3]):
        return f"{said} UTC"
    sign = {"+": words.plus, "-": words.minus}[zone[0]]
    return f"{said} UTC {sign}{words.space}{cardinal(int(zone[1:3]), language)}"


def _short(match: re.Match[str], months: str, days: str, language: str) -> str:
    """A date with a year of two digits, of this century up to the twenties; only where its form is clear."""
    short = int(match[4])
    clear = len(match[1]) == len(match[3]) == 2 or int(days) > 12 or (language != "en" and match[2] == "/")
    if 30 <= short < 50 or not clear:
        return match[0]
    return _date(match[0], str(short + (2000 if short < 30 else 1900)), months, days, language)


def _day_month(match: re.Match[str], language: str) -> str:
    days, months = int(match[2]), int(match[3])
    if date(2000, months, days, language) is None:
        return match[0]
    first = {"es": "primero", "fr": "premier"}[language]
    name = LEXICONS[language].months[months - 1]
    return f"{match[1]}{first if days == 1 else cardinal(days, language)}{' de' * (language == 'es')} {name}"


def is_of_no_date(match: re.Match[str], language: str) -> bool:
    """Whether a number is the day or the year of a date that no calendar has: "31 de junio", "30 février 2024"."""
    if language not in ("es", "fr"):
        return False
    names = LEXICONS[language].months
    of, joint = {"es": (" de ", " del? "), "fr": (" ", " ")}[language]
    month = "|".join(names)
    before = match.string[max(0, match.start() - 24) : match.start()]
    if ahead := re.compile(rf"{of}(?i:({month}))\b(?:{joint}([0-9]{{4}})\b)?").match(match.string, match.end()):
        day, name, years = match[0], ahead[1], ahead[2]
    elif behind := re.search(rf"\b([0-9]{{1,2}}){of}(?i:({month})){joint}$", before):
        day, name, years = behind[1], behind[2], match[0]
    else:
        return False
    if not day.isdigit() or not (years or "2000").isdigit():
        return False
    return int(day) > 0 and date(int(years or 2000), names.index(name.lower()) + 1, int(day), language) is None


def _seasons(language: str) -> Iterator[Rule]:
    """ "2025-26"; with up to 12 behind the dash it could be a month."""

    def season(match: re.Match[str]) -> str:
        first, last = int(match[1]), int(match[3])
        follows = last == (first + 1) % 100 if match[2] == "/" else last > first % 100
        if not follows or last <= 12:
            return match[0]
        return f"{year(first, language)} {LEXICONS[language].to} {cardinal(last, language)}"

    yield rf"{START}(1[5-9][0-9]{{2}}|20[0-9]{{2}})([-–/])([0-9]{{2}}){END}", season


def _english_figures() -> Iterator[Rule]:
    def years(match: re.Match[str]) -> str:
        first, last = int(match[1]), int(match[2])
        return f"{year(first, 'en')} to {year(last, 'en')}" if first < last else match[0]

    span = "(1[1-9][0-9]{2}|20[0-9]{2})"
    yield rf"{START}{span} ?[-–] ?{span}{END}(?! [a-z]+[^s]s\b)", years
    era = r"(?= (?:BCE?|B\.C\.(?:E\.)?))"
    yield (
        rf"{START}([1-9][0-9]{{0,3}}) ?[-–] ?([1-9][0-9]{{0,3}}){END}{era}",
        lambda m: f"{year(int(m[1]), 'en')} to {year(int(m[2]), 'en')}" if int(m[1]) > int(m[2]) else m[0],
    )
    yield f"{START}{_DAY}/{_DAY}/{_YEAR}{END}", _american
    yield f"{START}{_DAY}(-|\\.){_DAY}\\2{_YEAR}{END}", lambda m: _date(m[0], m[4], m[3], m[1], "en")
    yield f"{START}{_DAY}(/){_DAY}/([0-9]{{2}}){END}", _american_short

    # Behind these a day, where one of the two numbers is no month: "on 3/14", "by 12/25".
    weekday = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day,?"
    small = r"(?!(?<=by )(?:1/|[0-9]+/(?:16|20|32)))"  # "cut by 1/20"
    yield (
        rf"\b((?:(?:[Oo]n|[Bb]y|[Ss]ince|[Uu]ntil|[Tt]ill|[Dd]ue|[Dd]ated)(?: {weekday})?|{weekday}) ){START}{small}"
        rf"{_DAY}/{_DAY}{END}(?! ?(?:in|inch)\b)(?! of\b)(?! [a-z]+s\b)",
        _american_day,
    )


def month_rules(language: str) -> Iterator[Rule]:
    """The rules for English months' names; Chinese, Spanish and French read a number beside a month as any other."""
    if language != "en":
        return
    months = LEXICONS["en"].months
    short = "|".join(f"{name[:3]}\\.?" for name in months if name != "May") + r"|Sept\.?"
    lower = "|".join(name.lower() for name in months if name not in ("March", "May"))
    clear = "|".join(name for name in months if name not in ("March", "May"))
    every = f"{'|'.join(months)}|march|may|{lower}|{short}"
    yield rf"{START}{_DAY}-({clear}|{lower}|{short}|March|May)-((?:[12][0-9])?[0-9]{{2}}){END}", _dashed
    yield (
        rf"{START}({_DAY[1:-1]} (?:{every})) ?[-–] ?({_DAY[1:-1]} (?:{every})\b)",
        lambda m: f"{m[1]} to {m[2]}",
    )
    yield rf"\b((?:{every}) {_DAY[1:-1]}) ?[-–] ?((?:{every}) {_DAY[1:-1]}){END}", lambda m: f"{m[1]} to {m[2]}"
    yield rf"\b((?:{any_case(every)})) {_DAY}(?:{_TH}, ?| |(?:st|nd|rd|th) ){_YEAR}{END}", _month_first
    yield rf"\b({every}) {_DAY}(?:st|nd|rd|th)()()?{END}", _month_first
    days = f"{_DAY}{_TH}(?:[-–]{_DAY}{_TH})?"
    yield rf"(?<![0-9] )\b({clear}|{lower}|{short}) {days}(?:, ?{_YEAR})?{END}(?! ?[%$€£])", _month_days
    yield rf"\b((?:{any_case(_BEFORE_MAY)}) (?:March|May)) {days}(?:, ?{_YEAR})?{END}(?! ?[%$€£])", _month_days
    yield rf"(?<![0-9] )\b(March|May) {days}(?:, ?{_YEAR})?{END}(?=[.,;:!?)\]\n]|$)", _month_days
    yield rf"\b([Tt]he )?{START}{_DAY}{_TH}(?:[-–]{_DAY}{_TH})?(?: of)? ((?i:{every}))(?:,)? {_YEAR}{END}", _day_first
    yield (
        rf"{START}{_DAY} ({clear}|{lower}|{short}|March|May) ([0-9]{{2}}){END}(?= ?[.,;:!?…)\]]|$)",
        _short_day_first,
    )
    yield rf"{START}(?:3[01]|[12][0-9]|0?[1-9]) (?:{clear}|{lower}|{short}|March|May) '?[0-9]{{2}}{END}", hidden
    # "25 Jan 09" may be a year's last digits; the day of another date may follow.
    other = r"(?! '?[0-9]{2}(?![0-9]|[:/][0-9]))(?! [a-z-]*(?:first|second|third|[a-z]th)\b)"
    of = rf"(?: of)? ({clear}|{lower}|{short}|March|May)\b(?:,? {_YEAR}{END})?{other}"
    yield rf"\b([Tt]he )?{START}{_DAY}{_TH}(?:[-–]{_DAY}{_TH})?{of}", _day_first


def _american_day(match: re.Match[str]) -> str:
    month, day = sorted((int(match[2]), int(match[3])))
    if day <= 12 or date(2000, month, day, "en") is None:
        return match[0]
    return f"{match[1]}{LEXICONS['en'].months[month - 1]} {ordinal(day, 'en')}"


def _american(match: re.Match[str]) -> str:
    return date(int(match[3]), int(match[1]), int(match[2]), "en") or _date(
        match[0], match[3], match[2], match[1], "en"
    )


def _american_short(match: re.Match[str]) -> str:
    """A date with a year of two digits; three numbers in equal steps are none: "5/10/15"."""
    first, second, last = int(match[1]), int(match[3]), int(match[4])
    if 30 <= last < 50 or (last - second == second - first and len(match[1]) == 1):
        return match[0]
    years = str(last + (2000 if last < 30 else 1900))
    return date(int(years), first, second, "en") or _date(match[0], years, match[3], match[1], "en")


def _month(written: str) -> str:
    return next(name for name in LEXICONS["en"].months if name[:3].lower() == written[:3].lower())


def _month_first(match: re.Match[str]) -> str:
    if not _days_fit(match[2], None, match[1], match[3]):
        return _no_day(match, match[2])
    return f"{_month(match[1])} {ordinal(int(match[2]), 'en')}" + (f", {year(int(match[3]), 'en')}" if match[3] else "")


def _month_days(match: re.Match[str]) -> str:
    """ "June 5-7, 2020"; the group of the month may have a word before it."""
    before, _, name = match[1].rpartition(" ")
    if not _days_fit(match[2], match[3], name, match[4]):
        return _no_day(match, match[2])
    said = f"{before + ' ' if before else ''}{_month(name)} {_span(match[2], match[3])}"
    return said + (f", {year(int(match[4]), 'en')}" if match[4] else "")


def _day_first(match: re.Match[str]) -> str:
    the, first, last, name, years = match.groups()
    if not _days_fit(first, last, name, years):
        return _no_day(match, first)
    return f"{the or 'the '}{_span(first, last)} of {_month(name)}" + (f", {year(int(years), 'en')}" if years else "")


def _dashed(match: re.Match[str]) -> str:
    """ "5-Apr-2023", "05-Apr-23"; what is no day of the calendar's stays whole."""
    years = match[3] if len(match[3]) == 4 else f"{20 if int(match[3]) < 30 else 19}{match[3]}"
    if not _days_fit(match[1], None, match[2], years):
        return hidden(match)
    return f"{_month(match[2])} {ordinal(int(match[1]), 'en')}, {year(int(years), 'en')}"


def _short_day_first(match: re.Match[str]) -> str:
    """ "25 Jan 09", of this century up to the twenties, of the last from fifty on."""
    short = int(match[3])
    years = 2000 + short if short < 30 else 1900 + short
    if 30 <= short < 50 or not _days_fit(match[1], None, match[2], str(years)):
        return hidden(match)
    return f"the {ordinal(int(match[1]), 'en')} of {_month(match[2])}, {year(years, 'en')}"


def _no_day(match: re.Match[str], day: str) -> str:
    """What looks like a day that the calendar does not have stays whole: "June 31"; "June 45" is two things."""
    return hidden(match) if 28 < int(day) < 32 else match[0]


def _days_fit(first: str, last: str | None, month: str, years: str | None) -> bool:
    """Whether the calendar has these days, in order; without a year, February may have 29."""
    number = LEXICONS["en"].months.index(_month(month)) + 1
    in_order = last is None or int(first) < int(last)
    return in_order and all(date(int(years or 2000), number, int(day), "en") for day in (first, last or first))


def _span(first: str, last: str | None) -> str:
    said = ordinal(int(first), "en")
    return f"{said} to {ordinal(int(last), 'en')}" if last else said


def _chinese_span(match: re.Match[str]) -> str:
    if int(match[1]) >= int(match[2]):
        return match[0]
    return f"{digits(match[1], 'zh')}到{digits(match[2], 'zh')}"


def _chinese() -> Iterator[Rule]:
    def month(match: re.Match[str]) -> str:
        joint = "到" if match[4] else ""
        parts = [
            f"{year(int(y), 'zh')}年{cardinal(int(m), 'zh')}月" for y, m in (match.group(2, 3), match.group(4, 5)) if y
        ]
        return match[1] + joint.join(parts)

    when = r"((?:19|20)[0-9]{2})\.(0?[1-9]|1[0-2])"
    yield rf"{START}([0-9]{{2}})(?=年(?:[0-9]{{1,2}}月|{_YEAR_FOLLOWED}))", lambda m: digits(m[1], "zh")
    yield rf"(){START}{when} ?[-–—~至到] ?{when}{END}", month
    yield rf"([于在从自至到]|截[至止]){START}{when}()(){END}(?! ?{COUNTED})", month

    def years(match: re.Match[str]) -> str:
        return (f"{year(int(match[1]), 'zh')}到" if match[1] else "") + year(int(match[2]), "zh")

    yield r"(?<=[0-9][年月日号点时])[-~–—](?=[0-9])(?![0-9.]+ ?[°度])", lambda m: "到"
    yield rf"{START}(?:([0-9]{{4}})[-~–—至到])?([0-9]{{4}})(?= ?年(?!前|后|历史|来|间|以|之))", years
    span = rf"{START}(1[0-9]{{3}}|20[0-9]{{2}})[-–—~](1[0-9]{{3}}|20[0-9]{{2}}){END}"
    yield rf"{span}(?! ?{COUNTED})", _chinese_span
    yield r"(?<=[(（])([1-9][0-9]{2,3})[-–—~]([1-9][0-9]{2,3})(?=[)）])", _chinese_span
    yield (
        rf"{START}([0-9]{{4}})(?:-([0-9]{{2}})|/((?:20)?[0-9]{{2}}))(?=年|赛季|财年|学年)",
        lambda m: f"{year(int(m[1]), 'zh')}到{digits(m[2] or m[3], 'zh')}",
    )
    yield rf"{START}((?:19|20)[0-9]{{2}})(?=世界杯|奥运|欧洲杯|赛季|财年|学年|春晚|届)", lambda m: year(int(m[1]), "zh")
    yield rf"{START}([0-9]{{3}})(?=事件|大促|晚会)", lambda m: digits(m[1], "zh")
    yield rf"{START}([0-9]0|[0-9]5)(?=后)(?!后的?[天年月日秒])", lambda m: digits(m[1], "zh")
    yield rf"{START}0([1-9])(?=[月日号时点分秒])", lambda m: cardinal(int(m[1]), "zh")
    yield (
        rf"{START}(1?[0-9])\.([0-3]?[0-9])(?=(?:汶川|特大|大)?地震|暴雨|事件|事故|晚会|{_DAYS})",
        lambda m: digits(m[1] + m[2], "zh"),
    )
    yield rf"{START}([1-9]|1[0-2])[·•]([1-9]|[12][0-9]|3[01]){END}", lambda m: digits(m[1] + m[2], "zh")
