"""Which texts are transcripts, who says what in them, and that nothing which is spoken is lost to a label."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.formats.options import DIALOGUE_MODES
from runtime.text.dialogue.dialogue import DialogueTurn, Recognition
from runtime.text.dialogue.transcript import labels_of, parse_transcript
from tests.text.growth import assert_linear

CORPUS = Path(__file__).parent / "corpus"
AUTO, ON, OFF = (Recognition(mode) for mode in DIALOGUE_MODES)


def read(text: str, recognition: Recognition = AUTO) -> list[tuple[str | None, str]]:
    return [(turn.speaker, turn.text) for turn in parse_transcript(text, recognition)]


def corpus(name: str) -> Iterator[tuple[str, str]]:
    """Head and text of each entry. `{U+FEFF}` stands for a character that nobody sees."""
    written = (CORPUS / f"{name}.txt").read_text("utf-8")
    seen = re.sub(r"\{U\+([0-9A-F]+)\}", lambda match: chr(int(match[1], 16)), written)
    for entry in re.split(r"^### ", seen, flags=re.MULTILINE)[1:]:
        head, _, text = entry.partition("\n")
        yield head, text.rstrip("\n")


# The halves that were held back were written when the rules stood, and read by them as they were: 1 of 116 texts got
# speakers, and 5 of 38 dialogues lost some. Those headed "later" came next (3 of 50 and 8 of 20), and those headed
# "last" when the rules had learnt from both (0 of 35 and 1 of 15). The bounds are the project's.
# The fresh ones are another author's. The forms are those that came last (brackets, numbered turns, plays, stamps,
# headings that are people, Q and A): at first sight 2 of 70 texts got speakers, and 1 of 55 dialogues lost some.
FILES = ("", "_held_back", "_fresh", "_forms")
PLAIN = [entry for name in FILES for entry in corpus(f"plain{name}")]
DIALOGUES = [entry for name in FILES for entry in corpus(f"dialogues{name}")]


def test_no_text_without_speakers_gets_one(figure: Callable[[str, str], None]) -> None:
    found = [(head, read(text)) for head, text in PLAIN]
    invented = [(head, turns) for head, turns in found if any(speaker for speaker, _ in turns)]
    figure("speakers invented", f"{len(invented)} of {len(PLAIN)} texts without speakers")
    assert len(PLAIN) >= 200
    assert not invented


def test_hardly_a_dialogue_is_missed(figure: Callable[[str, str], None]) -> None:
    missed = []
    for head, text in DIALOGUES:
        expected = [None if name == "-" else name for name in head.split(": ", 1)[1].split(", ")]
        if [speaker for speaker, _ in read(text)] != expected:
            missed.append((head, read(text)))
    figure("dialogues missed", f"{len(missed)} of {len(DIALOGUES)} texts with speakers")
    assert len(DIALOGUES) >= 60
    assert len(missed) <= 3, missed


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("(whispering) Hello.", "Hello."), ("(quietly) Hello.", "Hello."), ("[laughing] Hello.", "Hello."),
        ("(whispering to Ben) Hello.", "Hello."), ("*(Sighs)* Hello.", "Hello."), ("（小声）你好。", "你好。"),
        ("(susurrando) Hola.", "Hola."), ("(en riant) Bonjour.", "(en riant) Bonjour."),
        ("(I think) he left.", "(I think) he left."), ("(according to him) yes.", "(according to him) yes."),
        ("(happy to help) Hello.", "(happy to help) Hello."), ("Hello (whispering).", "Hello (whispering)."),
    ],
)  # fmt: skip
def test_the_manner_behind_a_colon_is_no_word(written: str, said: str) -> None:
    assert read(f"ANNA: {written}\nBEN: How are you?\nANNA: Fine.")[0] == ("ANNA", said)


def test_fields_with_an_underscore_are_no_speakers() -> None:
    for text in (
        "error_code: are you there?\nuser_name: I am.\nerror_code: hello!",
        "max_size: 10\nmin_size: 2\nmax_size: 9",
    ):
        assert [name for name, _ in read(text)] == [None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[SPEAKER0] Hi.\n[SPEAKER1] Ho.", [("SPEAKER0", "Hi."), ("SPEAKER1", "Ho.")]),
        ("[SPEAKER0] Hi. [SPEAKER1] Ho. [speaker 0]: Ha.",
         [("SPEAKER0", "Hi."), ("SPEAKER1", "Ho."), ("SPEAKER0", "Ha.")]),
        ("SPEAKER0: Hi.\nSPEAKER1: Ho.", [("SPEAKER0", "Hi."), ("SPEAKER1", "Ho.")]),
        ("SPEAKER_07: Trees.\nspeaker_07: Bees.", [("SPEAKER7", "Trees."), ("SPEAKER7", "Bees.")]),
        ("[SPEAKER_00]: Rain.\n[SPEAKER_01]: Snow.", [("SPEAKER0", "Rain."), ("SPEAKER1", "Snow.")]),
        ("[S1] Rain. [S2] Snow.", [("S1", "Rain."), ("S2", "Snow.")]),
        ("[00:01] SPEAKER_00: Rain.\n[00:02] SPEAKER_01: Snow.", [("SPEAKER0", "Rain."), ("SPEAKER1", "Snow.")]),
        ("[SPEAKER0] Alone.", [("SPEAKER0", "Alone.")]),
        ("[SPEAKER0] [SPEAKER1]: Hi.", [("SPEAKER1", "Hi.")]),
        ("Once.\n[SPEAKER0] Hi.", [(None, "Once."), ("SPEAKER0", "Hi.")]),
    ],
)  # fmt: skip
def test_tags_are_always_labels(text: str, expected: list[tuple[str | None, str]]) -> None:
    assert read(text) == read(text, ON) == expected


TALK = "How are you?"


@pytest.mark.parametrize(
    ("label", "speaker"),
    [
        ("Anne :", "Anne"), ("Anne\u00a0:", "Anne"), ("Anne\u202f:", "Anne"), ("Anne：", "Anne"),
        ("\ufeffAnne:", "Anne"), ("An\u00adne:", "Anne"), ("\u200bAnne\u200b:", "Anne"),
        ("Guest 1:", "Guest 1"), ("Waiter 2:", "Waiter 2"), ("1st Customer:", "1st Customer"), ("Host 12 :", "Host 12"),
        ("C-3PO:", "C-3PO"), ("R2-D2:", "R2-D2"), ("Jean-Luc:", "Jean-Luc"), ("Mei-Ling Wu:", "Mei-Ling Wu"),
        ("MARY (quietly):", "MARY"), ("Mary [whispers]:", "Mary"), ("MARY (V.O.) (angry):", "MARY"),
        ("**Mary (quietly):**", "Mary"), ("小明（小声）：", "小明"),
        ("**Guest:**", "Guest"), ("**Guest**:", "Guest"), ("*Guest:*", "Guest"), ("__Guest:__", "Guest"),
        ("> **Guest:**", "Guest"), ("[Guest]:", "Guest"), ("- Guest:", "Guest"),
        ("anna:", "anna"), ("tom :", "tom"), ("mary (tired):", "mary"),
        ("[10:02] Anna:", "Anna"), ("(00:01:02) Anna:", "Anna"), ("10:02 Anna:", "Anna"),
        ("[10:02:33.120] Anna:", "Anna"),
        ("10:02 AM - Anna:", "Anna"), ("[12.05.24, 10:02] Anna:", "Anna"), ("Anna [10:02]:", "Anna"),
        ("Zoe\u0308:", "Zoë"), ("Rene\u0301e:", "Renée"), ("Jose\u0301 Mari\u0301a:", "José María"),
        ("Дмитри\u0438\u0306:", "Дмитрий"), ("प्रिया:", "प्रिया"), ("가나:", "가나"),
        ("Dr. Smith:", "Dr. Smith"), ("J. R. Ewing:", "J. R. Ewing"), ("Mrs. O'Brien:", "Mrs. O'Brien"),
        ("Ludwig van Beethoven:", "Ludwig van Beethoven"), ("The Old Woman:", "The Old Woman"),
        ("Anna & Bob:", "Anna & Bob"),
        ("Le médecin :", "Le médecin"), ("Taxi driver:", "Taxi driver"), ("Jeanne d'Arc :", "Jeanne d'Arc"),
        ("FIRST WITCH.:", "FIRST WITCH"), ("Αννα:", "Αννα"), ("أحمد:", "أحمد"),
        ("欧阳修：", "欧阳修"), ("村上さん：", "村上さん"),
        ("【小明】：", "小明"), ("“小明”：", "小明"), ("[Anna] :", "Anna"), ("GUARD #1:", "GUARD #1"),
        ("Marvin 🤖:", "Marvin"),
        ("— Anne :", "Anne"), ("3. Anna:", "Anna"), ("12) Anna:", "Anna"), ("Leo:", "Leo"), ("Author:", "Author"),
        ("ninja_kate:", "ninja_kate"), ("xx_Bob_99:", "xx_Bob_99"), ("bob99:", "bob99"), ("Kate_M:", "Kate_M"),
        ("Hablante 1:", "Hablante 1"), ("作者：", "作者"),
    ],
)  # fmt: skip
def test_labels_of_many_forms_are_recognised(label: str, speaker: str) -> None:
    """Each twice, with another speaker between: whoever it is, the name comes back."""
    text = f"{label} {TALK}\nBob: Fine, thanks.\n{label} I see."
    names = [(unicodedata.normalize("NFC", name or ""), said) for name, said in read(text)]
    assert names == [(speaker, TALK), ("Bob", "Fine, thanks."), (speaker, "I see.")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Alice: Hi.\nDr. Bob Smith: Ho.", [("Alice", "Hi."), ("Dr. Bob Smith", "Ho.")]),
        ("They met.\nAlice: Hi.\nHow are you?\nBob: Ho.",
         [(None, "They met."), ("Alice", "Hi.\nHow are you?"), ("Bob", "Ho.")]),
        ("Alice: at 10:30, see http://a.b, will you?", [("Alice", "at 10:30, see http://a.b, will you?")]),
        ("Alice:\nHi.", [("Alice", "Hi.")]),
        ("S1: hi there\nS2: hello", [("S1", "hi there"), ("S2", "hello")]),
        ("It rains (see [S1] and [S2]).", [(None, "It rains (see [S1] and [S2]).")]),
        ("ANNA: Hi.\nAnna: Ho, Bob.\nBob: Yes?", [("ANNA", "Hi."), ("ANNA", "Ho, Bob."), ("Bob", "Yes?")]),
        ("Anna: Yes, Bob? Bob: May I? Anna: No.", [("Anna", "Yes, Bob?"), ("Bob", "May I?"), ("Anna", "No.")]),
        ("Anna: I have a list.\nNote: it is long.\nBob: Is it?\nAnna: Yes.",
         [("Anna", "I have a list.\nNote: it is long."), ("Bob", "Is it?"), ("Anna", "Yes.")]),
        ("A: One.\nB: Two.", [("A", "One."), ("B", "Two.")]),
        ("Which is it?\nA: One.\nB: Two.", [(None, "Which is it?\nA: One.\nB: Two.")]),
        ("A: One.\nB: Two.\nC: Three.", [(None, "A: One.\nB: Two.\nC: Three.")]),
        ("plain text", [(None, "plain text")]),
        ("Note: this is prose.", [(None, "Note: this is prose.")]),
        ("We say.\nAlice: once.", [(None, "We say.\nAlice: once.")]),
        ("10:30 is the time.\nhttp://a.b: no", [(None, "10:30 is the time.\nhttp://a.b: no")]),
        ("This is a very long thing: yes.\nAnd this: no.", [(None, "This is a very long thing: yes.\nAnd this: no.")]),
        ("the truth: it hurts.\nthe lie: it too.", [(None, "the truth: it hurts.\nthe lie: it too.")]),
        ("[laugh] Hi [music start]", [(None, "[laugh] Hi [music start]")]),
    ],
)  # fmt: skip
def test_transcripts_are_turns(text: str, expected: list[tuple[str | None, str]]) -> None:
    assert read(text) == expected


def test_all_paragraphs_below_a_cue_are_one_persons_where_nothing_is_acted() -> None:
    text = "ANNA\nI came late.\n\nThe door was open.\n\nBOB\nAnd?\n\nANNA\nNothing.\n\nNobody."
    assert read(text) == [
        ("ANNA", "I came late.\n\nThe door was open."),
        ("BOB", "And?"),
        ("ANNA", "Nothing.\n\nNobody."),
    ]


SCREENPLAY = """INT. KITCHEN - NIGHT

MARY
(softly)
You never called.

She sits down.

JOHN (CONT'D)
I lost your number.
Twice.

MARY
I see."""


def test_a_screenplays_cues_name_who_speaks_and_its_actions_nobody() -> None:
    assert read(SCREENPLAY) == [
        (None, "INT. KITCHEN - NIGHT"),
        ("MARY", "You never called."),
        (None, "She sits down."),
        ("JOHN", "I lost your number.\nTwice."),
        ("MARY", "I see."),
    ]


@pytest.mark.parametrize(
    ("text", "speakers"),
    [
        ("Alice: Hi.\nBob:\n", ["Alice"]),
        ("Alice: Hi.\nBob:\nAlice: Are you there?\nBob: Yes.", ["Alice", "Alice", "Bob"]),
        ("[SPEAKER0] [SPEAKER1] Hi.", ["SPEAKER1"]),
        ("SPEAKER_00:\nSPEAKER_01: Hi.\nSPEAKER_00:", ["SPEAKER1"]),
        ("Results:\nHome 2, Away 1", [None]),
        ("Anna:", [None]),
        ("Anna:\n\nBob:", [None]),
        ("小明：\n小红：你好！\n小明：你好吗？", ["小红", "小明"]),
    ],
)
def test_an_empty_label_is_no_turn_and_no_error(text: str, speakers: list[str | None]) -> None:
    assert [speaker for speaker, _ in read(text)] == speakers


STRANGE = "Sky: It is blue.\nSea: It is deep."


@pytest.mark.parametrize(
    ("text", "recognition", "speakers"),
    [
        (STRANGE, AUTO, [None]),
        (STRANGE, ON, ["Sky", "Sea"]),
        (STRANGE, Recognition(given=frozenset(["Sea", "Sky"])), ["Sky", "Sea"]),
        (STRANGE, Recognition(given=frozenset(["sky"])), ["sky", "Sea"]),
        ("Note: this is short.", ON, ["Note"]),
        ("Note: this is short.", Recognition(given=frozenset(["Note"])), ["Note"]),
        ("Tune: Do you hear?\nPitch: Yes.", Recognition(voices=frozenset(["tune"])), ["Tune", "Pitch"]),
        ("THE ROAD\nIt is long.", ON, ["THE ROAD"]),
        ("[Sea] It is deep.\n[Sky] It is blue.", AUTO, [None]),
        ("[Sea] It is deep.\n[Sky] It is blue.", Recognition(given=frozenset(["Sea", "Sky"])), ["Sea", "Sky"]),
        ("[Zorbo] It is deep.\n[Quillan] It is blue.", ON, ["Zorbo", "Quillan"]),
        ("[laughs] It is deep.\n[Anna] It is blue.", ON, [None, "Anna"]),
        ("1: It is deep.\n2: Is it?\n1: I say so.", AUTO, [None]),
        ("1: It is deep.\n2: Is it?\n1: I say so.", ON, ["1", "2", "1"]),
        ("1: It is deep.\n2: Is it?\n1: I say so.", Recognition(given=frozenset(["1", "2"])), ["1", "2", "1"]),
        ("SEA. It is deep.\nSKY. It is blue.", ON, ["SEA", "SKY"]),
        ("Emma: The gate is shut.", AUTO, [None]),
        ("Emma: The gate is shut.", ON, ["Emma"]),
        ("Emma: The gate is shut.", Recognition(given=frozenset(["Emma"])), ["Emma"]),
        ("Emma: The gate is shut.", Recognition(voices=frozenset(["emma"])), ["Emma"]),
        ("Emma: A Novel by Jane Austen", Recognition(voices=frozenset(["emma"])), [None]),
        ("No label here. Nor: here.", ON, [None]),
        ("Anna: Hi.\nBob: How are you?", OFF, [None]),
        ("[SPEAKER0] Hi. [SPEAKER1] Ho.", OFF, [None]),
        ("SPEAKER_00: Hi.", Recognition("off", frozenset(["SPEAKER0"])), [None]),
        ("Jose\u0301: Sky.", Recognition(given=frozenset(["José"])), ["José"]),
        ("SPEAKER_00: Sky.", Recognition(given=frozenset(["SPEAKER_00"])), ["SPEAKER_00"]),
    ],
)  # fmt: skip
def test_a_request_may_say_who_speaks(text: str, recognition: Recognition, speakers: list[str | None]) -> None:
    assert [speaker for speaker, _ in read(text, recognition)] == speakers
    if recognition is OFF:
        assert read(text, recognition) == [(None, text)]


NAMES = st.sampled_from(["Alice", "Bob", "Old Man", "Dr. Wu", "SPEAKER0", "SPEAKER12", "小明", "Émile"])
SAID = st.lists(
    st.sampled_from(
        ["hello", "at 10:30", "note: x", "yes.", "http://a.b", "[laugh]", "你好。", "\nand more", "¡Hola!"]
    ),
    min_size=1,
    max_size=6,
).map(lambda words: " ".join(words).strip())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(NAMES, SAID), min_size=2, max_size=8), st.booleans())
def test_a_dialogue_written_down_is_read_back(dialogue: list[tuple[str, str]], tagged: bool) -> None:
    if tagged:
        dialogue = [(f"SPEAKER{len(name)}", text) for name, text in dialogue]
        written = " ".join(f"[{name}] {text}" for name, text in dialogue)
    else:
        written = "\n".join(f"{name}{'：' if name == '小明' else ': '}{text}" for name, text in dialogue)
    assert parse_transcript(written, AUTO if tagged else ON) == [DialogueTurn(*turn) for turn in dialogue]


PIECES = [
    "[SPEAKER0]", "[S1]", "SPEAKER_02:", "Alice:", "Bob: ", "\nBob: ", "\nAlice (sadly): ", "[10:02] Alice: ",
    "**Bob:** ", "x", "I see.", "\n", "\n\n", "\nMARY\n", "\n\nJOHN\n(softly)\n", " ", ":", "：", "小明：", "他说：",
    "10:30", "Note: ", "\nZoe\u0308: ",
    "\ufeff", "Why?", "7", "\n[Alice] ", "\n<bob> ", "\nMARY. ", "\n1. Bob: ", "\nAlice 0:02\n",
    "\n1: ", "\nBob - ", "[x]", "\nMARY, softly. — ",
]  # fmt: skip


def spoken(text: str) -> str:
    return "".join(c for c in text if c.isalnum())


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=15).map("".join),
    st.sampled_from(DIALOGUE_MODES),
    st.sets(st.sampled_from(["Alice", "小明", "MARY", "x"])),
)
def test_no_letter_or_digit_of_any_text_is_lost(text: str, mode: str, given: set[str]) -> None:
    check_nothing_is_lost(text, Recognition(mode, frozenset(given)))


@pytest.mark.parametrize("mode", DIALOGUE_MODES)
def test_no_letter_or_digit_of_the_corpus_is_lost(mode: str) -> None:
    for _, text in PLAIN + DIALOGUES:
        check_nothing_is_lost(text, Recognition(mode))


ASIDE = re.compile(r"\([^()]*\)|（[^（）]*）|\[[^\[\]]*\]|【[^【】]*】")
MANNER = re.compile(r", [^\W\d][^\d.,:;!?–—]*(?=\.\s*[-–—])")  # how a play's line is said: `JULIAN, aside. — `
STAMP = re.compile(
    r"(?:Today at )?(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4}[,T]? ?)?"
    r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?(?: ?[AaPp]\.?[Mm]\b)?"
)


TURN = re.compile(r"^\W*\d{1,3}[.)](?=\s)")
ZOOM = re.compile(r"From (?=.* to Everyone)|to Everyone")


def check_nothing_is_lost(text: str, recognition: Recognition) -> None:
    """What is not in a label is said, in order; a label holds a name, an aside, a time and a turn's number at most."""
    labels = labels_of(text, recognition)
    kept, end = "", 0
    for label in labels:
        assert label.start >= end
        kept, end = kept + text[end : label.start], label.end
        written = text[label.start : label.end]
        if label.style == "tag":
            assert re.fullmatch(r"(?i)(?:speaker|s)\d+", spoken(STAMP.sub("", TURN.sub("", written))))
        else:
            aside = ASIDE.sub("", MANNER.sub("", written) if label.style == "play" else written)
            bare = {spoken(STAMP.sub("", one)) for one in (aside, TURN.sub("", aside), ZOOM.sub("", written))}
            assert bare & {spoken(label.name), ""}
    assert spoken(kept + text[end:]) == spoken("".join(turn.text for turn in parse_transcript(text, recognition)))


LONGEST = 65_536
HOSTILE = [
    "The train leaves on Monday, and nobody knew: it never did. ", "Anna: hello there you\nBob: yes\n",
    "[SPEAKER0] ", ":", " ", "[", "(", "*_",
    "A (", ". A", "Hi! \"", "\u200b", "a\u200b", "\u200b" * 41 + "\n", "." + "\u200b" * 63, "10:00 ", "[10:00] ",
    "中：", "\n", "MARY\n",
    "MARY\nhi\n\n", "[Anna] ", "<a> ", "<a>\n", "MARY. ", "MARY. hi\n", "Mary - ", "Anna 0:02\n", "A A:0",
    "1. ", "🤖", "A. ", "MARY, a", "MARY, aside. — ",
    "A (b) (c) (d", "Aa Bb Cc Dd ", " " * 39 + "A\n",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_no_text_takes_more_than_linear_time(unit: str) -> None:
    assert_linear(lambda text: parse_transcript(f"a {text} end:", AUTO), unit, LONGEST)


def test_a_sentence_takes_less_than_a_millisecond(figure: Callable[[str, str], None]) -> None:
    sentence = "The train to London leaves on Monday, and he knew one thing: it would be late."
    times = []
    for _ in range(50):
        start = time.process_time()
        parse_transcript(sentence, AUTO)
        times.append(time.process_time() - start)
    figure("finding out who speaks in a sentence", f"{min(times) * 1e6:.0f} us")
    assert min(times) < 0.001
