"""A checkpoint that lists the words it knows warns of others; one that does not knows every word."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.text.dialogue.dialogue import DialogueTurn
from runtime.text.dialogue.voice_assignment import assign
from runtime.text.known_words import EVERY_WORD, KnownWords, warnings
from runtime.text.languages import LANGUAGES
from runtime.text.parts import text_parts
from runtime.text.plan_writer import PlanWriter
from runtime.text.prompt_encoder import PromptEncoder
from runtime.text.request_options import parse_options
from tests.text.test_plan_writer import LIMITS, OPTION_LIMITS, TOKENIZER
from tests.text.test_voice_assignment import THREE

FEW = KnownWords(["it", "is", "nine", "o'clock", "twelve"])


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("It is nine o'clock.", []),
        ("IT IS NINE O’CLOCK!", []),
        ("It is late, later, LATE.", ["late", "later"]),
        ("12 <SE>[Laughter]</SE>", []),
        ("...", []),
    ],
)
def test_what_it_does_not_know(text: str, unknown: list[str]) -> None:
    assert FEW.unknown(text) == unknown
    assert EVERY_WORD.unknown(text) == []


def test_a_file_that_is_not_there_knows_every_word(tmp_path: Path) -> None:
    assert KnownWords.read(tmp_path / "none").unknown("Anything.") == []
    (tmp_path / "some").write_text("été\n", "utf-8")
    assert KnownWords.read(tmp_path / "some").unknown("Été, ici.") == ["ici"]


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("Zanzibar isn't Fnord’s, THE END.", []),
        ("你好，世界。 Hello!", ["你好", "世界"]),
        ("¿Dónde está la biblioteca?", ["dónde", "está"]),
        ("Une crème brûlée, l’été", ["crème", "brûlée", "l'été"]),
        ("Привет, Łódź and Straße", ["привет", "łódź"]),
        ("안녕 Ångström", ["안녕", "ångström"]),
    ],
)
def test_of_known_letters_every_word_is_known(tmp_path: Path, text: str, unknown: list[str]) -> None:
    (tmp_path / "letters").write_text("*abcdefghijklmnopqrstuvwxyz'\nstraße\n", "utf-8")
    assert KnownWords.read(tmp_path / "letters").unknown(text) == unknown


def test_a_warning_names_each_word_once_and_not_too_many() -> None:
    assert warnings([]) == []
    assert warnings(["a", "b", "a"]) == ["this voice was never taught: a, b"]
    (many,) = warnings([f"w{number}" for number in range(50)])
    assert many.endswith("w19 and 30 more")


def test_words_are_looked_up_as_they_are_read() -> None:
    turns = [DialogueTurn(None, "It is 9 o'clock. It is 12.50 $.")]
    params = parse_options("{}", OPTION_LIMITS)
    made = assign(turns, {}, None, THREE, "en")
    writer = PlanWriter(PromptEncoder(TOKENIZER), LIMITS, FEW).speech(made, None, params)
    plan = writer.plan(text_parts(turns, params, "en"), LANGUAGES["en"], 0.0).plan
    assert plan.about["warnings"] == ["this voice was never taught: dollars, and, fifty, cents"]
