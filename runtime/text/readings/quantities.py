"""Percentages, measures, ordinals, decades, years and plain numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.amounts import Amounts
from runtime.text.readings.attributes import OF_METRES, measure_describes
from runtime.text.readings.chinese_counting import counting_rules, is_year
from runtime.text.readings.contexts import is_single
from runtime.text.readings.dates import is_of_no_date
from runtime.text.readings.lexicon import alternatives, any_case
from runtime.text.readings.money import money_rules, per_unit
from runtime.text.readings.numerals import cardinal, ordinal, year
from runtime.text.readings.reading_rules import END, LETTER, OUTSIDE, START, Rule, hidden

_YEAR_FOLLOWS = "in|since|until|till|by|before|after|during|from|year|circa|c[.]|ca[.]|early|late|of|to|and|between"
_YEAR = re.compile("(?:19|20)(?:[0-9][1-9]|[1-9]0)")
_HIGHWAY = re.compile(r"\b(?:US|U\.S\.|Rte?\.?|Route|Hwy\.?|Highway|Interstate|SR|Exit) $")  # "US 50 W", westward
_NO_WAIT = "".join(f"(?<!{word} )" for word in ("took", "after", "within", "every", "wait", "waited", "than"))
_WAITS = "(?! (?:timeouts?|delays?|intervals?|pauses?|clips?|videos?|limits?|laps?|windows?|later)\\b)"  # seconds
_TENS = {"10": "tens", "100": "hundreds", "1000": "thousands"}
_MODE = re.compile(r"\bchmod (?:-[a-zA-Z]+ )?$")  # a file's permissions
_ORDINALS = {
    "en": r"([0-9]{1,3}(?:,[0-9]{3}){1,3}|[0-9]{1,9})(st|nd|rd|th|ST|ND|RD|TH)",
    "es": r"([0-9]{1,3}(?:[ .][0-9]{3}){1,2}|[0-9]{1,6})(\.?[ºª]|\.?er|[rdtmvn][oa]|[rdtmvn]os|[rdtmvn]as)",
    "fr": r"([0-9]{1,3}(?:[ .][0-9]{3}){1,2}|[0-9]{1,6})(ère|ièmes|èmes|ième|ème|ᵉʳ|ᵉ|er|re|nde|nd|e)",
}


def quantity_rules(amounts: Amounts) -> Iterator[Rule]:
    """The rules of one language, the surest first; plain numbers are the last."""
    yield from money_rules(amounts)
    yield from _measures(amounts)
    yield from _ordinals(amounts.language)
    yield from _years(amounts.language)
    yield from _plain(amounts)


def _measures(amounts: Amounts) -> Iterator[Rule]:
    words, language, amount = amounts.words, amounts.language, amounts.beside
    yield rf"(?<=[0-9])( ?(?:k|c|m)?m)([23])(?![{LETTER}0-9])", lambda m: m[1] + {"2": "²", "3": "³"}[m[2]]
    yield rf"(?<=[0-9])( ?)º(?= ?[CF](?![{LETTER}]))", lambda m: f"{m[1]}°"
    yield rf"(?<=[0-9] )° (?=[CF](?![{LETTER}]))|(?<=[0-9])° (?=[CF](?![{LETTER}]))", lambda m: "°"

    def percent(match: re.Match[str]) -> str:
        number, sign = amounts.number(match[1], counted=True), words.percent if match[2] == "%" else words.permille
        return f"{sign}{number}" if language == "zh" else f"{number} {sign}"

    yield rf"{START}({amount}) ?([%‰])(?![{LETTER}_0-9])(?![.,:/'’–—-][0-9])(?!/[{LETTER}])", percent
    if language == "en":
        yield (
            rf"(?=['0-9]){OUTSIDE}{_NO_WAIT}'?((?:1[1-9]|20)?[2-9]0|(?:1[1-9]|20)[01]0)'?s(?!-[0-9]){END}{_WAITS}",
            lambda m: _decade(m[1]),
        )
        yield (
            rf"(?<![{LETTER}0-9])((?i:mid|pre|post|late|early)-)((?:1[1-9]|20)?[0-9]0)s{END}",
            lambda m: m[1] + _decade(m[2]),
        )
        yield rf"{START}(1,?0{{3}}|10{{1,2}})s(?= of\b)", lambda m: _TENS[m[1].replace(",", "")]
        yield rf"{START}1,?0{{3}}s{END}", hidden  # thousands, seconds or years
        yield rf"(?<![\w'’])(['’])0([1-9]){END}", lambda m: f"{m[1]}oh {cardinal(int(m[2]), 'en')}"
    if language == "zh":
        per = alternatives(words.per_words)
        yield rf"(?<=[0-9][元块人次张包件组台篇页个])/({per})(?![A-Za-z])", lambda m: words.per_words[m[1]]
    units = alternatives(words.units)
    if language == "en":  # "3 lb/1.4 kg", "500 mg/5 ml": one or the other, or one in the other
        yield rf"{START}{amount} ?(?:{units})/{amount} ?(?:{units})(?![{LETTER}0-9])", hidden

    def measure(match: re.Match[str]) -> str:
        written, gap, unit, word, below = match.groups()
        after = match.string[match.end() : match.end() + 2]
        stop = "." if unit.endswith(".") and not re.match(r" [a-z(]|[,;:)!?]", after) else ""
        if _is_no_unit(match, unit, gap, language):
            return match[0]
        if gap == "-" or (language == "en" and not word and not below and measure_describes(match)):
            return f"{amounts.number(written, counted=True)} {words.units[unit].one}"  # "a 9-ft board"
        if language == "zh" and written == "2" and match.string[: match.start()].endswith(words.minus):
            return amounts.number(written) + words.units[unit].many + per_unit(amounts, word, below)
        return amounts.counted(written, words.units[unit]) + per_unit(amounts, word, below) + stop

    behind = rf"(?:/(?:({alternatives(words.per_words)})|({units}))(?![{LETTER}]))?"
    end = rf"(?![{LETTER}_0-9²³/])(?![.,:'’·–—-][0-9])(?!-[0-9])(?!\.[{LETTER}])(?![\^=*+%#])(?!['’][{LETTER}])"
    yield rf"{START}({amount})( |-(?!m\b|in\b|s\b|h\b|V\b|W\b)|)({units}){behind}{end}", measure


def _is_no_unit(match: re.Match[str], unit: str, gap: str, language: str) -> bool:
    """What a unit of one letter may be instead: "5m users", "60 W 42nd Street", "12 V" of a row."""
    after = match.string[match.end() : match.end() + 24]
    before = match.string[: match.start()]
    highway = unit == "W" and _HIGHWAY.search(before[-12:])
    if (gap == "-" and language != "en") or highway or before.endswith("[["):  # [[: a terminal's colour
        return True
    if language == "en" and unit == "m" and not gap:
        return bool(re.match(rf" (?!{OF_METRES})[a-z]+", after))
    if unit in ("W", "V", "L", "MP", "MM", "HP") and gap:
        return bool(re.match(r" (?:[0-9]|[A-Z][a-z])|\. Ed\b", after))  # "35 L. Ed. 2d 147", a reporter of cases
    if unit == "s" and not gap:  # noughts and ones, the sixes, an English decade
        if language != "en" and re.fullmatch("(?:1[5-9]|20)[0-9]0", match[1]):
            return True
        return match[1] in ("0", "1") or (language == "en" and "." not in match[1] and len(match[1]) < 2)
    return language == "fr" and unit == "j" and not after


def _decade(written: str) -> str:
    said = year(int(written), "en") if len(written) == 4 else cardinal(int(written), "en")
    return f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"


def _ordinals(language: str) -> Iterator[Rule]:
    if language not in _ORDINALS:
        return

    def read(match: re.Match[str]) -> str:
        number = int("".join(filter(str.isdigit, match[1])))
        suffix = match[2].lstrip(".").lower()
        if number == 0 or (language == "en" and not _english_suffix(number, suffix)):
            return match[0]
        if language == "fr" and ((number == 1) != (suffix in ("er", "re", "ère", "ᵉʳ")) or number > 999_999):
            return match[0]
        said = ordinal(number, language, suffix)
        return f"{said}s" if suffix.endswith("s") else said

    yield f"{START}{_ORDINALS[language]}(?![{LETTER}0-9_])(?![.,:/'’–-][0-9])", read


def _english_suffix(number: int, suffix: str) -> bool:
    if 10 < number % 100 < 14:
        return suffix == "th"
    return suffix == {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def _years(language: str) -> Iterator[Rule]:
    if language != "en":
        return
    counted = r"(?! (?!years|was|is|has|games|elections|as|this|does|his)[a-z]+[^s]s\b| people\b| percent\b)"
    yield rf"\b((?:{any_case(_YEAR_FOLLOWS)}) )(1[1-9][0-9]{{2}}){END}{counted}", lambda m: m[1] + year(int(m[2]), "en")
    # "Italy's 1866 transition", "the 1848 revolutions"
    event = r"(?= (?:revolutions?|overture|war|treaty|elections?|census|constitution|edition|transition|fire|earthquake"
    event += r"|rebellion|uprising|act|law|novel|gold rush|expedition|exhibition|massacre|compromise|outbreak|flood)\b)"
    yield (
        rf"\b([Tt]he |[A-Za-z]+['’]s ){START}(1[1-8][0-9]{{2}}){END}(?i:{event})",
        lambda m: m[1] + year(int(m[2]), "en"),
    )
    yield r"\b(In )(10[1-9][0-9])(?=, [A-Za-z])", lambda m: m[1] + year(int(m[2]), "en")
    yield rf"\b([Yy]ear )(10[1-9][0-9]|[4-9][0-9]{{2}}){END}{counted}", lambda m: m[1] + year(int(m[2]), "en")
    # Who said it or where, and when: "-- Niccolo Machiavelli, 1513"; a work and its year: "Moby-Dick (1851)".
    said_by = rf"(?:--|[—–]) ?[A-Z\"“][^\n0-9]{{1,120}}?(?:,|[{LETTER}])|\b[A-Z][{LETTER}.'’-]*[\"”]?,"
    alone = rf"(?! ?[{LETTER}$€£%(]|,)"
    yield rf"((?:{said_by}) )(1[1-8][0-9]{{2}}){END}{alone}", lambda m: m[1] + year(int(m[2]), "en")
    signed = rf"\b[A-Z][{LETTER}.'’-]* [A-Z][{LETTER}.'’-]*,? "
    yield rf"({signed})(1[1-8][0-9]{{2}})(?=[.)\"” …]*$)", lambda m: m[1] + year(int(m[2]), "en")
    yield rf"(\b[A-Z][{LETTER}'’-]*[.!?]?[\"”]? \()(1[1-8][0-9]{{2}})(?=\))", lambda m: m[1] + year(int(m[2]), "en")
    yield rf"{START}([1-9][0-9]{{2,3}})(?= (?:BCE?|CE|AD|B\.C\.|A\.D\.))", lambda m: year(int(m[1]), "en")
    yield rf"\b(AD )([1-9][0-9]{{2,3}}){END}", lambda m: m[1] + year(int(m[2]), "en")
    people = r"(?! (?:people|meters|metres|kilometers|miles|words|euros|dollars|pounds|votes|copies|employees)\b)"
    yield rf"{START}((?:19|20)[0-9]{{2}}){END}{people}", lambda m: year(int(m[1]), "en")
    prefix = r"(?<![A-Za-z0-9-])((?i:mid|pre|post|late|early|circa)-)"
    yield rf"{prefix}((?:1[1-9]|20)[0-9]{{2}}){END}", lambda m: m[1] + year(int(m[2]), "en")


def _plain(amounts: Amounts) -> Iterator[Rule]:
    language = amounts.language
    if language == "zh":
        yield from counting_rules()
    behind = "(?=( ?.{0,3}))" if language == "zh" else rf"(?=(?: ([{LETTER}]+(?: [{LETTER}]+)?))?)"

    def plain(match: re.Match[str]) -> str:
        written, behind = match[1], match[2] or ""
        if (
            _is_version(match, language)
            or is_of_no_date(match, language)
            or _MODE.search(match.string[: match.start()][-12:])
        ):
            return match[0]
        if amounts.is_ambiguous(written):
            word = behind.partition(" ")[0]
            if not (word.endswith("s") and len(word) > 3 and word.islower()):
                return match[0]
            written = written.replace(",", ".")
        if language == "zh" and is_year(match, behind):
            return year(int(written), "zh")
        if language in ("es", "fr") and is_single(match.string, match.start(), language):
            behind = ""  # "la página 21 contiene": what follows is not what is counted
        return amounts.plain(written, behind)

    yield rf"{START}((?:{amounts.pattern})){END}{behind}", plain
    yield rf"(?:(?<=^)|(?<=[\s(]))(\.[0-9]+){END}{behind}", plain


def _is_version(match: re.Match[str], language: str) -> bool:
    """Whether a dot that would group thousands is a version's: "versión 2.100"."""
    before = match.string[max(0, match.start() - 9) : match.start()]
    return language in ("es", "fr") and bool(
        re.search(r"(?i:versi[oó]ns? )$", before) and re.fullmatch(r"[0-9]{1,3}\.[0-9]{3}", match[1])
    )
