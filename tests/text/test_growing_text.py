"""A text that comes in pieces says what the whole text says, however it was cut, and as soon as that is sure."""

from __future__ import annotations

import json
import random
import textwrap
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

import pytest

from runtime.formats.errors import InvalidRequestError
from runtime.formats.more_parts import MoreParts
from runtime.formats.speech_plan import PlannedPart
from runtime.text.dialogue.dialogue import Recognition
from runtime.text.dialogue.voice_assignment import assign
from runtime.text.growing_speech import GrowingSpeech, Settled, growing_params, opening_turns
from runtime.text.languages import resolve
from runtime.text.parts import located, text_parts
from runtime.text.plan_writer import PlanWriter
from runtime.text.prompt_encoder import PromptEncoder
from runtime.text.request_options import parse_options
from runtime.text.sure_ends import sure_ends
from runtime.text.text_input import read_text
from tests.text.growth import assert_linear
from tests.text.test_plan_writer import LIMITS, OPTION_LIMITS, TOKENIZER
from tests.text.test_voice_assignment import THREE
from tests.text.test_wrapped_prose import SENTENCES, TRICKY

WRITER = PlanWriter(PromptEncoder(TOKENIZER), LIMITS)
DIALOGUE = (
    "Anna: Hello Bob. How are you today, my dear old friend?\nBob: Fine. I met Dr. Lund at 5 p.m. in No. 3!\n"
    "Anna: Really? Tell me more.\n\nHe never goes out.\nBob: It costs $12.50. I know.\nAnna: So what?"
)
VOICES = {"Anna": "slt", "Bob": "awb"}


def whole(text: str, **given: Any) -> list[PlannedPart]:
    params = growing_params(parse_options(json.dumps(given), OPTION_LIMITS))
    names = frozenset(params.speakers)
    turns = read_text(text, 10**6, Recognition("auto" if names else "off", names)).turns
    language = resolve(params.language, " ".join(turn.text for turn in turns))
    made = assign(turns, params.speakers, None, THREE, language.code)
    parts = located(text_parts(turns, params, language.code), text)
    return WRITER.speech(made, None, params).parts(parts, language)


class Grown:
    """A text that grows, and what it gave so far; `now` is the time."""

    def __init__(self, opening: str = "", max_characters: int = 10_000, **given: Any) -> None:
        params = growing_params(parse_options(json.dumps(given), OPTION_LIMITS))
        turns = opening_turns(opening, params, Recognition(params.dialogue, frozenset(params.speakers)))
        made = assign(turns, params.speakers, None, THREE, "en")
        names = frozenset(speaker.name for speaker in made.speakers if speaker.name)
        self.sent: list[MoreParts] = []
        self.settled = Settled(params, names, (), {}, max_characters)
        self.writer = WRITER.speech(made, None, params)
        self.speech = GrowingSpeech("id", self.settled, self.writer, self.sent.append)
        self.parts = list(self.speech.open(opening, 0.0).plan.parts)

    def fresh(self) -> list[PlannedPart]:
        """The parts that came since this was called last."""
        before = len(self.parts)
        return self.said()[before:]

    def said(self) -> list[PlannedPart]:
        """All parts so far, as `lm` has them."""
        for more in map(MoreParts.read, map(MoreParts.write, self.sent)):
            assert not more.fault, more.fault
            if self.parts and more.parts:
                self.parts[-1] = replace(self.parts[-1], pause=more.pause)
            self.parts += more.parts
        self.sent.clear()
        return self.parts

    def words(self) -> list[str]:
        return [part.said.written for part in self.said()]


def grown(pieces: list[str], **given: Any) -> list[PlannedPart]:
    text = Grown(**given)
    for piece in pieces:
        text.speech.append(piece, 0.0)
    text.speech.end()
    assert text.speech.over
    return text.said()


def cut(text: str, chance: random.Random) -> list[str]:
    """In pieces anywhere, of a character each one time in ten."""
    places = chance.sample(
        range(1, len(text)), chance.randint(0, len(text) - 1) if chance.random() < 0.9 else len(text) - 1
    )
    return [text[start:stop] for start, stop in pairwise([0, *sorted(places), len(text)])]


def prose(language: str, chance: random.Random) -> str:
    """Sentences, those that are hard to part among them, in paragraphs, wrapped, or with Markdown."""
    name = {"en": "en", "zh": "zh"}.get(language, f"{language}_long")
    lines = [line for line in (SENTENCES / f"{name}.txt").read_text().splitlines() if line[-1:] in (*".!?。！？",)]
    said = [*chance.sample(lines, chance.randint(2, 7)), *chance.sample(TRICKY[language], chance.randint(1, 3))]
    chance.shuffle(said)
    joint = "" if language == "zh" else " "
    half = len(said) // 2
    text = joint.join([lines[0], *said[:half]]) + chance.choice([joint, "\n\n"]) + joint.join(said[half:])
    shape = chance.randint(0, 3)
    if shape == 1 and language != "zh":
        return "\n\n".join(textwrap.fill(paragraph, 60) for paragraph in text.split("\n\n"))
    return f"{text}\n\n- *one*\n- **two**\n\n## 3\n\n`four`." if shape == 2 else text


@pytest.mark.slow
@pytest.mark.parametrize("language", sorted(TRICKY))
def test_random_cuts_give_the_parts_of_the_whole_text(language: str) -> None:
    chance = random.Random(7)
    for _ in range(125):
        text = prose(language, chance)
        pieces = cut(text, chance)
        assert grown(pieces, language=language) == whole(text, language=language), pieces


def test_the_first_words_settle_the_language() -> None:
    text = Grown()
    for piece in ("Leí 2 libros. ", "And he has 3 apples here. "):
        text.speech.append(piece, 0.0)
    assert [part.text for part in text.said()] == ["Leí dos libros.", "And he has tres apples here."]


def test_a_dialogue_in_pieces_is_the_whole_dialogue() -> None:
    chance = random.Random(3)
    expected = whole(DIALOGUE, speakers=VOICES)
    assert [name for name, _ in groupby(part.speaker for part in expected)] == ["Anna", "Bob", "Anna", "Bob", "Anna"]
    for _ in range(50):
        assert grown(cut(DIALOGUE, chance), speakers=VOICES) == expected


def test_what_is_sure_is_said_at_once_and_nothing_else() -> None:
    text = Grown()
    for piece in ("I met Dr", ". ", "Lund at 3", ". 5", " o'clock to", "day.", " H", "ow", " nice! ", "Is", " it"):
        text.speech.append(piece, 0.0)
        said = {" H": ["I met Dr. Lund at 3.", "5 o'clock today."], " nice! ": ["How nice!"]}.get(piece, [])
        assert [part.said.written for part in text.fresh()] == said, piece


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ("My dear old friends here, I ", "My dear old friends here,"),
        ("Hello, my dear old friends, I ", "Hello, my dear old friends,"),
        ("It cost us about 1, ", ""),
        ("He said (as we all know here, ", ""),
        ("No. ", ""),
        ("We are in the U.S. ", ""),
        ("“That is what he said. ", ""),
        ("“Is it you?” ", ""),
        ("Look at **this one. ", ""),
        ("Look at www.example.com. ", ""),
        ("Version 2. ", ""),
        ("It is over... ", ""),
        ("He works for Smith Inc. ", ""),
        ("# Title\n\n", "Title"),
        ("他来了。我", "他来了。"),
        ("他说：“好。", ""),
        ("Él llegó a las 5 p. ", ""),
        ("C'est M. ", ""),
        ("What a day!\n", "What a day!"),
        ("मैं घर जा रहा हूँ। वह", "मैं घर जा रहा हूँ।"),
        ("كيف حالك؟ أنا", "كيف حالك؟"),
        ("Ich wohne in der Nr. ", ""),
        ("Meu nome é Ana. Eu", "Meu nome é Ana."),
        ("Я живу в Москве. Он", "Я живу в Москве."),
    ],
)
def test_first_words(given: str, first: str) -> None:
    text = Grown()
    text.speech.append(given, 0.0)
    assert "".join(text.words()) == first


def test_the_wait_is_bounded_by_how_sure_it_is() -> None:
    text = Grown(unfinished_seconds=5.0)
    for given, seconds in (("All is well.", 0.03), (" I see Dr.", 0.4), (" Lund and", 5.0)):
        text.speech.append(given, 10.0)
        assert text.speech.due == pytest.approx(10.0 + seconds), given
    text.speech.flush()
    assert text.words() == ["All is well.", "I see Dr. Lund and"]
    text.speech.append(" Mary. And", 11.0)
    assert text.words()[2:] == ["Mary."]
    assert text.said()[1].pause == 0, "it goes on where it was torn"


def test_words_without_an_end_are_said_though_more_keep_coming() -> None:
    text = Grown()
    for second in range(20):
        text.speech.append("and on and on ", float(second))
        if text.speech.due <= second:
            text.speech.flush()
    assert " ".join(text.words()).split().count("and") == 32, "after 15 s"


def test_characters_tell_what_was_said_of_the_given_text() -> None:
    given = "# Hi **all**\n\nIt costs $12.50, my dear old friend. 😀 Do `you` pay?\n"
    for parts in (whole(given), grown(list(given))):
        told = [given[part.said.start : part.said.stop] for part in parts]
        assert told == ["Hi **all**", "It costs $12.50, my dear old friend.", "Do `you` pay?"]


def test_who_is_not_named_at_first_cannot_speak_later() -> None:
    text = Grown(speakers=VOICES)
    text.speech.append("Anna: Hello there. [SPEAKER7] Who am I? Yes. ", 0.0)
    (*_, last) = text.sent
    assert last.ended and last.fault.startswith("InvalidRequestError: 'SPEAKER7' begins to speak")


def test_names_of_the_first_piece_hold() -> None:
    text = Grown("Anna: Hello there, Bob. Are you well?\nBob: I am fine. ", speakers={"Anna": "slt", "Bob": "awb"})
    text.speech.append("Anna: So am I. Note: this is no name. ", 0.0)
    assert [part.speaker for part in text.said()] == ["Anna", "Anna", "Bob", "Anna"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"chunk_method": "none"}, "needs the whole text"),
        ({"dialogue": "on"}, "name its speakers"),
    ],
)
def test_what_needs_the_whole_text_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        Grown(**given)


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        ('[{"role": "user", "content": "Hi."}]\n\n', "messages and ChatML as a whole"),
        ("A\0b is here. ", "U\\+0000"),
        ("x" * 10_001, "more than 10000 characters"),
        ("😀", "nothing to say"),
    ],
)
def test_a_bad_piece_ends_the_stream_with_a_sentence(piece: str, words: str) -> None:
    text = Grown()
    text.speech.append(piece, 0.0)
    text.speech.end()
    assert text.speech.over
    with pytest.raises(AssertionError, match=words):
        text.said()


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["Here it ends. ", "A. ", "a, ", "“No. ", "<S"])
def test_pieces_take_linear_time(piece: str) -> None:
    unit = piece * 16

    def grow(text: str) -> None:
        grown = Grown(max_characters=10**6)
        for start in range(0, len(text), len(unit)):
            grown.speech.append(text[start : start + len(unit)], 0.0)
        grown.speech.end()

    assert_linear(grow, unit, 16_384)


def test_an_end_is_sure_only_where_nothing_is_open() -> None:
    assert list(sure_ends("He (that is me. Or not) came. So.", "en")) == [29, 33]
