"""Text as the model reads it: Boson's own changes, numbers in words in four languages, and nothing else touched."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.text.languages import LANGUAGES
from runtime.text.prompt_encoder import EVENT_TAG
from runtime.text.readings.normalization import normalize
from tests.text.growth import assert_linear

ROOT = Path(__file__).resolve().parents[2]

ENGLISH = {
    "I have 3 cats and 1,234 dogs.": "I have three cats and one thousand two hundred and thirty-four dogs.",
    "It is -5°C, not 41 °F.": "It is minus five degrees Celsius, not forty-one degrees Fahrenheit.",
    "3.50 km at 60 km/h.": "three point five zero kilometers at sixty kilometers per hour.",
    "$12.50, $1, $0.99.": "twelve dollars and fifty cents, one dollar, ninety-nine cents.",
    "$3.5 million or 20 USD or €1,000.00.": "three point five million dollars or twenty dollars or one thousand euros.",
    "The 1st, 22nd and 103rd.": "The first, twenty-second and one hundred and third.",
    "10-20 people, 5–10%, $10-20.": "ten to twenty people, five to ten percent, ten to twenty dollars.",
    "On 2026-03-14.": "On March fourteenth, twenty twenty-six.",
    "On 3/14/2026, no, 14/03/2026.": "On March fourteenth, twenty twenty-six, no, March fourteenth, twenty twenty-six.",
    "March 3, 2026.": "March third, twenty twenty-six.",
    "Born 3 May 1850.": "Born the third of May, eighteen fifty.",
    "Between 1999-2005 and in the 1990s.": (
        "Between nineteen ninety-nine to two thousand and five and in the nineteen nineties."
    ),
    "At 7:30, 7:00, 7:05 pm and 19:00.": "At seven thirty, seven o'clock, seven oh five pm and nineteen hundred.",
    "Call (555) 123-4567.": "Call five five five, one two three, four five six seven.",
    "Agent 007 has 4085551234.": "Agent zero zero seven has four zero eight five five five one two three four.",
    "100% of 50 m2.": "one hundred percent of fifty square meters.",
}
CHINESE = {
    "我有2个苹果和12只猫。": "我有两个苹果和十二只猫.",
    "2026年3月14日": "二零二六年三月十四日.",
    "2026-03-14": "二零二六年三月十四日.",
    "气温-5℃。": "气温负五摄氏度.",
    "增长3.5%，共10-20个。": "增长百分之三点五, 共十到二十个.",
    "¥12.5和$100和3万元。": "十二点五元和一百美元和三万元.",
    "下午3：30": "下午三点三十分.",
    "7:05开始": "七点零五分开始.",
    "电话13800138000": "电话一三八零零一三八零零零.",
    "速度60km/h，重2kg": "速度六十公里每小时, 重两公斤.",
}
SPANISH = {
    "Tengo 21 años, 1 perro y 200 cosas.": "Tengo veintiún años, un perro y doscientas cosas.",
    "Son 1.234.567,89.": (
        "Son un millón doscientos treinta y cuatro mil quinientos sesenta y siete coma ochenta y nueve."
    ),
    "Cuesta 12,50 €.": "Cuesta doce euros con cincuenta céntimos.",
    "Cuesta 2.000.000 €.": "Cuesta dos millones de euros.",
    "El 1.º, el 3.er piso, la 2ª.": "El primero, el tercer piso, la segunda.",
    "El 14/03/2026 y el 1.3.2026.": (
        "El catorce de marzo de dos mil veintiséis y el primero de marzo de dos mil veintiséis."
    ),
    "A las 19:30 o a las 1:00.": "A las diecinueve treinta o a las una en punto.",
    "Hace -5 °C y 10-20 km/h.": "Hace menos cinco grados Celsius y diez a veinte kilómetros por hora.",
    "El 50%.": "El cincuenta por ciento.",
}
FRENCH = {
    "J'ai 21 ans et 1 234,5 euros.": "J'ai vingt et un ans et mille deux cent trente-quatre virgule cinq euros.",
    "Il est 19h30, puis 1h, puis 21 h.": "Il est dix-neuf heures trente, puis une heure, puis vingt et une heures.",
    "Ça coûte 12,50 € ou 2 000 000 €.": "Ça coûte douze euros et cinquante centimes ou deux millions d'euros.",
    "Le 1er, la 1re, le 2e.": "Le premier, la première, le deuxième.",
    "Le 14/03/2026.": "Le quatorze mars deux mille vingt-six.",
    "Il fait -5 °C, 50 % à 80 km/h.": (
        "Il fait moins cinq degrés Celsius, cinquante pour cent à quatre-vingts kilomètres par heure."
    ),
    "Le 06 12 34 56 78.": "Le zéro six, douze, trente-quatre, cinquante-six, soixante-dix-huit.",
    "C'est 3,05.": "C'est trois virgule zéro cinq.",
}
FRACTIONS = {
    "en": {
        "1/2, 1/3, 3/4, 5/8 and 7/16.": "one half, one third, three quarters, five eighths and seven sixteenths.",
        "½ cup, 1½ cups, 2 1/2.": "one half cup, one and a half cups, two and a half.",
        "1/2 km, 3/4 oz, 2 1/2 lb, 1/4 %.": (
            "half a kilometer, three quarters of an ounce, two and a half pounds, one quarter percent."
        ),
        "A 3/4-inch pipe, 1-1/2 inches, -1/2.": ("A three quarters-inch pipe, one and a half inches, minus one half."),
        "1/100 or 3⁄2.": "one hundredth or three halves.",
    },
    "es": {
        "1/2, 2/3, 3/4 y 5/16.": "un medio, dos tercios, tres cuartos y cinco dieciseisavos.",
        "1/2 kilo, 1/2 taza, 1½ y 2 1/2.": "medio kilo, media taza, uno y medio y dos y medio.",
        "1/2 km, 3/4 kg, 2 1/2 h.": "medio kilómetro, tres cuartos de kilogramo, dos horas y media.",
    },
    "fr": {
        "1/2, 2/3, 3/4 et 5/8.": "un demi, deux tiers, trois quarts et cinq huitièmes.",
        "1/2 heure, 1½, 2 1/2.": "une demi heure, un et demi, deux et demi.",
        "1/2 l, 3/4 h, 2 1/2 km.": "un demi litre, trois quarts d'heure, deux kilomètres et demi.",
        "Les 3/4 des gens.": "Les trois quarts des gens.",
    },
    "zh": {
        "1/2和3/4": "二分之一和四分之三.",
        "½，2½公里": "二分之一, 二又二分之一公里.",
        "3/4kg": "四分之三公斤.",
    },
}
ROMAN = {
    "en": {
        "Chapter IV of Part II, Act I, Scene V.": "Chapter four of Part two, Act one, Scene five.",
        "World War I and World War II.": "World War one and World War two.",
        "Louis XIV and King George III's Elizabeth I.": (
            "Louis the fourteenth and King George the third's Elizabeth the first."
        ),
        "Henry VIII in the XVI century.": "Henry the eighth in the sixteenth century.",
        "Super Bowl LVIII, stage IV, Charles I of Spain.": (
            "Super Bowl fifty-eight, stage four, Charles the first of Spain."
        ),
    },
    "es": {
        "El siglo XX, los siglos XVIII y XIX, el siglo V a. C.": (
            "El siglo veinte, los siglos dieciocho y diecinueve, el siglo quinto antes de Cristo."
        ),
        "Felipe VI, Isabel II, Alfonso XIII.": "Felipe sexto, Isabel segunda, Alfonso trece.",
        "Capítulo III de la I Guerra Mundial.": "Capítulo tres de la primera Guerra Mundial.",
        "El III Congreso y la XII edición.": "El tercer Congreso y la duodécima edición.",
    },
    "fr": {
        "Le XXe siècle, le XIXᵉ, la Ve République.": "Le vingtième siècle, le dix-neuvième, la cinquième République.",
        "Louis XIV, François Ier, Élisabeth II.": "Louis quatorze, François premier, Élisabeth deux.",
        "Chapitre IV, Acte I.": "Chapitre quatre, Acte un.",
    },
}
TELEPHONES = {
    "en": {
        "+1 (555) 123-4567.": "plus one, five five five, one two three, four five six seven.",
        "555-1234 or 1-800-555-0199.": (
            "five five five, one two three four or one, eight zero zero, five five five, zero one nine nine."
        ),
        "01 42 68 53 00.": "zero one, four two, six eight, five three, zero zero.",
        "+34 912 34 56 78.": "plus three four, nine one two, three four, five six, seven eight.",
        "138-0013-8000.": "one three eight, zero zero one three, eight zero zero zero.",
        "020 7946 0958, call 555 1234.": (
            "zero two zero, seven nine four six, zero nine five eight, call five five five, one two three four."
        ),
    },
    "es": {
        "Llame al 612 345 678.": "Llame al seis uno dos, tres cuatro cinco, seis siete ocho.",
        "912 34 56 78.": "nueve uno dos, tres cuatro, cinco seis, siete ocho.",
    },
    "fr": {
        "01 42 68 53 00.": "zéro un, quarante-deux, soixante-huit, cinquante-trois, zéro zéro.",
        "+33 6 12 34 56 78.": "plus trente-trois, six, douze, trente-quatre, cinquante-six, soixante-dix-huit.",
    },
    "zh": {
        "请打138-0013-8000。": "请打一三八, 零零一三, 八零零零.",
        "电话：62345678": "电话:六二三四五六七八.",
        "010-62345678": "零一零, 六二三四五六七八.",
        "+86 138 0013 8000": "加八六, 一三八, 零零一三, 八零零零.",
    },
}
# What looks like one of these and is something else.
OTHERS = {
    "en": {
        "Open 24/7, since 9/11, 50/50.": "Open twenty-four seven, since nine eleven, fifty-fifty.",
        "On 3/4/2025, on 3/4, page 1/2, 3/4 time.": (
            "On March fourth, twenty twenty-five, on 3/4, page 1/2, 3/4 time."
        ),
        "1/2/3 and/or 2/4.": "1/2/3 and/or 2/4.",
        "From 1999-2003, won 3-2, 5-3=2.": (
            "From nineteen ninety-nine to two thousand and three, won three to two, five minus three equals two."
        ),
        "2026-03-14, 10-9-8, 100-2000 people.": (
            "March fourteenth, twenty twenty-six, 10-9-8, one hundred to two thousand people."
        ),
        "555-1234=3": "five hundred and fifty-five minus one thousand two hundred and thirty-four equals three.",
        "Call 300 people.": "Call three hundred people.",
    },
    "es": {"el 1/2 y el 3/4": "el 1/2 y el 3/4."},
    "fr": {
        "le 1/2, 24/7": "le 1/2, vingt-quatre heures sur vingt-quatre, sept jours sur sept.",
        "+1 234 567 €": "plus un million deux cent trente-quatre mille cinq cent soixante-sept euros.",
        "1 200 000 habitants": "un million deux cent mille habitants.",
    },
    "zh": {"1999-2003年": "一九九九到二零零三年.", "第1/2页": "第1/2页.", "3-2": "3-2."},
}
EXAMPLES = [
    (language, written, read)
    for table in (
        {"en": ENGLISH, "zh": CHINESE, "es": SPANISH, "fr": FRENCH}, FRACTIONS, ROMAN, TELEPHONES, OTHERS,
    )
    for language, examples in table.items()
    for written, read in examples.items()
]  # fmt: skip


@pytest.mark.parametrize(("language", "written", "read"), EXAMPLES)
def test_numbers_are_read_as_the_language_reads_them(language: str, written: str, read: str) -> None:
    assert normalize(written, language) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Hello（you）：yes！", "Hello you :yes!"),
        ("It is hot °C", "It is hot degrees Celsius."),
        ("Ha [laugh] ha", "Ha <SE>[Laughter]</SE> ha."),
        ("[music start] la la [music end]", "<SE_s>[Music]</SE_s> la la <SE_e>[Music]</SE_e>"),
        ("  one \t two \n\n  three  ", "one two\nthree."),
        ("a “quote”", 'a "quote"'),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_boson_s_own_changes_are_made(written: str, read: str) -> None:
    assert normalize(written) == read


@pytest.mark.parametrize(
    "text",
    [
        "MP3 and v1.2.3 and a1-192.168.0.1.", "See http://a.b/c?d=3 or me2@x_y.", "5kg3 and 3D and 5G.", "1,2,3 go.",
        "On 45:99.", "[SPEAKER0] hello.", "B2B.",
    ],
)  # fmt: skip
def test_what_fits_no_rule_stays_as_it_is(text: str) -> None:
    assert normalize(text, "en") == text


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "I did my part I think, and the chapter I liked, Elizabeth I know."),
        ("en", "As for Charles I, I'm sure World War I'll never read."),
        ("en", "MIX, CD, DVD, DIM, MILD, LIV, VI and IV."),
        ("en", "Type C, Section D, Chapter M, Part CD, Volume MIX, Vitamin C, Malcolm X."),
        ("en", "Francis X. Bushman and John V. Lindsay."),
        ("en", "chapter iv, Louis xiv."),
        ("es", "Juan V. Pérez, el CD, la MIX, Capítulo C."),
        ("fr", "Ce DVD, De Le Me, Ie, la Vie."),
        ("zh", "第IV章, Louis XIV."),
        ("en", "a½b."),
        ("de", "½ und 1½, Ludwig XIV."),
    ],
)
def test_letters_and_signs_that_may_be_something_else_stay(language: str, text: str) -> None:
    assert normalize(text, language) == text


def test_the_demo_s_sentences_pass_unchanged() -> None:
    for example in json.loads((ROOT / "demo/checkpoint/held_out.json").read_text()):
        assert normalize(example["written"], "en") == example["written"]


def test_a_language_without_a_lexicon_keeps_its_numbers() -> None:
    assert normalize("Am 3.4.2026 waren es 20 °C und 5 kg.", "de") == "Am 3.4.2026 waren es 20 °C und 5 kg."


PIECES = [
    "hello", "the", "km", "kg", "março", "años", "今天", "元", "年", "月", "日", "点", "5", "12", "3.14", "1,234", "-7",
    "$5", "%", "€", ":30", "7:30", "19h30", "2026-03-14", "3/14/2026", "10-20", "[laugh]", "[music start]", "(", ")",
    "—", "…", "，", "。", "°C", "1st", "2e", "1.º", "+", "-", ".", ",", "/", ":", "h", "#", "m2", "million", "\n", "  ",
    "March", "US$", "~", "–", "①", "１", "007", "555-1234", "2", "个", "http://x.y/1", "1/2", "½", "⅞", "⁄", "3/4",
    "Chapter", "Louis", "XIV", "I", "V", "IIe", "siglo", "XX y", "+1 (555) 123-4567", "01 42 68 53 00", "call", "电话",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).flatmap(
    lambda pieces: st.sampled_from(["".join(pieces), " ".join(pieces)])
)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.sampled_from([*LANGUAGES, "de"]))
def test_normalising_twice_is_normalising_once(text: str, language: str) -> None:
    once = normalize(text, language)
    assert normalize(once, language) == once


NUMBERS = st.sampled_from(
    ["0", "7", "½", "1½", "3/4", "2 1/2", "9/11", "24/7", "1/2/3", "1999-2003", "3-2", "555-1234", "+1 (555) 123-4567",
     "01 42 68 53 00", "612 345 678", "138-0013-8000", "007", "1,234.5", "1.234,5", "$5.05", "12:30", "2026-03-14",
     "-3", "10 %", "99th", "1/0", "0/1", "0⁄7", "5-3", "1e9", "MP3", "v1.2.3", "192.168.0.1", "1.º", "2e", "19h30",
     "3 km", "#1"]
) | st.integers(0, 10**18).map(str) | st.from_regex(r"[0-9]{1,4}([ ./,:-][0-9]{1,4}){1,4}", fullmatch=True)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=4), st.sampled_from([*LANGUAGES, "de"]))
def test_every_number_is_spoken_or_kept(numbers: list[str], language: str) -> None:
    """Between words that no rule knows there is something to say for each number, in its place, and no digit is new."""
    words = [f"qu{'x' * place}z" for place in range(len(numbers) + 1)]
    text = words[0] + "".join(f" {number} {word}" for number, word in zip(numbers, words[1:], strict=True))
    said = normalize(text, language)
    position = said.index(words[0]) + len(words[0])
    for number, word in zip(numbers, words[1:], strict=True):
        end = said.index(word, position)
        spoken = said[position:end]
        assert any(c.isalnum() for c in spoken)
        kept = iter(number)
        assert all(digit in kept for digit in re.findall("[0-9]", spoken)), "digits that stay are the number's own"
        position = end + len(word)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.sampled_from([*LANGUAGES]))
def test_sound_events_come_through(text: str, language: str) -> None:
    words = f"so [cough] {text} [laugh] then"
    tags = [part for part in EVENT_TAG.split(normalize(words, language)) if EVENT_TAG.fullmatch(part)]
    assert len(tags) == 2 * sum(words.count(event) for event in ("[cough]", "[laugh]", "[music start]"))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text("abcçdéñxyz今天好我", min_size=1, max_size=8), max_size=8), st.sampled_from([*LANGUAGES]))
def test_words_are_never_changed(words: list[str], language: str) -> None:
    assert re.findall(r"\w+", normalize(" ".join(words), language)) == words


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from([*LANGUAGES]))
def test_any_plain_number_is_read(number: int, language: str) -> None:
    assert not re.search(r"[0-9]", normalize(f"x {number} y", language))


@pytest.mark.slow
@pytest.mark.parametrize("language", [*LANGUAGES])
@pytest.mark.parametrize(
    "repeated",
    [
        "In 1999, 3 cats cost $12.50. ",
        "1",
        "1 ",
        "1-",
        "100 ",
        "1,",
        "a@",
        "今天3月",
        "<",
        "½",
        "1/2 ",
        "XX, ",
        "call 1 ",
        "5kg,",
        "1 Corinthians 13:4,",
        "3PM",
        "5‰",
        # what begins a reading, again and again
        "1/",
        "1.",
        "1:",
        "won 1-",
        "(1",
        "$1",
        "1e-",
        "1x",
        "a@a.",
        "www.",
        "第1",
        "June 1-",
        '1" ',
        "$1 ",
        "1' ",
        "a 8) ",
    ],
)
def test_the_time_of_normalising_grows_with_the_text_and_not_with_its_square(repeated: str, language: str) -> None:
    assert_linear(lambda text: normalize(text, language), repeated)
