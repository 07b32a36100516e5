"""Roman numerals where they are clear: beside words for parts of works, wars and centuries, and behind rulers' names.

In capitals only. What could be a letter, a word or an abbreviation is left alone: C, D, L and M by themselves, all that
holds an M or a D (MIX, CD, DVD), and in English every I that could be the pronoun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.eras import century_rules, full_stop, with_era
from runtime.text.readings.lexicon import LEXICONS, alternatives, any_case
from runtime.text.readings.numerals import cardinal, ordinal
from runtime.text.readings.reading_rules import LETTER, Reading, Rule

_ONES = "(?:IX|IV|V?I{0,3})"
_ROMAN = rf"(?!L(?![IVX]))(?:C{{0,2}}(?:XC|XL|LX{{0,3}}|X{{1,3}}){_ONES}|IX|IV|VI{{0,3}}|I{{1,3}})"
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_END = rf"(?![{LETTER}_0-9])(?!['’](?!s\b))"
_NUMERAL = rf"({_ROMAN}){_END}"
_NO_INITIAL = r"(?![VX](?:\. ?| )[A-Z])"  # "Francis X. Bushman"
# Behind the pronoun a verb would follow, or a comma ("for Mary I, too, came").
_LAST = r"(?=[.;:!?)\]]|$|\n| of |,? Scene )"

_PARTS = {
    "en": "Chapter|Part|Book|Volume|Vol[.]|Act|Scene|Canto|Phase|Stage|Article|Title|Section|Psalm|Season|Episode|Round"
    "|Type|World War|Super Bowl",
    "es": "Capítulo|Parte|Libro|Tomo|Volumen|Acto|Escena|Canto|Fase|Artículo|Título|Sección|Tema|Tipo|Guerra Mundial",
    "fr": "Chapitre|Partie|Livre|Tome|Volume|Acte|Scène|Chant|Phase|Article|Titre|Section|Type|Guerre mondiale",
}
_RULERS = {
    "en": "Alexander|Alfonso|Baldwin|Benedict|Boniface|Carl|Catherine|Charles|Christian|Clement|Constantine|Darius"
    "|Edward|Elizabeth|Ferdinand|Francis|Frederick|George|Gregory|Gustav|Haakon|Harald|Henry|Innocent|Isabella|Ivan"
    "|James|John|Joseph|Julius|Leo|Leopold|Louis|Mary|Maximilian|Mehmed|Murad|Napoleon|Nicholas|Otto|Paul|Pedro|Peter"
    "|Philip|Pius|Ptolemy|Ramesses|Ramses|Richard|Robert|Selim|Sixtus|Stephen|Theodosius|Urban|Victor Emmanuel|Wilhelm"
    "|William",
    "es": "Adriano|Alberto|Alejandro|Alfonso|Amadeo|Benedicto|Bonifacio|Carlos|Celestino|Clemente|Constantino|Darío"
    "|Eduardo|Enrique|Federico|Felipe|Fernando|Francisco|Gregorio|Guillermo|Inocencio|Iván|Jacobo|Jaime|Jorge|José|Juan"
    "|Julio|León|Leopoldo|Luis|Manuel|Maximiliano|Napoleón|Nicolás|Otón|Pablo|Pedro|Pío|Ptolomeo|Ramsés|Ricardo|Sancho"
    "|Sixto|Teodosio|Urbano",
    "fr": "Albert|Alexandre|Alphonse|Benoît|Boniface|Charles|Clément|Constantin|Darius|Édouard|Ferdinand|François"
    "|Frédéric|Georges?|Grégoire|Guillaume|Henri|Innocent|Ivan|Jacques|Jean|Joseph|Jules|Léon|Léopold|Louis|Maximilien"
    "|Napoléon|Nicolas|Othon|Paul|Philippe|Pie|Pierre|Ptolémée|Ramsès|Richard|Robert|Urbain",
}
_QUEENS = {
    "es": "Ana|Catalina|Cleopatra|Cristina|Isabel|Juana|Margarita|María",
    "fr": "Catherine|Cléopâtre|Élisabeth|Isabelle|Marguerite|Marie",
}
_SPANISH_EVENTS = "aniversario|certamen|concurso|congreso|encuentro|festival|premio|simposio|torneo"
_SPANISH_EVENTS_FEMININE = "cumbre|edición|exposición|feria|guerra mundial|internacional|jornada|olimpiada|república"


def roman_rules(language: str) -> Iterator[Rule]:
    """The rules of one language; none for Chinese, which has its own numerals."""
    if language == "en":
        yield from _english()
    elif language == "es":
        yield from _spanish()
    elif language == "fr":
        yield from _french()
    if language in ("es", "fr"):
        yield from century_rules(language)
        written = LEXICONS[language].before_numbers
        yield (
            rf"(?<![{LETTER}0-9_.])({alternatives(written)}) {_NUMERAL}",
            lambda m: f"{written[m[1]]} {cardinal(_value(m[2]), language)}",
        )


def _english() -> Iterator[Rule]:
    def ruler(match: re.Match[str]) -> str:
        return f"{match[1]}the {ordinal(_value(match[2]), 'en')}"

    no_pronoun = rf"(?!I{_END})"
    yield rf"\b(World War ){_NUMERAL}", _cardinal("en")
    yield rf"\b((?:{any_case(_PARTS['en'])}) ){no_pronoun}{_NUMERAL}", _cardinal("en")
    yield rf"\b((?:{_PARTS['en']}) )(I){_LAST}", _cardinal("en")
    yield rf"\b((?:{_RULERS['en']}) ){_NO_INITIAL}{no_pronoun}{_NUMERAL}", ruler
    yield rf"\b((?:{_RULERS['en']}) )(I){_LAST}", ruler
    yield rf"\b{no_pronoun}({_ROMAN})(?:th|st|nd|rd)?(?= centur(?:y|ies)\b)", lambda m: ordinal(_value(m[1]), "en")


def _spanish() -> Iterator[Rule]:
    def said(numeral: str, suffix: str = "") -> str:
        value = _value(numeral)
        return ordinal(value, "es", suffix) if value <= 10 else cardinal(value, "es")

    yield rf"(?<![{LETTER}.])[Ss](s?)\. (?={_NUMERAL})", lambda m: f"siglo{m[1]} "
    row = rf"{_ROMAN}(?:(?:, | y | al | a |-|–){_ROMAN}{_END})*"
    yield with_era(rf"(?:(?<=\by )|(?<=\bel )|(?<=\bal )|(?<=\bdel )){_NUMERAL}", said, "es")
    yield rf"\b((?i:siglos?) )({row}){_END}", lambda m: m[1] + re.sub(_ROMAN, lambda n: said(n[0]), m[2])
    yield rf"\b((?:{any_case(_PARTS['es'])}) ){_NUMERAL}", _cardinal("es")
    yield rf"\b((?:{_RULERS['es']}) ){_NO_INITIAL}{_NUMERAL}", lambda m: m[1] + said(m[2])
    yield rf"\b((?:{_QUEENS['es']}) ){_NO_INITIAL}{_NUMERAL}", lambda m: m[1] + said(m[2], "ª")
    yield rf"\b{_NUMERAL}(?= (?i:{_SPANISH_EVENTS})\b)", lambda m: ordinal(_value(m[1]), "es", "er")
    yield rf"\b{_NUMERAL}(?= (?i:{_SPANISH_EVENTS_FEMININE})\b)", lambda m: ordinal(_value(m[1]), "es", "ª")


def _french() -> Iterator[Rule]:
    def ruler(match: re.Match[str]) -> str:
        first = "première" if re.match(_QUEENS["fr"], match[1]) else "premier"
        return match[1] + (first if match[2] == "I" else cardinal(_value(match[2]), "fr"))

    yield rf"\b({_ROMAN}(?:er|e|ᵉ|ème)) s\.(?![{LETTER}])", lambda m: f"{m[1]} siècle{full_stop(m)}"
    yield rf"\b(I)(er|re){_END}", lambda m: ordinal(1, "fr", m[2])
    yield rf"\b(?!I[eèiᵉ])({_ROMAN})(?:e|ᵉ|ème|ième){_END}", lambda m: ordinal(_value(m[1]), "fr")
    yield rf"\b((?:{any_case(_PARTS['fr'])}) ){_NUMERAL}", _cardinal("fr")
    yield rf"\b((?:{_RULERS['fr']}|{_QUEENS['fr']}) ){_NO_INITIAL}{_NUMERAL}", ruler


def _cardinal(language: str) -> Reading:
    """What stands before a numeral, and its number."""
    return lambda match: match[1] + cardinal(_value(match[2]), language)


def _value(numeral: str) -> int:
    values = [_VALUES[letter] for letter in numeral]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))
