"""What English texts about computers write: versions, addresses of machines, shell variables, ports and standards.

And the mark of inches, which is a quotation mark elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.amounts import Amounts
from runtime.text.readings.numerals import cardinal, digits
from runtime.text.readings.reading_rules import END, START, Rule, hidden

_MACHINES = "IP|IPs|IPv4|address|addresses|host|server|gateway|netmask|ping|ssh|DNS|router"
_NUMBERED = "version|release|section|chapter|example|figure|table|appendix|fig|sec|python|kernel"
_CODED = "ports?|RFCs?|IEEE|ISO|IEC|ANSI"
_FLIGHT = "[Ff]light(?: number)?(?: [A-Z]{2})?"
_FILES = "patch|diff|txt|log|conf|c|h|py|sh|md|json|xml|html|pdf|png|jpe?g|mp[34]|wav|gz|zip|deb"
_COMMANDS = "head|tail|kill|nice|ls|ping|gzip|xargs|make|git log|grep|sort|diff|top"
# What only a shell's text holds, so that "$1" in it is no dollar.
_SHELL = re.compile(
    r"\$[({@#?*a-z_]|\$[A-Z]+_|\$(?:HOME|PATH|USER|PWD|SHELL|LANG)\b|\{ ?print\b|\b(?:awk|sed|echo|grep|shift) "
)


def computing_rules(language: str) -> Iterator[Rule]:
    """The rules of English; other languages have none."""
    if language != "en":
        return
    amounts = Amounts(language)
    yield r"\$\{[0-9]+\}", hidden
    yield rf"\b(?:{_COMMANDS}) -[0-9]+(?![\w.])", hidden
    yield rf"{START}[0-9]{{1,2}} [0-9]{{1,2}}(?: (?:\*|[0-9]{{1,2}})(?:/[0-9]+)?){{3}}(?<=\*)", hidden  # cron's times
    yield rf"{START}([0-9]+)' ?[x×] ?([0-9]+)'(?![\w'])", lambda m: f"{_part(m[1])} by {_part(m[2])} feet"
    yield rf"{START}([0-9]+)' ?[x×] ?(?=[1-9]'[0-9])", lambda m: f"{_part(m[1])} feet by "
    yield rf"{START}([0-9]+)'(?= (?:tall|long|wide|high|deep|by|of)\b)", lambda m: f"{_part(m[1])} feet"
    yield rf"{START}[0-9]{{2,3}}\+[0-9]{{1,2}}['’](?!\w)", hidden  # a match's minute: "90+4'"
    yield rf"{START}[0-9]+'(?![\w'])(?! ?[0-9]+[\"″])", lambda m: m[0] if _is_quoted(m) else hidden(m)
    yield rf"{START}[0-9]+-[\w-]{{1,60}}\.(?:{_FILES})(?!\w)", hidden
    yield rf"(?<!\.\.){START}[0-9]+\.{{2,3}}[0-9]+{END}(?!\.\.)", hidden  # no countdown: "3...2...1"
    yield rf"{START}1-(?:8(?:00|88|77|66|55|44|33)|900){END}", lambda m: f"one {_in_hundreds(m[0][2:])}"
    angle = r"([0-9]{1,3})° ?([0-9]{1,2})['’′] ?(?:([0-9]{1,2})(?:[\"”″]|'') ?)?([NSEW])(?!\w)"
    yield rf"{START}{angle}", _angle
    size = r"([0-9]+(?:\.[0-9]+)?)"
    yield (
        rf"{START}{size}[\"″] ?[x×] ?{size}[\"″](?![\w\"])",
        lambda m: f"{amounts.number(m[1])} by {amounts.number(m[2])} inches",
    )
    yield r"(?<=[0-9])\"(?![\w\"])", _inch
    yield r"\$[0-9](?![0-9.,])", lambda m: hidden(m) if _is_variable(m) else m[0]
    part = "(?:0|[1-9][0-9]{0,2})"
    yield rf"{START}{part}(?:\.{part}){{2,3}}{END}", _parts
    yield rf"{START}{part}\.{part}\.[1-9][0-9]{{4}}{END}", _parts
    yield (
        rf"\b((?i:{_NUMBERED})\.? )({part})\.([1-9][0-9]){END}(?! ?[%$€£])",
        lambda m: f"{m[1]}{cardinal(int(m[2]), 'en')} point {cardinal(int(m[3]), 'en')}",
    )
    yield rf"\b((?:{_CODED}|Port|{_FLIGHT}) )([1-9][0-9]{{3}}){END}", lambda m: m[1] + _in_pairs(m[2])
    yield rf"\b((?:[Ee]rror|HTTP|[Ss]tatus)(?: code)? ){START}([45]0[1-9]){END}", lambda m: m[1] + _in_pairs(m[2])
    yield rf"(){START}([45]0[1-9]){END}(?= (?:pages?|errors?|responses?|status)\b)", lambda m: _in_pairs(m[2])
    yield rf"\b(Boeing ){START}(7[0-8]7)(?=s?{END})", lambda m: m[1] + _in_pairs(m[2])
    yield rf"\b(?:[Tt]he|[Aa]) {START}7[0-8]7-[1-9]00{END}", hidden  # an airliner
    yield (
        rf"\bIEEE 802\.([0-9]{{1,2}}){END}",
        lambda m: f"IEEE eight oh two point {cardinal(int(m[1]), 'en')}",
    )
    yield rf"\b(chmod )([0-7]{{3,4}}){END}", lambda m: m[1] + digits(m[2], "en")


def _parts(match: re.Match[str]) -> str:
    """ "5.1.6"; what could be a date or a number in groups stays whole."""
    parts = match[0].split(".")
    first, second, last = parts[0], parts[1], parts[-1]
    is_date = len(parts) == 3 and len(last) == 2 and {len(first), len(second)} == {2} and int(first) < 32
    if is_date or (all(len(part) == 3 for part in parts[1:]) and len(parts) == 3):
        return hidden(match)
    if len(parts) < 4 or any(int(part) > 255 for part in parts):
        return " point ".join(_part(part) for part in parts)
    before = match.string[max(0, match.start() - 30) : match.start()]
    is_machine = any(len(part) == 3 for part in parts) or first == "10" or re.search(rf"\b(?:{_MACHINES})\b", before)
    if not is_machine:
        return " point ".join(_part(part) for part in parts)
    return " dot ".join(digits(part, "en") if len(part) == 3 else cardinal(int(part), "en") for part in parts)


def _part(written: str) -> str:
    return cardinal(int(written), "en") if len(written) < 4 else digits(written, "en")


def _in_pairs(written: str) -> str:
    """ "8080" -> "eighty eighty", "404" -> "four oh four", "9001" -> "nine thousand and one"."""
    first, second = divmod(int(written), 100)
    if first % 10 == 0 and second < 10:
        return cardinal(int(written), "en")
    if second == 0:
        return f"{cardinal(first, 'en')} hundred"
    return f"{cardinal(first, 'en')} {'oh ' * (second < 10)}{cardinal(second, 'en')}"


def _in_hundreds(written: str) -> str:
    return cardinal(int(written), "en") if written.endswith("00") else digits(written, "en")


def _angle(match: re.Match[str]) -> str:
    """51°30′N -> "fifty-one degrees thirty minutes north"."""
    names = ("degree", "minute", "second")
    said = [
        f"{cardinal(int(number), 'en')} {name}{'s' * (int(number) != 1)}"
        for number, name in zip(match.groups()[:3], names, strict=True)
        if number
    ]
    return " ".join([*said, {"N": "north", "S": "south", "E": "east", "W": "west"}[match[4]]])


def _is_variable(match: re.Match[str]) -> bool:
    around = match.string[max(0, match.start() - 1) : match.end() + 1]
    quoted = len(around) == 4 and around[0] in "\"'`" and around[-1] in "\"'`"
    return quoted or bool(_SHELL.search(match.string, max(0, match.start() - 50), match.end() + 50))


def _is_quoted(match: re.Match[str]) -> bool:
    """Whether an apostrophe opens a quotation before."""
    return bool(re.search(r"(?:^|[\s(])'", match.string[max(0, match.start() - 200) : match.start()]))


def _inch(match: re.Match[str]) -> str:
    """A mark of inches, unless it closes a quotation ("``10\"" too) or a name ("r6\"")."""
    line = match.string[max(0, match.start() - 300) : match.start()].rpartition("\n")[2]
    if "``" in line or re.search(r"[A-Za-z_][0-9]+$", line):
        return match[0]
    is_open = False
    for mark in re.finditer(r"\"", line):
        behind_digit = mark.start() > 0 and line[mark.start() - 1].isdigit()
        is_open = False if is_open else not behind_digit
    return match[0] if is_open else "″"
