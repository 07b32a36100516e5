"""Numbers of versions, sections and articles in Spanish and French: "Python 3.11.4", "Tabla 1.1", "art. 21-1"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.amounts import Amounts
from runtime.text.readings.lexicon import LEXICONS, alternatives
from runtime.text.readings.numerals import cardinal, digits, ordinal
from runtime.text.readings.reading_rules import END, LETTER, START, Rule

_GROUPED = re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+")
_DATE = re.compile(r"[0-9]{1,2}\.[0-9]{1,2}\.(?:[0-9]{2}|[0-9]{4})")
_BEFORE_DATE = re.compile(
    r"(?:^|\W)(?:el|del|al|le|de|du|au|dès|desde|fecha|date|né|née|nacid[oa]|[,(])\W*$", re.IGNORECASE
)
_NAMED = {
    "es": r"versi[oó]n(?:es)?|tablas?|figuras?|secci[oó]n(?:es)?|apartados?|cap[ií]tulos?|ejemplos?|anexos?"
    r"|art[ií]culos?|n[uú]cleos?|kernel",
    "fr": r"versions?|tableaux?|figures?|sections?|paragraphes?|chapitres?|exemples?|annexes?|articles?|noyaux?|kernel",
}

_VERSION_BEFORE = re.compile(r"\bversi[oó]n(?:es|s)?\b(?:[^.;!?\n]|\.(?=[0-9]))*$", re.IGNORECASE)


def version_rules(amounts: Amounts) -> Iterator[Rule]:
    """Three parts and more anywhere; two behind what is numbered so, or behind a name."""
    language = amounts.language
    if language not in _NAMED:
        return
    words = LEXICONS[language]
    point = {"es": " punto ", "fr": " point "}[language]

    def parts(written: str) -> str:
        return point.join(
            digits(part, language) if part[0] == "0" else cardinal(int(part), language) for part in written.split(".")
        )

    def long(match: re.Match[str]) -> str:
        dated = _DATE.fullmatch(match[1]) and _BEFORE_DATE.search(
            match.string[max(0, match.start() - 12) : match.start()]
        )
        telephone = match[1][0] == "0" and match[1].count(".") > 2
        return match[0] if dated or telephone or _GROUPED.fullmatch(match[1]) else parts(match[1])

    yield rf"{START}([0-9]{{1,4}}(?:\.[0-9]{{1,3}}){{2,4}}){END}", long
    number = r"([0-9]{1,4}\.[0-9]{1,2})"
    if language == "es":  # "art. 138.1.ª"
        yield (
            rf"{START}([1-9][0-9]{{0,3}})\.([1-9])\.([ªº])(?![{LETTER}0-9])",
            lambda m: f"{cardinal(int(m[1]), 'es')} punto {ordinal(int(m[2]), 'es', m[3])}",
        )
    yield rf"\b((?i:{_NAMED[language]}) ){START}{number}{END}", lambda m: m[1] + parts(m[2])
    short = words.before_numbers
    yield (
        rf"(?<![{LETTER}0-9_.])({alternatives(short)}) ?(?<![0-9]){number}{END}",
        lambda m: f"{short[m[1]]} {parts(m[2])}",
    )
    measured = alternatives([*words.units, *words.magnitudes, *words.money, "%", "‰"])
    no_amount = rf"(?! ?(?:{measured})(?![{LETTER}]))(?! [a-zà-ÿ]+[sx]\b)"
    yield (
        rf"\b([A-ZÀ-Þ][{LETTER}0-9/+-]*[{LETTER}0-9] ){START}{number}{END}{no_amount}",
        lambda m: m[1] + parts(m[2]),
    )
    yield rf"{START}([0-9]{{1,2}}\.0){END}{no_amount}", lambda m: parts(m[1])  # no decimal is written so
    yield (  # "versions antérieures à 9.0"
        rf"{START}(?=[0-9]+\.){number}{END}{no_amount}",
        lambda m: parts(m[1]) if _VERSION_BEFORE.search(m.string[max(0, m.start() - 80) : m.start()]) else m[0],
    )


def article_rules() -> Iterator[Rule]:
    """Articles of a French code: "l'article L. 121-1", "article 21-1"; "articles 12-15" may be a range."""

    def number(match: re.Match[str]) -> str:
        joined = " tiret ".join(cardinal(int(part), "fr") for part in match[2].split("-"))
        return f"{match[1]} {joined}" if match[1] else joined

    def articles(match: re.Match[str]) -> str:
        name, row = match.groups()
        spans = not re.search("[A-Z]", row) and all(
            int(first) < int(last) for first, last in re.findall("([0-9]+)-([0-9]+)", row)
        )
        if spans or "49-3" in row:
            return match[0]
        return name.replace("rt.", "rticle").replace("rts.", "rticles") + re.sub(
            rf"(?:([LRDA])\*?\.? ?)?({code})", number, row
        )

    code = r"[0-9]{1,4}(?:-[0-9]{1,3}){1,3}"
    one = rf"(?:[LRDA]\*?\.? ?)?{code}"
    yield rf"\b((?:[Aa]rticles?|[Aa]rts?\.) )({one}(?:(?:, | et | ou | à ){one})*){END}", articles
    yield rf"(?<![{LETTER}0-9.-] )\b([LRD])\*?\. ?({code}){END}", number
