"""Sums of money: what stands for a currency, how large, per what."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.amounts import Amounts
from runtime.text.readings.attributes import sum_describes
from runtime.text.readings.lexicon import alternatives
from runtime.text.readings.numerals import cardinal
from runtime.text.readings.reading_rules import CURRENCY, END, LETTER, START, Rule
from runtime.text.readings.shells import is_parameter, no_prompt

_MANY = (
    "(?:people|(?!(?:runs|races|runners|resistors|drives|disks|cables|was|has|does|less|plus|this|its|yes|thus|always|versus)\\b)"
    "[a-z]{2,}[a-z]s)\\b"
)


def money_rules(amounts: Amounts) -> Iterator[Rule]:
    words, language, amount = amounts.words, amounts.language, amounts.beside
    currency = alternatives(words.money)
    magnitude = rf"(?:[ -]?({alternatives(words.magnitudes)}){'' if language == 'zh' else f'(?![{LETTER}])'})?"
    if language == "zh":
        magnitude = rf"(?: ?({alternatives(words.magnitudes)})(?![A-Za-z]))?"
    slash = rf"(?:(?: ?/ ?| per )(?P<word>{alternatives(words.per_words)})(?![{LETTER}]))?"
    tail = rf"{slash}(?:/(?P<unit>{alternatives(words.units)})(?![{LETTER}]))?"
    end = rf"(?![{LETTER}_0-9{CURRENCY}])(?![.,:/'’·–—-][0-9{CURRENCY}])(?!/[{LETTER}])(?!-[0-9])(?![\^=*+%#])"

    def money(match: re.Match[str], symbol: str, written: str, large: str | None) -> str:
        if symbol == "$" and is_parameter(match, written):
            return match[0]
        said = _amount_of_money(amounts, symbol, written, large, language == "en" and sum_describes(match))
        return f"{said}{per_unit(amounts, match['word'], match['unit'])}"

    tail += end
    start = (
        rf"(?=[A-Z{CURRENCY}])(?<![{LETTER}_0-9{CURRENCY}])(?<![{LETTER}0-9][./:^=*×÷~_#&@\\|])"
        rf"(?<![0-9][,'’·–—-])(?<![#&@\\^*])"
    )
    named = r"(?= (?:pesos|dólares|dollars|euros|pounds|libras|livres)\b)"  # said once: "$1,500 pesos"
    yield (
        rf"{start}[$€£] ?({amount}){named}",
        lambda m: amounts.number(m[1].replace(",", ".") if amounts.is_ambiguous(m[1]) else m[1], counted=True),
    )
    if language == "zh":  # said once: "¥199.5元"
        name = "[美欧日港韩加澳]?元|人民币|英镑|美金|港币|块|法郎|卢布|卢比"
        yield (
            rf"{start}(?:{currency}) ?({amount}){magnitude}(?= ?(?:{name}))",
            lambda m: amounts.times(m[1], words.magnitudes[m[2]]) if m[2] else amounts.number(m[1], counted=True),
        )
    yield (
        rf"{start}({currency}) ?({amount}){magnitude}{tail}",
        lambda m: money(m, m[1], m[2], m[3]),
    )
    yield (
        rf"{START}({amount}){magnitude} ?({currency}){no_prompt(language)}{tail}",
        lambda m: money(m, m[3], m[1], m[2]),
    )
    if language in ("fr", "es"):
        yield (
            rf"{START}([0-9]{{1,6}}) ?([€£])([0-9]{{2}}){END}",
            lambda m: _amount_of_money(amounts, m[2], f"{m[1]},{m[3]}", None, False, euros_alone=language == "fr"),
        )
    if language == "en":  # "10K words", but not 64K pages, which are bytes, nor a run
        byte = r"(?!(?:1|2|4|8|16|32|64|128|256|512)[kKM])"
        yield (
            rf"(?=[0-9.]{{1,5}}[kKMB] ){START}{byte}([0-9]{{1,3}}(?:\.[0-9])?)([kKMB])(?= {_MANY})",
            lambda m: amounts.times(m[1], words.magnitudes[m[2]]),
        )
    short = {"en": "bn|tn|mn|mln", "fr": "Md|Mds|Mrd", "es": None, "zh": None}[language]
    if short:
        yield rf"{START}({amount}) ?({short}){END}", lambda m: amounts.times(m[1], words.magnitudes[m[2]])


def _amount_of_money(
    amounts: Amounts, symbol: str, written: str, magnitude: str | None, attribute: bool, euros_alone: bool = False
) -> str:
    """Said with its currency; `attribute` before a noun it describes, `euros_alone` for "cinq euros cinquante"."""
    money, space = amounts.words.money[symbol], amounts.space
    if amounts.is_ambiguous(written) and ("$" in symbol or symbol in ("MXN", "USD")):
        written = written.replace(",", ".")  # Mexico's comma groups
    if magnitude:
        large = amounts.times(written, amounts.words.magnitudes[magnitude])
        of = "" if re.search("mil$|mille$", large) else amounts.of(money.whole)
        return f"{large}{space}{of}{money.whole.one if attribute else money.whole.many}"
    whole, decimals = amounts.split(written)
    if attribute and not decimals:
        return f"{amounts.number(whole, counted=True)}{space}{money.whole.one}"
    if money.hundredth is None or len(decimals) != 2 or decimals == "00":
        return amounts.counted(whole if decimals == "00" else written, money.whole)
    if euros_alone:
        return f"{amounts.counted(whole, money.whole)} {cardinal(int(decimals), amounts.language)}"
    hundredths = amounts.counted(decimals.lstrip("0"), money.hundredth)
    if not whole.strip("0"):
        return hundredths
    return f"{amounts.counted(whole, money.whole)} {amounts.words.cents} {hundredths}"


def per_unit(amounts: Amounts, word: str | None, unit: str | None) -> str:
    """What a slash behind an amount says: " per month", " al mes", "每月"."""
    words, space = amounts.words, amounts.space
    if word:
        said = words.per_words[word]
        return f" {words.per} {said}" if amounts.language == "en" else f"{space}{said}"
    return f"{space}{words.per}{space}{words.units[unit].one}" if unit else ""
