"""Measures as Spanish and French write them: "500 mg/8 h", "5 l/100 km", "3x4 m", "40° 25′ N", "15\"", "2½ tazas"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.amounts import Amounts
from runtime.text.readings.lexicon import Noun, alternatives
from runtime.text.readings.numerals import before_word, cardinal, digits, is_feminine, ordinal
from runtime.text.readings.reading_rules import END, LETTER, START, Rule

_INCH = {"es": Noun("pulgada", "pulgadas", feminine=True), "fr": Noun("pouce", "pouces")}


def measure_rules(amounts: Amounts) -> Iterator[Rule]:
    """The rules of one of the two."""
    language, words, amount = amounts.language, amounts.words, amounts.beside
    units = alternatives(words.units)

    def dose(match: re.Match[str]) -> str:
        below = words.units[match[4]]
        number = amounts.counted(match[3], below)
        if below.one in ("hora", "heure", "día", "jour", "minuto", "minute"):
            every = {"es": "cada", "fr": "toutes les" if below.feminine else "tous les"}[language]
        elif below.one in ("kilómetro", "kilomètre"):
            every = {"es": "a los", "fr": "aux"}[language]
        else:
            every = words.per
        return f"{amounts.counted(match[1], words.units[match[2]])} {every} {number}"

    yield rf"{START}({amount}) ?({units})/([0-9]{{1,4}}) ?({units})(?![{LETTER}0-9/²³])", dose
    litre = words.units["l"]
    yield (
        rf"{START}({amount}) ?[lL]/100{END}",
        lambda m: f"{amounts.counted(m[1], litre)} {'a los cien' if language == 'es' else 'aux cent'}",
    )
    lengths = alternatives(unit for unit in ("mm", "cm", "m", "km", "px") if unit in words.units)

    def product(match: re.Match[str]) -> str:
        *first, last = re.split(" ?[x×] ?", match[1])
        by = f" {words.signs['by']} "
        return by.join([*(amounts.number(side) for side in first), amounts.counted(last, words.units[match[2]])])

    side = "[0-9]{1,4}(?:,[0-9]{1,2})?"
    yield rf"{START}({side}(?: ?[x×] ?{side}){{1,2}}) ?({lengths})(?![{LETTER}0-9²³/])", product
    north = {"es": {"N": "norte", "S": "sur", "E": "este", "O": "oeste", "W": "oeste"}}.get(
        language, {"N": "nord", "S": "sud", "E": "est", "O": "ouest", "W": "ouest"}
    )
    degree, minute, second = (words.units[unit] for unit in ("°", "min", "s"))

    def place(match: re.Match[str]) -> str:
        said = [amounts.counted(match[1], degree), amounts.counted(match[2], minute)]
        said += [amounts.counted(match[3], second)] if match[3] else []
        return " ".join([*said, *([north[match[4]]] if match[4] else [])])

    seconds = r"(?: ?([0-9]{1,2}(?:[.,][0-9]+)?)(?:\"|″|''))?"
    yield rf"{START}([0-9]{{1,3}})° ?([0-5]?[0-9])['′’]{seconds}(?: ?([NSEOW])(?![{LETTER}]))?(?![{LETTER}0-9])", place

    yield from _durations(amounts)
    yield (  # somebody's height: "1m81"
        rf"{START}([1-9])m([0-9]{{2}}){END}",
        lambda m: f"{amounts.counted(m[1], words.units['m'])} {_hundredths(m[2], language)}",
    )

    def inches(match: re.Match[str]) -> str:
        quoted = len(re.findall('(?<![0-9])"', _line_before(match))) % 2  # then it may close what was said
        return match[0] if quoted else amounts.counted(match[1], _INCH[language])

    yield rf"{START}([0-9]{{1,2}}(?:[.,][0-9]{{1,2}})?)(?:\"|″)(?![{LETTER}0-9/])", inches

    def mixed(match: re.Match[str]) -> str:
        whole, above, below, noun = match.groups()
        if (
            (whole == "1" and noun.endswith("s"))
            or noun in words.units
            or noun in words.gender["function_words"].split("|")
        ):
            return match[0]
        if (above, below) == ("1", "2"):
            half = {"es": ("medio", "media"), "fr": ("demi", "demie")}[language]
            part = half[is_feminine(noun, language)]
        else:
            names = {"es": {"3": "tercio", "4": "cuarto"}, "fr": {"3": "tiers", "4": "quart"}}[language]
            name = names[below]
            part = f"un {name}" if above == "1" else f"{cardinal(int(above), language)} {name.removesuffix('s')}s"
        return f"{before_word(int(whole), language, noun)} {noun} {'y' if language == 'es' else 'et'} {part}"

    yield rf"{START}([1-9][0-9]?) (1|2|3)[/⁄](2|3|4) ([a-zà-ÿ]{{3,}})\b(?<!2[/⁄]2)", mixed
    yield from _minutes(amounts)


def _durations(amounts: Amounts) -> Iterator[Rule]:
    """ "2h01'09\"", "1'32\"45", "9''58"; in Spanish "5'11\"" is a height in feet."""
    hour, minute, second = (amounts.words.units[unit] for unit in ("h", "min", "s"))

    def duration(match: re.Match[str]) -> str:
        hours, minutes, seconds, rest = match.groups()
        feet = amounts.language == "es" and not (hours or rest) and seconds[0] != "0" and int(seconds) < 12
        if feet or int(minutes or 0) > 59 or int(seconds) > 59:
            return match[0]
        said = [
            amounts.counted(str(int(number)), unit)
            for number, unit in ((hours, hour), (minutes, minute), (seconds, second))
            if number
        ]
        return " ".join([*said, *([_hundredths(rest, amounts.language)] if rest else [])])

    seconds = r"([0-9]{1,2})(?:\"|″|''|’’)"
    yield (
        rf"{START}(?:([0-9]{{1,2}}) ?h ?)?([0-9]{{1,2}})['′’] ?{seconds}([0-9]{{1,2}})?(?![{LETTER}0-9])",
        duration,
    )
    yield (
        rf"{START}([0-9]{{1,2}}) ?h ?([0-9]{{1,2}}) ?m(?:i?n)? ?([0-9]{{1,2}}) ?s(?:ec|eg)?()(?![{LETTER}0-9])",
        duration,
    )
    yield rf"{START}()(){seconds}([0-9]{{1,2}}){END}", duration


def _hundredths(written: str, language: str) -> str:
    return digits(written, language) if written[0] == "0" else cardinal(int(written), language)


def _minutes(amounts: Amounts) -> Iterator[Rule]:
    """ "10'", "el 45'", "à la 45'"."""
    language, minute = amounts.language, amounts.words.units["min"]
    lead = {"es": r"(?:\b([Ee]l|[Dd]el|[Aa]l) )?", "fr": r"(?:\b([Ll]a) )?"}[language]

    row = re.compile(r"\b(?:[Ee]l|[Dd]el|[Aa]l|[Ll]a) (?:[0-9]{1,3}(?:\+[0-9]+)?['′](?:,| y| et) )+$")
    more = {"es": "más", "fr": "plus"}[language]

    def minutes(match: re.Match[str]) -> str:
        the, number, added = match.groups()
        before = _line_before(match)
        if re.search(rf"(?<![{LETTER}0-9])'", before):  # it may close what was said
            return match[0]
        if not (the or row.search(before)):
            return match[0] if added else amounts.counted(number, minute)
        said = cardinal(int(number), "es") if language == "es" else ordinal(int(number), "fr")
        lead = f"{the} minuto " if the and language == "es" and not added else f"{the} " if the else ""
        return f"{lead}{said}" + (f" {more} {cardinal(int(added), language)}" if added else "")

    number = r"([1-9][0-9]?|1[0-2][0-9])(?:\+([1-9][0-9]?))?"
    yield rf"{lead}{START}{number}['′](?!['′\"0-9{LETTER}])", minutes


def _line_before(match: re.Match[str]) -> str:
    """The last characters of its line before a match."""
    start = max(match.start() - 200, match.string.rfind("\n", 0, match.start()) + 1)
    return match.string[start : match.start()]
