"""Numbers that the words near them tell apart: scores, verses, "p. 12", "call 911", cards, "two (2) years"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.amounts import Amounts
from runtime.text.readings.lexicon import LEXICONS, alternatives, any_case
from runtime.text.readings.numerals import before_noun, cardinal, digits
from runtime.text.readings.reading_rules import END, LETTER, START, Rule, hidden

_FAR = r"[^.;!?\n0-9]{0,40}?"  # between a word and the score it announces


def context_rules(language: str) -> Iterator[Rule]:
    """The rules of one language, the surest first."""
    words = LEXICONS[language]
    yield from _abbreviations(language)
    if language == "en":  # thousands set apart by blanks, as no other row of digits is: "10 000", "1 234 567"
        blanks = r"[1-9](?:[0-9]{0,2}(?: [0-9]{3}){0,3} 000|[0-9]?(?: [0-9]{3}){2,4})"
        yield rf"{START}{blanks}(?![0-9]| [0-9]{{3}}(?![0-9]))", lambda m: m[0].replace(" ", ",")
    yield from _chinese_verses() if language == "zh" else _verses(language)
    yield from _pairs(language)
    yield from _marks(language)
    before, after = any_case(words.context["emergency_before"]), words.context["emergency_after"]
    code = {"en": "[2-9]11|999|112|000", "zh": "1[0-9]{2}|[19][0-9]{4}"}.get(language, "[01][0-9]{1,2}|911|112")
    gap = "" if language == "zh" else " "
    far = "[了:：是为 ]?" if language == "zh" else ":? "

    def code_after(match: re.Match[str]) -> str:
        if language == "fr" and re.fullmatch("1[0-9]{1,2}", match[2]):  # "le quinze", "le cent douze"
            return match[1] + cardinal(int(match[2]), language)
        return match[1] + digits(match[2], language)

    word = "" if language == "zh" else r"\b"
    no_count = r"(?![分个次元人年天])(?! (?!now|for|if|or|and|in|from|right)[a-z]+s\b)"
    yield (
        rf"{word}((?:{before}){far}){START}({code}){END}{no_count}",
        code_after,
    )
    yield rf"{START}()({code}){END}(?={gap}(?:{after}))", code_after
    if language == "en":
        behind = r"(?=[.,;:!?)\"”]|$| …| (?:and|or|for|to|now|if|from)\b)"
        yield rf"\b((?i:dial(?:l?ed|l?ing)?|text) ){START}([0-9]{{4,6}}){END}{behind}", code_after
    separated = r"[0-9]{4}(?:[ -][0-9]{4}){3}"
    yield (
        rf"{START}(?<![0-9]{{4}}[ -])()({separated}){END}(?! [0-9]{{4}}(?![0-9]))",
        lambda m: ", ".join(digits(g, language) for g in re.split("[ -]", m[2])),
    )
    of = {"zh": "(?:是|为|[:：])? ?"}.get(language, r"(?:\.|:| is| es| est| ending in| no\.)? ")
    card = any_case(words.context["card_before"])
    yield rf"{word}((?:{card}){of}){START}([0-9]{{5,19}}){END}", code_after
    groups = r"(?=[0-9 ]*[0-9]{4})[0-9]{3,4}(?: [0-9]{3,4}){2,3}"
    yield (
        rf"{word}((?:{card}|ID){of}){START}({groups}){END}(?! [0-9a-z])",
        lambda m: m[1] + ", ".join(digits(group, language) for group in m[2].split()),
    )
    if language == "en":
        is_ = "(?: is| isn['’]t| was| of|:)?"
        yield rf"\b((?:PINs?|passcode|[Pp]in code){is_} ){START}([0-9]{{4}}){END}(?! [a-z]+s\b)", code_after
        yield rf"\b([Tt]ext(?:ed|ing)? [A-Z0-9]+ to ){START}([0-9]{{5,6}}){END}", code_after
        state = "(?:, [A-Z]{2}|[a-z] (?:A[KLRZ]|C[AOT]|DC|DE|FL|GA|[HM]I|I[ADLN]|K[SY]|LA|M[ADENOST]|N[CDEHJMVY]|O[HKR]"
        state += "|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]))"
        yield rf"({state} )(){START}([0-9]{{5}}){END}", lambda m: m[1] + digits(m[3], "en")
    yield from _twice(language)
    if language == "en":
        yield from _faces()


def _faces() -> Iterator[Rule]:
    """Digits that draw something: "8)" behind a sentence is silence as an emoji is; "<3" and ":3" stay."""
    yield r" 8-?\)(?=\s*(?:$|\n|--|<|…))", lambda m: m[0] if _is_bracketed(m) else ""
    yield (
        r"(?<!\S):3(?!\S)|(?<!\S)<3(?=[.,!?]*(?:$|\s*\n| …| (?:u|you|ya|this|it|my|him|her|them|these|all)\b))",
        hidden,
    )


def _is_bracketed(match: re.Match[str]) -> bool:
    """Whether a bracket opens before, or a number like it made an item of a list."""
    before = match.string[max(0, match.start() - 300) : match.start()]
    return before.count("(") > before.count(")") or bool(re.search(r"\b[0-9]\)", before)) or before[-1:].isdigit()


def _abbreviations(language: str) -> Iterator[Rule]:
    words = LEXICONS[language]
    card = f"(?:{any_case(words.context.get('bug_before', words.context['card_before']))})"
    number = rf"(?=[0-9]+(?:[-–][0-9]+)?(?:\.[0-9]+)?{END})"
    yield rf"(?<![\w#&/])#(?=[0-9]{{1,4}}{END})", lambda m: f"{words.number}{words.space}"
    # Of six or eight digits it may be a colour.
    for before, count in (("()(?<![\\w#&/])", "[0-9]{5}|[0-9]{7}"), (rf"({card}) ", "[0-9]{6,9}")):
        yield (
            rf"{before}#({count}){END}",
            lambda m: f"{m[1]}{' ' * bool(m[1])}{words.number}{words.space}{digits(m[2], language)}",
        )
    yield (
        rf"(?<![{LETTER}0-9_.])({alternatives(words.before_numbers)}) ?{number}",
        lambda m: f"{words.before_numbers[m[1]]}{words.space}",
    )


def _verses(language: str) -> Iterator[Rule]:
    """ "John 3:16", "1 Corinthians 13:4-7", "Jean 3, 16" stays."""
    words = LEXICONS[language]
    ordinals = {
        "en": ("First", "Second", "Third"), "es": ("Primera", "Segunda", "Tercera"),
        "fr": ("Première", "Deuxième", "Troisième"),
    }[language]  # fmt: skip

    def verse(match: re.Match[str]) -> str:
        book, name, chapter, first, last = match.groups()
        lead = f"{ordinals[int(book) - 1]} " if book else ""
        far = f" {words.to} {cardinal(int(last), language)}" if last else ""
        joint = "," if last or int(first) < 10 else ""
        said = f"{cardinal(int(chapter), language)}{joint} {cardinal(int(first), language)}"
        return f"{lead}{name} {said}{far}"

    books = words.context["books"]
    if "books_short" in words.context:  # "Mt 5,3-12"
        short = words.context["books_short"]
        number = "([1-9][0-9]{0,2})"
        yield rf"\b(?:([1-3]) )?({short})[.]? {number}, ?{number}(?:[-–]{number})?{END}(?! ?[a-z%€]*m\b)", verse
    yield (
        rf"\b(?:([1-3]) )?({books})[.,]? ([1-9][0-9]{{0,2}}):([1-9][0-9]{{0,2}})(?:[-–]([1-9][0-9]{{0,2}}))?{END}",
        verse,
    )


def _chinese_verses() -> Iterator[Rule]:
    """ "约翰福音3:16", "马太福音5:3-10"."""

    def verse(match: re.Match[str]) -> str:
        book, chapter, first, last = match.groups()
        far = f"到{cardinal(int(last), 'zh')}" if last else ""
        return f"{book}{cardinal(int(chapter), 'zh')}章{cardinal(int(first), 'zh')}{far}节"

    books = LEXICONS["zh"].context["books"]
    yield rf"({books}) ?([1-9][0-9]{{0,2}}):([1-9][0-9]{{0,2}})(?:[-–]([1-9][0-9]{{0,2}}))?{END}", verse


def _pairs(language: str) -> Iterator[Rule]:
    """Scores ("won 30-7, 6-4") and ratios ("a ratio of 3:1")."""
    words = LEXICONS[language]
    word = "" if language == "zh" else r"\b"
    space = "" if language == "zh" else r"\b"
    joint = f"{words.space}{words.signs['score']}{words.space}"
    dash = "[-–:]" if language == "zh" else "[-–]"
    pair = rf"{START}[0-9]{{1,3}}{dash}[0-9]{{1,3}}{END}"

    def spoken(written: str) -> str:
        return re.sub(
            rf"{START}([0-9]{{1,3}})[-–:]([0-9]{{1,3}}){END}",
            lambda m: cardinal(int(m[1]), language) + joint + cardinal(int(m[2]), language),
            written,
        )

    def behind(match: re.Match[str]) -> str:
        return match[1] + spoken(match[2])

    far = r"[^。；！？!?\n0-9.;]{0,4}?" if language == "zh" else _FAR
    before, after = any_case(words.context["score_before"]), words.context["score_after"]
    tie = rf"{pair}(?: \({pair}\))?"  # a set and its tie-break: "7-6 (7-5)"
    row = rf"({tie}(?:(?:, ?| and | y | et |、){tie})*)"
    yield (
        rf"{word}((?:{before}){space}{far}){row}",
        lambda m: m[0] if is_single(m.string, m.start(2), language) else behind(m),
    )
    yield rf"(){row}(?= ?(?:{after}){space})", behind
    # Sets in a row, of which one goes down: "6-4, 3-6, 7-6 (5)".
    set_ = r"[0-9]{1,3}[-–][0-9]{1,3}(?: ?[(（][0-9]{1,2}(?:[-–][0-9]{1,2})?[)）])?"

    def sets(match: re.Match[str]) -> str:
        goes_down = any(int(a) >= int(b) for a, b in re.findall("([0-9]{1,3})[-–]([0-9]{1,3})", match[0]))
        if not goes_down:
            return match[0]
        single = is_single(match.string, match.start(), language, "s?")  # "Tables 3-2 and 3-4"
        return hidden(match) if single else _with_joint(match[0], joint, language)

    joined = r"(?:[,;] ?| y | et | and |[、，])"
    yield (
        rf"{START}(?=[0-9]+[-–]){set_}(?:{joined}{set_})+(?![0-9–-])(?![.,:/][0-9])(?![{LETTER}])",
        sets,
    )
    ratio = rf"({START}[0-9]{{1,3}}:[0-9]{{1,3}}(?::[0-9]{{1,3}})?{END})"

    def proportion(match: re.Match[str]) -> str:
        return match[1] + joint.join(cardinal(int(n), language) for n in match[2].split(":"))

    of = {"zh": "(?:是|为|以)?"}.get(language, "(?: of| is| was| de| est| es|:)? ")
    yield rf"{word}((?:{any_case(words.context['ratio_before'])}){of}){ratio}", proportion
    yield rf"(){ratio}(?=[ -]?(?i:{words.context['ratio_after']}){space})", proportion
    yield rf"(){START}((?:16|21):9|4:3){END}", proportion
    if language == "zh":
        yield rf"(){START}([0-9]{{1,3}}:[0-9]){END}", proportion
        part = r"(?!0[0-9])[0-9]{1,4}(?:\.[0-9]{1,4})?"
        yield (
            rf"{START}(?=[0-9:]*\.[0-9])({part}):({part}){END}",
            lambda m: joint.join(_decimal(part) for part in m.groups()),
        )


def _with_joint(written: str, joint: str, language: str) -> str:
    pair = "([0-9]{1,3})[-–]([0-9]{1,3})"
    return re.sub(pair, lambda m: joint.join(cardinal(int(number), language) for number in m.groups()), written)


def _marks(language: str) -> Iterator[Rule]:
    """Marks out of ten ("4.8/5", "rated 8/10", "3/5 stars") and the two pressures of blood ("120/80")."""
    words, amounts = LEXICONS[language], Amounts(language)
    if "mark_before" not in words.context:
        return
    mark, of, blood = (words.context[name] for name in ("mark_before", "mark_of", "pressure_before"))

    def out_of(match: re.Match[str]) -> str:
        return f"{match[1]}{amounts.number(match[2])} {words.signs['out_of']} {cardinal(int(match[3]), language)}"

    def over(match: re.Match[str]) -> str:
        above, below = (cardinal(int(number), language) for number in match.groups()[1:3])
        unit = f" {words.units['mmHg'].many}" if match[4] else ""
        return f"{match[1]}{above} {words.signs['over']} {below}{unit}"

    end = rf"/({of}){END}"
    yield rf"(?=[0-9.,]{{3,5}}/)(){START}([0-9]{{1,2}}[{words.decimal}][0-9]{{1,2}}){end}", out_of
    yield rf"\b((?:{any_case(mark)})\b[^0-9.\n]{{0,20}}?){START}([0-9]{{1,3}}){end}", out_of
    yield rf"(?=[0-9]{{1,3}}/)(){START}([0-9]{{1,3}}){end}(?= (?:{words.context['mark_after']})\b)", out_of
    if language == "fr":  # at school
        yield rf"(?=[0-9]{{1,3}}/)(){START}([0-9]|1[0-9]|20)/(20){END}", out_of
    yield rf"\b((?:{any_case(blood)})\b{_FAR}){START}([0-9]{{1,3}})/([0-9]{{1,3}}){END}( ?mm ?Hg\b)?", over
    yield rf"(?=[0-9]{{1,3}}/)(){START}([0-9]{{2,3}})/([0-9]{{2,3}})( ?mm ?Hg\b)", over


def _decimal(written: str) -> str:
    """A Chinese number with what may follow its point."""
    whole, _, decimals = written.partition(".")
    return cardinal(int(whole), "zh") + (f"点{digits(decimals, 'zh')}" if decimals else "")


def is_single(text: str, start: int, language: str, plural: str = "") -> bool:
    """Whether a word before this place says that one thing follows, whose number has a hyphen: "article 20-5"."""
    word = LEXICONS[language].context["single"]
    boundary = "" if language == "zh" else r"(?<!\w)"
    return bool(re.search(rf"{boundary}(?i:{word}){plural}\.? ?$", text[max(0, start - 24) : start]))


def _twice(language: str) -> Iterator[Rule]:
    """A number in words and again in parentheses is said once: "two (2) years"."""

    def once(match: re.Match[str]) -> str:
        number = int(match[1].replace(",", ""))
        known = {cardinal(number, language), cardinal(number, language, feminine=True)}
        if language == "es":
            known.add(before_noun(number, language))
        if language == "zh" and number == 2:
            known.add("两")
        known |= {name.replace(" and ", " ") for name in known}
        text = match.string[max(0, match.start() - 100) : match.start()].lower().replace("-", " ")
        return "" if any(_ends(text, name.replace("-", " "), language) for name in known) else match[0]

    yield r" ?[(（]([0-9]{1,3}(?:,?[0-9]{3}){0,3})[)）]", once


def _ends(text: str, name: str, language: str) -> bool:
    return text.endswith(name) and (language == "zh" or not text[: -len(name)][-1:].isalpha())
