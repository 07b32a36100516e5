"""How numbers and the symbols around them are read: dates, times, money, measures, ordinals, ranges, plain numbers.

Fractions, telephone numbers and Roman numerals have modules of their own.
A language's rules are applied one after another; what one rule reads holds no digit that a later one could read again.
Digits that fit no rule, or that hang on a letter ("MP3", "v1.2.3"), stay as they are, and so do web addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from calendar_words import date, time_of_day
from lexicon import LEXICONS, Noun
from numerals import before_noun, before_word, cardinal, digits, fraction, is_code, ordinal, year
from reading_rules import END, LETTER, START, Reading, Rule
from roman_numerals import roman_rules
from telephones import telephone_rules
from vulgar_fractions import fraction_rules, spelled

_VARIANTS = str.maketrans(
    dict(zip("０１２３４５６７８９％￥＄−～", "0123456789%¥$-~", strict=True)) | {"℃": "°C", "℉": "°F"}
)
_ASCII_RUN = re.compile(r"([!-~]+)")
_ADDRESS = re.compile(r"://|www\.|@")
_SYMBOLS = "$€£¥"
_CODES = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CNY": "¥", "RMB": "¥"}
_MILLION = 1_000_000
_MOST_DIGITS = 15  # nobody says longer numbers, and cn2an stops at 16 digits
_YEAR_FOLLOWS = "in|since|until|till|by|before|after|during|from|year|circa|early|late"
_CHINESE_MEASURE_WORDS = "个只位次天名条件本张块家双倍杯座辆种岁斤公小分千万亿"
_ORDINALS = {
    "en": r"([0-9]{1,4})(st|nd|rd|th)",
    "es": r"([0-9]{1,4})\.?(º|ª|er|[rdtmvn][oa])",
    "fr": r"([0-9]{1,4})(ère|ième|ème|er|re|nde|nd|e)",
}


def read_numbers(text: str, language: str) -> str:
    """The text with its numbers in words; a language without a lexicon keeps them."""
    if language not in LEXICONS:
        return text
    parts, plain_from = [], 0
    text = spelled(text.translate(_VARIANTS))
    for run in _ASCII_RUN.finditer(text):
        if _ADDRESS.search(run[0]):
            parts += [_reader(language).read(text[plain_from : run.start()]), run[0]]
            plain_from = run.end()
    return "".join([*parts, _reader(language).read(text[plain_from:])])


@cache
def _reader(language: str) -> _Reader:
    return _Reader(language)


class _Reader:
    """The rules of one language."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._words = LEXICONS[language]
        self._space = "" if language == "zh" else " "
        grouped = "|".join(rf"[0-9]{{1,3}}(?:{re.escape(c)}[0-9]{{3}}){{1,4}}(?![0-9])" for c in self._words.thousands)
        point = f"[{re.escape(self._words.decimal)}]"
        self._amount = rf"(?:{grouped}|[0-9]+)(?:{point}[0-9]+)?"
        self._parts = re.compile(rf"({grouped}|[0-9]+)(?:{point}([0-9]+))?")
        rules = [
            *roman_rules(language), *self._dates(), *fraction_rules(language), *telephone_rules(language),
            *self._times(), *self._joints(), *self._quantities(),
        ]  # fmt: skip
        self._rules: list[tuple[re.Pattern[str], Reading]] = [
            (re.compile(pattern), reading) for pattern, reading in rules
        ]

    def read(self, text: str) -> str:
        for pattern, reading in self._rules:
            text = pattern.sub(reading, text)
        return text

    # Each of these yields patterns with what reads them; a reading returns the match itself to leave it alone.

    def _dates(self) -> Iterator[Rule]:
        days, months, years = "([0-9]{1,2})", "([0-9]{1,2})", "([0-9]{4})"
        first, last = r"(?<![\w./-])", r"(?![\w/-])(?!\.[0-9])"
        yield f"{first}{years}([-/.]){months}\\2{days}{last}", lambda m: self._date(m, m[1], m[3], m[4])
        if self._language == "zh":
            span = "(?:([0-9]{4})[-~–])?"
            yield rf"(?<![0-9-]){span}([0-9]{{4}})(?=年)", lambda m: self._years(m[1], m[2])
            return
        if self._words.day_first:
            yield f"{first}{days}([-/.]){months}\\2{years}{last}", lambda m: self._date(m, m[4], m[3], m[1])
            return
        yield f"{first}{months}/{days}/{years}{last}", self._american_date
        yield f"{first}{days}([-.]){months}\\2{years}{last}", lambda m: self._date(m, m[4], m[3], m[1])
        names = "|".join([*self._words.months, *(f"{name[:3]}\\." for name in self._words.months), "Sept\\."])
        ending = r"(?:st|nd|rd|th)?"
        yield rf"\b({names}) ({days[1:-1]}){ending}(?:,? ([0-9]{{4}}))?{END}(?! ?[%$€£])", self._month_first
        yield rf"\b((?:[Tt]he )?)({days[1:-1]}){ending} (?:of )?({names})(?:,? ([0-9]{{4}}))?{END}", self._day_first

    def _date(self, match: re.Match[str], years: str, months: str, days: str) -> str:
        return date(int(years), int(months), int(days), self._language) or match[0]

    def _years(self, first: str | None, last: str) -> str:
        return (f"{year(int(first), 'zh')}{self._words.to}" if first else "") + year(int(last), "zh")

    def _american_date(self, match: re.Match[str]) -> str:
        month_first = date(int(match[3]), int(match[1]), int(match[2]), "en")
        return month_first or self._date(match, match[3], match[2], match[1])

    def _month_first(self, match: re.Match[str]) -> str:
        if not 1 <= int(match[2]) <= 31:
            return match[0]
        return f"{self._month(match[1])} {ordinal(int(match[2]), 'en')}" + self._year_after(match[3])

    def _day_first(self, match: re.Match[str]) -> str:
        if not 1 <= int(match[2]) <= 31:
            return match[0]
        said = f"{match[1] or 'the '}{ordinal(int(match[2]), 'en')} of {self._month(match[3])}"
        return said + self._year_after(match[4])

    def _month(self, written: str) -> str:
        return next(name for name in self._words.months if name[:3] == written[:3])

    def _year_after(self, written: str | None) -> str:
        return f", {year(int(written), 'en')}" if written else ""

    def _times(self) -> Iterator[Rule]:
        hours, minutes = "([01]?[0-9]|2[0-4])", "([0-5][0-9])"
        if self._language == "fr":
            yield rf"{START}{hours} ?h ?{minutes}?(?![{LETTER}0-9])", lambda m: self._time(m[1], m[2])
        half_day = rf"( ?[AaPp]\.?[Mm](?![{LETTER}]))?" if self._language == "en" else "()"
        yield (
            rf"{START}{hours}:{minutes}(?::{minutes})?{half_day}(?![{LETTER}_0-9:])",
            lambda m: self._time(m[1], m[2], m[3], m[4]),
        )
        if self._language == "en":
            yield (
                rf"{START}([0-9]{{1,2}}) ?([AaPp]\.?[Mm])(?![{LETTER}])",
                lambda m: f"{cardinal(int(m[1]), 'en')} {m[2]}",
            )

    def _time(self, hour: str, minute: str | None, second: str | None = None, half: str | None = None) -> str:
        half_day = (half or "").strip()
        said = time_of_day(int(hour), int(minute or 0), int(second) if second else None, self._language, half_day)
        return f"{said} {half_day}" if half_day else said

    def _joints(self) -> Iterator[Rule]:
        """What stands between or before numbers: the dash of a range, the signs, powers and the number sign."""
        space = self._space
        before = rf"(?<![{LETTER}_0-9.,:-])" if self._language == "zh" else r"(?<![\w.,:-])"
        parts = "(?: ?[%€£¥]|[日月年号点])?" if self._language == "zh" else f"(?: ?[%{_SYMBOLS}])?"
        amount, currency = f"({self._amount})", f"([{_SYMBOLS}]?)"
        yield rf"{before}{currency}{amount}({parts})(?:[-~]| ?– ?){currency}{amount}(?![-–0-9])", self._range
        joined = rf"[{LETTER}0-9_)\]%°²³{_SYMBOLS}-]" if self._language == "zh" else rf"[\w)\]%°²³{_SYMBOLS}-]"
        signs = {"-": self._words.minus + space, "+": self._words.plus + space}
        yield rf"(?<!{joined})([-+])(?=(?:US)?[{_SYMBOLS}]?[0-9])", lambda m: signs[m[1]]
        yield rf"(?<=[0-9])( ?k?m)([23])(?![{LETTER}0-9])", lambda m: m[1] + {"2": "²", "3": "³"}[m[2]]
        if self._language == "en":
            yield rf"(?<![\w#])#(?=[0-9]+{END})", lambda m: "number "
        if self._language in ("es", "fr"):
            number = {"es": "número", "fr": "numéro"}[self._language]
            yield r"(?i)(?<!\w)n\.?[º°] ?(?=[0-9])", lambda m: f"{number} "

    def _range(self, match: re.Match[str]) -> str:
        first, last = self._value(match[2]), self._value(match[5])
        if first >= last or is_code(match[2]) or is_code(match[5]):
            return match[0]
        currency = match[4] or match[1]
        lead = "" if currency == match[1] and not match[4] else match[1]
        return f"{lead}{match[2]}{match[3]}{self._space}{self._words.to}{self._space}{currency}{match[5]}"

    def _quantities(self) -> Iterator[Rule]:
        amount, language = self._amount, self._language
        magnitudes = "|".join(map(re.escape, sorted(self._words.magnitudes, key=len, reverse=True)))
        magnitude = rf"(?: ?({magnitudes}){'' if language == 'zh' else f'(?![{LETTER}])'})?"
        symbol = "|".join([rf"(?:US)?[{_SYMBOLS}]", *_CODES])
        units = "|".join(map(re.escape, sorted(self._words.units, key=len, reverse=True)))
        no_letter = f"(?![{LETTER}_0-9])"
        yield rf"(?<![{LETTER}_0-9])({symbol}) ?({amount}){END}{magnitude}", lambda m: self._money(m[2], m[3], m[1])
        yield rf"{START}({amount}){magnitude} ?({symbol}){no_letter}", lambda m: self._money(m[1], m[2], m[3])
        yield rf"{START}({amount}) ?%", self._percent
        if language == "en":
            yield rf"{START}((?:1[1-9]|20)?[2-9]0|(?:1[1-9]|20)[01]0)s{END}", self._decade
        yield rf"{START}({amount}) ?({units})(?![{LETTER}_0-9²³/])", self._measure
        if language in _ORDINALS:
            yield f"{START}{_ORDINALS[language]}{END}", lambda m: ordinal(int(m[1]), language, m[2])
        if language == "en":
            yield rf"\b((?i:{_YEAR_FOLLOWS}) )(1[1-9][0-9]{{2}}){END}", lambda m: m[1] + year(int(m[2]), "en")
            yield rf"{START}((?:19|20)[0-9]{{2}}){END}", lambda m: year(int(m[1]), "en")
        if language == "zh":
            yield rf"{START}2(?=[{_CHINESE_MEASURE_WORDS}])", lambda m: before_noun(2, "zh")
        yield rf"{START}({amount}){END}(?=( [{LETTER}]+)?)", self._plain

    def _money(self, written: str, magnitude: str | None, symbol: str) -> str:
        money = self._words.money[_CODES.get(symbol, symbol[-1])]
        if magnitude:
            of = "" if magnitude in ("mil", "mille") else self._of(money.whole)
            return f"{self._number(written)}{self._space}{magnitude}{self._space}{of}{money.whole.many}"
        whole, decimals = self._split(written)
        if money.hundredth is None or len(decimals) != 2:
            return self._counted(written, money.whole)
        if decimals == "00":
            return self._counted(whole, money.whole)
        hundredths = self._counted(decimals.lstrip("0"), money.hundredth)
        if not whole.strip("0"):
            return hundredths
        return f"{self._counted(whole, money.whole)} {self._words.cents} {hundredths}"

    def _percent(self, match: re.Match[str]) -> str:
        number = self._number(match[1])
        return f"百分之{number}" if self._language == "zh" else f"{number} {self._words.percent}"

    def _measure(self, match: re.Match[str]) -> str:
        return self._counted(match[1], self._words.units[match[2]])

    def _decade(self, match: re.Match[str]) -> str:
        said = year(int(match[1]), "en") if len(match[1]) == 4 else cardinal(int(match[1]), "en")
        return f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"

    def _plain(self, match: re.Match[str]) -> str:
        quantity = self._quantity(match[1])
        if quantity is None:
            return self._number(match[1])
        return before_word(quantity, self._language, (match[2] or "").strip())

    def _counted(self, written: str, noun: Noun) -> str:
        """An amount and its noun, in the number that the language wants."""
        quantity = self._quantity(written)
        if quantity is None:
            few = self._language == "fr" and self._value(written) < 2
            return f"{self._number(written)}{self._space}{noun.one if few else noun.many}"
        one = quantity == 1 or (self._language == "fr" and quantity == 0)
        of = self._of(noun) if quantity and quantity % _MILLION == 0 else ""
        said = before_noun(quantity, self._language, noun.feminine)
        return f"{said}{self._space}{of}{noun.one if one else noun.many}"

    def _of(self, noun: Noun) -> str:
        """Spanish and French count millions *of* something."""
        if self._language == "fr":
            return "d'" if noun.many[0] in "aeéhiou" else "de "
        return "de " if self._language == "es" else ""

    def _quantity(self, written: str) -> int | None:
        """The number, if it is a whole one that is read as such."""
        whole, decimals = self._split(written)
        plain = self._ungrouped(whole)
        return None if decimals or is_code(whole) or len(plain) > _MOST_DIGITS else int(plain)

    def _number(self, written: str) -> str:
        """An amount in words."""
        whole, decimals = self._split(written)
        said = self._integer(whole)
        return self._space.join((said, self._words.point, fraction(decimals, self._language))) if decimals else said

    def _integer(self, written: str) -> str:
        plain = self._ungrouped(written)
        if is_code(written) or len(plain) > _MOST_DIGITS:
            return digits(plain, self._language)
        return cardinal(int(plain), self._language)

    def _split(self, written: str) -> tuple[str, str]:
        """An amount -> what stands before its decimal sign, separators and all, and the digits after it."""
        match = self._parts.fullmatch(written)
        assert match is not None
        return match[1], match[2] or ""

    def _ungrouped(self, written: str) -> str:
        return "".join(filter(str.isdigit, written))

    def _value(self, written: str) -> float:
        whole, decimals = self._split(written)
        return float(f"{self._ungrouped(whole)}.{decimals or 0}")
