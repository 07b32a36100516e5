"""Formulas and marks of measure: "2 + 2 = 4", "3.2e-5", "x^2", "3 × 4", "≥ 5", "5'11\"", "1.5x", "24/7", "7j/7"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.amounts import Amounts
from runtime.text.readings.attributes import OF_METRES
from runtime.text.readings.lexicon import alternatives
from runtime.text.readings.numerals import cardinal
from runtime.text.readings.reading_rules import CURRENCY, END, LETTER, START, Reading, Rule, hidden

_FIXED = {
    "en": {
        "24/7": "twenty-four seven",
        "9/11": "nine eleven",
        "7/11": "seven eleven",
        "50/50": "fifty-fifty",
        "50-50": "fifty-fifty",
    },
    "es": {"24/7": "veinticuatro siete", "50/50": "cincuenta cincuenta", "50-50": "cincuenta cincuenta"},
    "fr": {"50/50": "cinquante-cinquante", "50-50": "cinquante-cinquante"},
}


_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", "⁺")


def formula_rules(amounts: Amounts) -> Iterator[Rule]:
    """The rules of one language."""
    language, words, space = amounts.language, amounts.words, amounts.space
    signs, amount = words.signs, amounts.pattern
    if language in _FIXED:
        yield rf"{START}(?:{'|'.join(_FIXED[language])}){END}", lambda m: _FIXED[language][m[0]]
    if language == "fr":
        yield from _french()
    if language == "en":
        yield (
            rf"{START}([1-9])-(in|on|to|for|by)-([1-9]){END}",
            lambda m: "-".join((cardinal(int(m[1]), "en"), m[2], cardinal(int(m[3]), "en"))),
        )
    yield r"(?<![0-9.,])(10|2)([⁺⁻]?[⁰¹²³⁴-⁹]{1,3})(?!\w)", lambda m: f"{m[1]}^{m[2].translate(_RAISED)}"
    minus = f"{words.minus}{space}"

    def scientific(match: re.Match[str]) -> str:
        power = cardinal(int(match[3]), language)
        sign = minus if match[2] == "-" else ""
        if language == "zh":
            return f"{amounts.number(match[1])}{signs['scientific']}{sign}{power}次方"
        return f"{amounts.number(match[1])} {signs['scientific']} {sign}{power}"

    yield rf"{START}({amount})[eE]([-+])([0-9]{{1,3}}){END}", scientific
    yield rf"{START}([0-9]+\.[0-9]+)[eE]()([0-9]{{1,3}}){END}", scientific
    yield rf"{START}({amount}) ?[×x*] ?10\^([-−]?)([0-9]{{1,3}}){END}", scientific

    def power(match: re.Match[str]) -> str:
        base = amounts.number(match[1]) if match[1].isdigit() else match[1]
        shift = {"²": "2", "³": "3"}.get(match[2], match[2])
        known = {"2": signs["squared"], "3": signs["cubed"]}.get(shift)
        if known:
            return f"{base}{space}{known}"
        sign, exponent = (minus, shift[1:]) if shift[0] == "-" else ("", shift)
        said = cardinal(int(exponent), language) if exponent.isdigit() else exponent
        return f"{base}的{sign}{said}次方" if language == "zh" else f"{base} {signs['power']} {sign}{said}"

    yield (
        rf"(?<![{LETTER}0-9_.^*/=+-])([0-9]{{1,4}}|[a-zA-Z])\^(-?[0-9]{{1,3}}|[a-z])(?![{LETTER}0-9_^(*/=+-])(?!\.[0-9])",
        power,
    )
    yield rf"(?<![{LETTER}0-9_.^])([a-ln-zA-LN-Z])([²³])(?![{LETTER}0-9_^])", power
    yield from _equations(amounts)

    yield from _lots(amounts)

    def product(match: re.Match[str]) -> str:
        joint = f"{space}{signs['by']}{space}"
        return joint.join(amounts.number(part) for part in re.split(" ?[x×] ?", match[0]))

    yield (
        rf"{START}[1-9][0-9]{{0,4}}(?: ?[x×] ?[1-9][0-9]{{0,4}}){{1,2}}(?![{LETTER}0-9])(?![.,][0-9])(?! ?[x×=])",
        product,
    )
    for sign in "≥≤≈≠±":
        yield rf" ?{sign} ?(?=[-+]?[$€£¥]?\.?[0-9])", _spaced(signs[sign], space)
    number = rf"(?=[-+]?[0-9]{{1,6}}(?:[.,][0-9]+)?(?![>0-9])(?:%|{END}))"
    for sign in "<>":
        yield (
            rf"(?:(?<=^)|(?<=[\s(])|(?<=[0-9{LETTER}] )){sign} ?{number}",
            _before(signs[sign], space),
        )
    yield rf"(?<=[{LETTER})] )= (?=[-+]?[0-9])", lambda m: f"{signs['=']}{space}"
    yield rf"(?<=[0-9] )([×÷]) (?=[0-9{LETTER}])", lambda m: f"{signs[m[1]]}{space}"
    if language in ("en", "es"):
        yield from _feet(amounts)
    yield r"~[0-9][A-Za-z]~[0-9]", hidden  # colours of a program's text
    about = f"{words.about}{space}"
    large = r"(?![0-9.]*[KMB]\b)" if language == "en" else ""  # thousands, kelvins or kilobytes
    yield rf"(?<![\w~/.%‰°²³€+])~ ?(?=[$€£¥]?[0-9]){large}", lambda m: about
    if language == "zh":
        yield rf"(?<=[一-鿿])(?<![0-9][一-鿿])~(?=[0-9]+{END})", lambda m: about


def _lots(amounts: Amounts) -> Iterator[Rule]:
    """So many of a measure or a sum, which is read behind it: "12 x 500 ml", "3 x $5", "4x100m"."""
    language, words, space = amounts.language, amounts.words, amounts.space
    signs, amount = words.signs, amounts.pattern
    lengths = ("m", "cm", "mm", "km", "px")
    measured = alternatives([*words.units, *words.money])

    def lot(match: re.Match[str]) -> str:
        by = signs["by"] if match[2] in lengths else signs["×"]
        return f"{amounts.number(match[1])}{space}{by}{space}"

    people = rf"(?![0-9.,]+m (?!{OF_METRES})[a-z])" if language == "en" else ""
    yield rf"{START}([1-9][0-9]{{0,3}}) ?[x×] ?{people}(?={amount} ?({measured})(?![{LETTER}0-9²³/]))", lot
    yield rf"{START}([1-9][0-9]{{0,3}}) ?[x×] ?(?=[{CURRENCY}][0-9])()", lot


def times_rules(amounts: Amounts) -> Iterator[Rule]:
    """ "1.5x", read after ranges ("2-3x")."""
    amount = amounts.pattern
    times = amounts.words.signs["times"].split("|")
    of_times = (times[0], times[-2] if len(times) > 2 else times[-1])
    decade = r"(?!(?:19[0-9]|20[0-2])x(?![ 0-9]))" if amounts.language == "zh" else ""  # "Windows NT, 200x, XP"
    if amounts.language != "zh":  # a page of the manual
        yield r"(?<=\()1x(?=\))", lambda m: f"{cardinal(1, amounts.language)} x"
    # A version of which any is meant: "DBUS 0.3x and later".
    ends = r"(?=[.,;:)]|$| (?:and|or|series|versions?|releases?|kernels?)\b)"
    yield rf"(?=[0-9]{{1,3}}\.[0-9]x)(?:(?<=[A-Z]{{2}} )|(?<=[Ll]inux )){START}[0-9]{{1,3}}\.[0-9]x{ends}", hidden
    yield (
        rf"(?<!Windows ){START}(?!0x){decade}({amount})[x×](?![{LETTER}0-9_×=*/%-])(?! [-+−=] )",
        lambda m: _times(m[1], of_times, amounts),
    )


def _before(said: str, space: str) -> Reading:
    return lambda match: said + space


def _spaced(said: str, space: str) -> Reading:
    return lambda match: (space if match.start() else "") + said + space


def _times(written: str, names: tuple[str, str], amounts: Amounts) -> str:
    quantity = amounts.quantity(written)
    if amounts.language == "zh":
        return ("两" if written == "2" else amounts.number(written)) + names[0]
    said = amounts.number(written)
    if amounts.language == "es" and quantity is not None:
        said = cardinal(quantity, "es", feminine=True)
    if amounts.language == "fr" and quantity is not None:
        said = cardinal(quantity, "fr", feminine=True)
    return f"{said} {names[0] if quantity == 1 else names[1]}"


def _equations(amounts: Amounts) -> Iterator[Rule]:
    """Sums with an equals sign, or with spaces around the sign: "5-3=2", "2 + 2"."""
    language, words, space = amounts.language, amounts.words, amounts.space
    number = r"[0-9]{1,9}(?:\.[0-9]{1,6})?"
    less = {"en": "minus", "es": "menos", "fr": "moins", "zh": "减"}[language]
    more = {"en": "plus", "es": "más", "fr": "plus", "zh": "加"}[language]
    said = words.signs | {
        "-": less,
        "−": less,
        "+": more,
        "x": words.signs["×"],
        "*": words.signs["×"],
        "/": words.signs["÷"],
    }

    def equation(match: re.Match[str]) -> str:
        parts = re.findall(rf"{number}|[-−+x×*÷/=]", match[0])
        return space.join(said.get(part) or amounts.number(part, counted=True) for part in parts)

    if language != "zh":  # a sum of measures: "16 * 1 KB"
        units = alternatives(words.units)
        yield rf"(?<=[0-9] )([+×*])(?= {number} ?(?:{units})(?![{LETTER}0-9/²³]))", lambda m: said[m[1]]
    operator = r" ?[-−+x×*÷/] ?"
    yield rf"{START}{number}(?:{operator}{number}){{1,6}} ?= ?{number}{END}", equation
    yield rf"{START}{number} = {number}(?: [+×÷*] {number}){{1,6}}{END}", equation
    yield rf"{START}{number}(?: [+×÷*] {number}){{1,6}}{END}", equation
    yield rf"{START}{number}(?:[+÷]{number}){{1,6}}{END}", equation


def _feet(amounts: Amounts) -> Iterator[Rule]:
    foot, inch = {
        "en": (("foot", "feet"), ("inch", "inches")), "es": (("pie", "pies"), ("pulgada", "pulgadas")),
    }[amounts.language]  # fmt: skip

    def measured(match: re.Match[str]) -> str:
        joint = " y " if amounts.language == "es" else " "
        return joint.join(
            _feminine(int(number), amounts.language, number != match[1]) + f" {names[int(number) != 1]}"
            for number, names in ((match[1], foot), (match[2], inch))
        )

    yield rf"{START}([1-9])['’′] ?([0-9]|1[01])(?:\"|”|″|'')(?![{LETTER}0-9])", measured
    yield rf"{START}([1-9])(?:′) ?([0-9]|1[01])(?![{LETTER}0-9])", measured
    if amounts.language == "en":
        yield rf"{START}([1-9][0-9]?) ?ft\.?,? ([0-9]|1[01]) ?in(?:\.(?= [a-z(]|[,;])|(?![{LETTER}0-9]))", measured


def _feminine(number: int, language: str, feminine: bool) -> str:
    said = cardinal(number, language, feminine)
    return "un" if said == "uno" else said


def _french() -> Iterator[Rule]:
    yield (
        rf"\b((?:[Uu]n|[Ll]es?|[Dd]es|[Dd]u|[Aa]ux?|[Ee]n|[MmTtSs]on|[Ll]eurs?) ){START}4[x×]4{END}",
        lambda m: f"{m[1]}quatre-quatre",
    )
    yield rf"{START}7 ?j(?:ours)? ?(?:/|sur) ?7{END}", lambda m: "sept jours sur sept"
    yield rf"{START}24 ?h ?(?:/|sur) ?24(?: ?h)?{END}", lambda m: "vingt-quatre heures sur vingt-quatre"
    yield rf"{START}24/24(?: ?h)?{END}", lambda m: "vingt-quatre heures sur vingt-quatre"
    yield rf"{START}7/7{END}", lambda m: "sept jours sur sept"
    yield rf"{START}24/7{END}", lambda m: "vingt-quatre heures sur vingt-quatre, sept jours sur sept"
