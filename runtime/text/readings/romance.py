"""What Spanish and French write in ways of their own: scales, doses, short months, scores in a row, "300K vues"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.text.readings.amounts import Amounts
from runtime.text.readings.calendar_words import date, time_of_day
from runtime.text.readings.eras import era_rules, full_stop
from runtime.text.readings.lexicon import alternatives
from runtime.text.readings.numerals import cardinal, digits, ordinal, year
from runtime.text.readings.reading_rules import END, LETTER, START, Rule
from runtime.text.readings.romance_measures import measure_rules
from runtime.text.readings.versions import article_rules, version_rules

_MONTHS = {
    "es": "ene feb mar abr may jun jul ago sept?|set oct nov dic",
    "fr": "janv? févr?|fevr? mars avr mai juin juil août|aout sept? oct nov déc|dec",
}
_PLURAL = r"(?= (?:de |d['’])?(?!más|menos|plus|moins)[a-zà-ÿ]{3,}[sx]\b)"
_LAWS = {
    "es": r"[Ll]ey(?: [A-ZO][a-zá-ú]+)?|LO|Real Decreto(?:-[Ll]ey| Legislativo)?|[Dd]ecreto(?:-[Ll]ey)?|RD|RDL|Orden"
    r"|Directiva|Reglamento|Sentencia|Resolución|STS|STC",
    "fr": r"[Ll]oi|[Dd]écret|[Dd]irective|[Rr]èglement|[Oo]rdonnance|[Aa]rrêté|[Cc]irculaire",
}


def romance_rules(amounts: Amounts) -> Iterator[Rule]:
    """The rules of Spanish and French, before all that both share with other languages."""
    language = amounts.language
    if language not in _MONTHS:
        return
    yield from era_rules(language)
    yield from _codes(language)
    if language == "fr":
        yield from article_rules()
    yield from _short_months(language)
    yield from _scores(amounts)
    yield from _scales(amounts)
    yield from measure_rules(amounts)
    yield from _money(amounts)
    yield from _marks(amounts)
    yield from {"es": _spanish, "fr": _french}[language](amounts)
    yield from version_rules(amounts)


def _codes(language: str) -> Iterator[Rule]:
    """What is read digit by digit or with its joint: accounts, laws."""

    def groups(written: str) -> str:
        return ", ".join(digits(group, language) for group in written.split())

    yield (
        rf"\b([A-Z]{{2}})([0-9]{{2}}(?: [0-9]{{4}}){{3,6}}(?: [0-9]{{1,4}})?)(?![{LETTER}0-9])",
        lambda m: f"{m[1]} {groups(m[2])}",
    )
    yield (
        rf"\b(SIRE[TN](?: ?:| n°)? )([0-9]{{3}} [0-9]{{3}} [0-9]{{3}}(?: [0-9]{{5}})?){END}",
        lambda m: m[1] + groups(m[2]),
    )
    joints = {"es": {"/": "barra", "-": "guion"}, "fr": {"/": "barre oblique", "-": "tiret"}}[language]
    law = rf"((?:{_LAWS[language]})(?: \((?:UE|CE)\))?)"
    yield (
        rf"\b{law} ?(?:n\.?[º°] ?)?(?<=[ º°]){START}([0-9]{{1,4}})([/-])([0-9]{{2,4}}){END}",
        lambda m: f"{m[1]} {cardinal(int(m[2]), language)} {joints[m[3]]} {cardinal(int(m[4]), language)}",
    )


def _short_months(language: str) -> Iterator[Rule]:
    """ "12 oct. 2023", "3-dic-2024", "le 3 déc."."""
    months = [re.compile(pattern, re.IGNORECASE) for pattern in _MONTHS[language].split()]
    name = "|".join(pattern.pattern for pattern in months)
    first = {"es": "primero", "fr": "premier"}[language]

    def dated(match: re.Match[str]) -> str:
        day, written, years = match.groups()
        month = next(number for number, pattern in enumerate(months, 1) if pattern.fullmatch(written))
        said = date(int(years or 2000), month, int(day), language)
        if said is None:
            return match[0]
        if not years:
            said = said.removesuffix(f"{' de' * (language == 'es')} {year(2000, language)}")
        return said.replace("uno", first, 1) + full_stop(match) if day == "1" else said + full_stop(match)

    joint = "(?: de | |-)"
    yield rf"{START}([0-9]{{1,2}}){joint}((?i:{name}))\b(?:\.?{joint}| del )((?:1[5-9]|20)[0-9]{{2}}){END}", dated
    yield rf"{START}([0-9]{{1,2}})(?: de | )((?i:{name}))\.()(?![{LETTER}0-9]| [0-9])", dated


def _scores(amounts: Amounts) -> Iterator[Rule]:
    """A score between two names."""
    joint = f" {amounts.words.signs['score']} "

    def score(match: re.Match[str]) -> str:
        first, last = int(match[2]), int(match[3])
        said = joint.join(cardinal(number, amounts.language) for number in (first, last))
        return f"{match[1]}{said}" if first >= last else match[0]

    name = rf"[A-ZÀ-Þ][{LETTER}.'’]*[{LETTER}]"
    yield rf"\b({name} )(1?[0-9]{{1,2}})[-–](1?[0-9]{{1,2}})(?= {name})", score


def _scales(amounts: Amounts) -> Iterator[Rule]:
    """ "1:25.000", "1/50 000"; seasons with two whole years."""
    language, words = amounts.language, amounts.words
    to = {"es": "a", "fr": "sur"}[language]
    grouped = r"[1-9][0-9]{0,2}(?:[. ][0-9]{3}){1,2}"

    def scale(match: re.Match[str]) -> str:
        return f"{cardinal(1, language)} {to} {cardinal(int(''.join(filter(str.isdigit, match[1]))), language)}"

    yield rf"{START}1[:/]({grouped})(?![0-9.,:/]*[0-9])(?![{LETTER}])", scale
    yield rf"{START}1:([1-9][0-9]{{3,6}}){END}", scale
    years = "((?:19|20)[0-9]{2})"
    yield (
        rf"{START}{years}/{years}{END}",
        lambda m: (
            f"{cardinal(int(m[1]), language)} {words.to} {cardinal(int(m[2]), language)}"
            if int(m[2]) == int(m[1]) + 1
            else m[0]
        ),
    )


def _money(amounts: Amounts) -> Iterator[Rule]:
    """Whose dollars they are; thousands, millions with their letter."""
    words, amount = amounts.words, amounts.beside
    codes = alternatives(code for code in words.money if re.fullmatch("[A-Z]{3}", code))
    yield rf"(?<![\w$])\$ ?({amount}) ?({codes})(?![{LETTER}0-9])", lambda m: f"{m[1]} {m[2]}"
    whose = {"US": "USD", "CA": "CAD", "CAN": "CAD", "CAD": "CAD", "USD": "USD"}
    yield rf"{START}({amount}) ?\$ ?(US|CAN?|CAD|USD)(?![{LETTER}0-9])", lambda m: f"{m[1]} {whose[m[2]]}"
    million = words.magnitudes["M"]
    yield rf"{START}({amounts.pattern}) ?M(?= (?:de |d['’]))", lambda m: amounts.times(m[1], million)
    about = {"es": "unos|casi|más de|menos de|hasta|cerca de", "fr": "environ|presque|plus de|moins de|près de"}
    number = r"(?!(?:2|4|5|6|8|16)[kK])([0-9]{1,3}(?:,[0-9])?)[kK]"

    def thousands(match: re.Match[str]) -> str:
        return (match[1] or "") + cardinal(round(amounts.value(match[2]) * 1000), amounts.language)

    yield rf"(){START}{number}{_PLURAL}", thousands
    yield rf"\b((?i:{about[amounts.language]}) |~ ?){START}{number}(?![{LETTER}0-9])", thousands


def _marks(amounts: Amounts) -> Iterator[Rule]:
    """Signs before percentages and ages, spans of pages, powers of ten."""
    words = amounts.words
    pages = {"es": "páginas", "fr": "pages"}[amounts.language]
    yield rf"(?<![{LETTER}0-9_.])(?:p|[Pp][áa]g)\. ?(?=[0-9]+[-–][0-9]+{END})", lambda m: f"{pages} "
    # An interval or a list, no decimal: "[0,127]".
    yield r"(?<=\[)-?[0-9]+(?:,-?[0-9]+)+(?=\])", lambda m: m[0].replace(",", ", ")
    yield (
        rf"(?<![{LETTER}0-9_.~^])(-?[0-9]{{1,9}})\.\.(?=-?[0-9]{{1,10}}(?![{LETTER}0-9_.~^]|\.[0-9]))",
        lambda m: f"{m[1]} {words.to} ",
    )
    yield rf"{START}([0-9]+ ([a-zà-ÿ]{{3,}}))/(?=[0-9]+ \2\b)", lambda m: f"{m[1]} / "
    number_sign = {"es": r"[Nn]\.?[º°]", "fr": "[Nn][º°]"}[amounts.language]
    yield (
        rf"\b{number_sign} (?=[a-zà-ÿ]{{2,}})",
        lambda m: f"{words.number if m[0][0] == 'n' else words.number.title()} ",
    )
    raised = {**dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True)), "−": "-"}

    def scientific(match: re.Match[str]) -> str:
        power = "".join(raised.get(sign, sign) for sign in match[2] or match[3])
        said = f"{words.minus} {power[1:]}" if power[0] == "-" else power
        return f"{amounts.number(match[1])} {words.signs['scientific']} {said}"

    power = r"(?:\^([-−]?[0-9]{1,3})|([⁻]?[⁰¹²³⁴-⁹]{1,3}))"
    yield rf"{START}({amounts.pattern}) ?[·×x*] ?10{power}(?![{LETTER}0-9⁰¹²³⁴-⁹])", scientific
    yield r"(?<=\([12][0-9]{3}) ?[-–] ?(?=\))", lambda m: ""  # "(1975-)", who still lives
    yield r"(?<=[?!»] )-(?=[0-9])", lambda m: "— "  # somebody answers
    yield r"(?<!\S)\+ (?=de [0-9])", lambda m: f"{words.plus} "
    signs = {"-": words.minus, "−": words.minus, "+": words.plus}
    before = rf"(?<![{LETTER}_0-9)\]%°.,:/*=+?!&;€$-])(?<![0-9%] )"
    yield rf"{before}([-+−])(?=[0-9]+(?:[.,][0-9]+)? ?%)", lambda m: f"{signs[m[1]]} "
    yield rf"{before}([-+−])(?=[0-9]{{1,3}} (?:años|ans)\b)", lambda m: f"{signs[m[1]]} de "


def _spanish(amounts: Amounts) -> Iterator[Rule]:
    yield rf"\b([Ll]as? ){START}([1-9]|1[0-2]) y 1/2{END}", lambda m: f"{m[1]}{m[2]} y media"
    rounds = {"2": "semifinal", "4": "cuartos de final", "8": "octavos de final", "16": "dieciseisavos de final"}
    yield rf"{START}1/(2|4|8|16) (?:de )?final\b", lambda m: rounds[m[1]]
    yield (
        rf"{START}([1-4])T(?= (?:de |del )?20[0-9]{{2}}{END})",
        lambda m: f"{ordinal(int(m[1]), 'es', 'er')} trimestre",
    )
    yield (
        rf"\b([Ee]n el|[Ee]l|[Dd]el|[Aa]l) {START}(45|90|105|120)\+([1-9][0-9]?)['′]?(?![{LETTER}0-9'′])",
        lambda m: f"{m[1]} {cardinal(int(m[2]), 'es')} más {cardinal(int(m[3]), 'es')}",
    )
    yield (
        rf"{START}([1-9])/([3-9]|10) (?=partes?\b)",
        lambda m: f"{cardinal(int(m[1]), 'es', feminine=True)} {ordinal(int(m[2]), 'es', 'ª')}{'s' * (m[1] > '1')} ",
    )

    def hour(hours: str, minutes: str) -> str:
        if int(minutes):
            return time_of_day(int(hours), int(minutes), None, "es")
        return cardinal(int(hours), "es", feminine=True)

    clock = "([01]?[0-9]|2[0-4])[.:]([0-5][0-9])"
    yield (
        rf"{START}{clock}( a | y | hasta las )(?=[0-2]?[0-9][.:][0-5][0-9] ?h(?:oras|rs|s)?\b)",
        lambda m: f"{hour(m[1], m[2])}{m[3]}",
    )
    yield r"(?<=[0-9])\.°(?![CF])", lambda m: ".º"
    ends = r"(?=[.,;:!?)]| ?…|$|\n| (?:a|y|o|de|en|con|durante|bajo|sobre|para|centígrados)\b)"
    leads = r"[Aa]|[Hh]asta|[Uu]nos|[Cc]asi|[ÁáAa]ngulos? de|[Gg]iros? de|[Tt]emperaturas? de"
    leads += r"|[Mm][áí][xn](?:\.|imas?|imas? de):?|[Tt]emp\.:?"
    yield (
        rf"\b((?:{leads}) )([0-9]{{2,3}})º{ends}",
        lambda m: m[1] + amounts.counted(m[2], amounts.words.units["°"]),
    )
    yield (
        rf"{START}([0-9]{{1,2}},[0-9])º(?![{LETTER}0-9]| ?[CF])",
        lambda m: amounts.counted(m[1], amounts.words.units["°"]),
    )
    yield (
        rf"{START}([0-9]{{1,3}})\.([oa])s(?![{LETTER}0-9])",
        lambda m: ordinal(int(m[1]), "es", m[2]) + "s",
    )
    # A door in Colombia: "Calle 7 # 12-34".
    yield (
        rf"(?<=[0-9A-Z] )# ?([0-9]{{1,3}}) ?- ?([0-9]{{1,3}}){END}",
        lambda m: f"número {cardinal(int(m[1]), 'es')}, {cardinal(int(m[2]), 'es')}",
    )


def _french(amounts: Amounts) -> Iterator[Rule]:
    yield rf"(?<=[0-9h]) et 1/2{END}(?<=h et 1/2)", lambda m: " et demie"
    rounds = {"2": "demi", "4": "quart", "8": "huitième", "16": "seizième"}
    yield (
        rf"\b([Ll]es |[Dd]es |[Aa]ux |)(?<!/){START}1/(2|4|8|16)(?:e|èmes?|de)? ?(?:de )?(finales?)\b",
        lambda m: f"{m[1]}demi-{m[3]}" if m[2] == "2" else f"{m[1]}{rounds[m[2]]}{'s' * bool(m[1])} de finale",
    )
    yield rf"\bT([1-4])(?= (?:de )?20[0-9]{{2}}{END})", lambda m: f"{ordinal(int(m[1]), 'fr')} trimestre"
    behind = r"(?=[.,;:!?)]|$|\n| (?:est|répond|reste|ou|et|pour|24|sur|gratuit|anonyme)\b)"
    yield (  # a line that helps: "le 3919"
        rf"\b([Ll]e |[Aa]u ){START}(3[0-9])([1-9][0-9]){END}{behind}",
        lambda m: f"{m[1]}{cardinal(int(m[2]), 'fr')} {cardinal(int(m[3]), 'fr')}",
    )
    yield r"\b([Dd])e (?=1 ?[a-zA-Zà-ÿµ])(?!1 ?(?:à|a|ou|et|sur|pour|er|re|ère)\b)", lambda m: f"{m[1]}'"
    yield (  # a goal in added time: "à la 90e+2"
        rf"{START}([0-9]{{2,3}})e ?\+ ?([0-9]{{1,2}}){END}",
        lambda m: f"{ordinal(int(m[1]), 'fr')} plus {cardinal(int(m[2]), 'fr')}",
    )
    yield r"(?<![\w$])\$ ?([1-9][0-9]{0,2}),([0-9]{3})(?![0-9]|[.,][0-9])", lambda m: f"${m[1]}.{m[2]}"
    yield rf"\b([Ll]e |[Dd]u |[Aa]u |article ){START}49[.-]3{END}", lambda m: f"{m[1]}quarante-neuf trois"
    yield (
        rf"\b((?i:compose[zr]|appele[zr]|appelle) le ){START}([1-9][0-9])([1-9][0-9]){END}",
        lambda m: f"{m[1]}{cardinal(int(m[2]), 'fr')} {cardinal(int(m[3]), 'fr')}",
    )
    yield (
        rf"{START}(?:1(ers|ères|res)|([2-9]|[1-9][0-9])es){END}",
        lambda m: ordinal(int(m[2] or 1), "fr", {"ers": "er", "ères": "ère", "res": "re"}.get(m[1] or "", "e")) + "s",
    )
