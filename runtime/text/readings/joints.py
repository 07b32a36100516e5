"""What stands between or before numbers: the dash of a range, plus and minus, "18+"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.amounts import Amounts
from runtime.text.readings.contexts import is_single
from runtime.text.readings.lexicon import alternatives
from runtime.text.readings.numerals import is_code, year
from runtime.text.readings.reading_rules import END, LETTER, OUTSIDE, START, Rule

_THOUSANDS = re.compile(r"[kKMB]\b")
_SYMBOLS = "$€£¥₹₩¢"


def joint_rules(amounts: Amounts) -> Iterator[Rule]:
    """The rules of one language. They leave the numbers themselves to the rules behind."""
    words, space, language = amounts.words, amounts.space, amounts.language
    magnitudes, units = alternatives(words.magnitudes), alternatives([*words.units, "%", "‰"])
    currency = f"({alternatives(words.money)}|)"
    suffix = rf"((?: ?(?:{magnitudes}|{units}|[{_SYMBOLS}])(?![{LETTER}])|[日月年号点]| ?%)?)"
    dash = "(?: ?[–—] ?|--|[-~])"
    end = rf"(?![0-9–-])(?![.,:/][0-9])(?![{LETTER}_0-9]*[0-9])(?!['’^=])(?!\+[{LETTER}0-9])"

    counted = re.compile(rf"[ -]?(?:{units}|{magnitudes}|percent|times|x|inch|foot|[a-z]+s)(?![{LETTER}])")

    def span(match: re.Match[str]) -> str:
        first_currency, first, first_suffix, last_currency, last = match.groups()
        in_order = amounts.value(first) < amounts.value(last) or first_suffix.strip() in words.magnitudes
        standard = first_suffix == "" and amounts.split(first)[1] and re.fullmatch("(?:19|20)[0-9]{2}", last)
        # "foo 1.2-3" may be a package's revision; "1.2-3 km" is none.
        revision = (
            language == "en" and "." in first and "." not in last and not counted.match(match.string, match.end())
        )
        thousands = not first_currency and _THOUSANDS.match(match.string, match.end())  # "10-20k"
        if standard or revision or thousands:  # "POSIX 1003.1-1990"
            return match[0]
        if not in_order or is_code(first) or is_code(last) or is_single(match.string, match.start(), language):
            return match[0]
        lead = first_currency if last_currency or first_suffix.strip() in words.magnitudes else ""
        percent = re.match(" ?[%‰]", match.string[match.end() :])
        if language == "zh" and percent and not first_suffix:  # 百分之 stands before each number
            first_suffix = percent[0].strip()
        return f"{lead}{first}{first_suffix}{space}{words.to}{space}{last_currency or first_currency}{last}"

    amount = f"({amounts.beside if language != 'en' else amounts.pattern})"
    yield rf"{OUTSIDE}{currency}{amount}{suffix}{dash}{currency}{amount}{end}", span
    ordinal = {"en": r"[0-9]{1,4}(?:st|nd|rd|th)", "fr": "[0-9]{1,4}e", "es": r"[0-9]{1,3}\.?[ºª]"}.get(language)
    if ordinal:
        yield rf"{START}({ordinal})[-–]({ordinal}){END}", lambda m: f"{m[1]} {words.to} {m[2]}"
    signs = {"-": f"{words.minus}{space}", "−": f"{words.minus}{space}", "+": f"{words.plus}{space}"}
    money = f"(?:{alternatives(words.money)})?"
    number = rf"(?={money}{amounts.beside}(?:x|{END}|[%‰°²³{_SYMBOLS}]| ?°|(?:{units})(?![{LETTER}])))"
    before = rf"(?<![{LETTER}_0-9)\]%°²³{_SYMBOLS}.,:/*=+?!&;-])"
    # At the start of a line it may be a list's dash, and behind a word and a space what a writer sets apart.
    measured = rf"[%‰°度{_SYMBOLS}]|degrees|grados|degrés|(?:{units})(?![{LETTER}])|[.,;)!?]*(?:\n|$)"
    sure = rf"(?={money}{amounts.beside} ?(?:{measured}))"
    yield rf"(?m)(?:(?<=^)|(?<=\n))-{sure}", lambda m: signs["-"]
    if language != "zh":  # "(-1994)", born nobody knows when
        yield r"(?<=\()-([12][0-9]{3})(?= ?\))", lambda m: year(int(m[1]), language)
    # Behind a Latin word in Chinese it is an option, "xargs -0", and behind a name a hyphen: "歼-20".
    degrees = rf"[0-9.]+ ?(?:[%‰°度]|(?:{units})(?![{LETTER}]))"
    no_option = (
        rf"(?<![A-Za-z] )(?:(?<![一-鿿])|(?<=[为是到至从约达在于得值温了])|(?=-{degrees}))" if language == "zh" else ""
    )
    yield rf"{before}{no_option}(?<!^)(?<!\n)([-+−])(?!(?<=[-−])0(?! ?[0-9.%‰°])){number}", lambda m: signs[m[1]]
    yield rf"(?:(?<=^)|(?<=\n))([+−]){number}", lambda m: signs[m[1]]
    more = {"en": " plus", "es": " más", "fr": " plus", "zh": "加"}[language]
    yield (
        rf"{START}({amounts.grouped}|[0-9]+)\+(?![{LETTER}0-9+=({_SYMBOLS}])",
        lambda m: f"{amounts.plain(m[1], '')}{more}",
    )
