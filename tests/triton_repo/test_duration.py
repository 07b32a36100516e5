"""How long a text takes: every sentence a synthesiser read lies within the bounds, and the bounds mean something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from duration import estimate

HELD_OUT = Path(__file__).resolve().parents[2] / "demo/checkpoint/held_out.json"


def test_the_synthesiser_s_sentences_lie_within_the_bounds() -> None:
    examples = json.loads(HELD_OUT.read_text())
    assert len(examples) >= 50
    for example in examples:
        estimated = estimate(example["written"], "en")
        assert estimated.shortest <= example["seconds"] <= estimated.longest, example
        assert 0.5 < example["seconds"] / estimated.expected < 2, example


@pytest.mark.parametrize(
    ("text", "language", "shortest", "longest"),
    [
        # What readers take for these is 60 s of speech at the rates of each language's audio books, within a third.
        ("the quick brown fox jumps over the lazy dog. " * 19, "en", 45, 75),
        ("今天天气很好我们一起去公园散步。" * 16, "zh", 45, 75),
        ("el perro de mi vecino duerme en el jardín. " * 22, "es", 40, 75),
        ("le chien de mon voisin dort dans le jardin. " * 24, "fr", 40, 75),
    ],
)
def test_a_minute_of_reading_is_about_a_minute(text: str, language: str, shortest: float, longest: float) -> None:
    estimated = estimate(text, language)
    assert shortest < estimated.expected < longest
    assert estimated.shortest < estimated.expected < estimated.longest


def test_events_pauses_and_words_add_time() -> None:
    plain = estimate("hello there my friend", "en").expected
    assert estimate("hello, there, my friend", "en").expected > plain
    assert estimate("hello there <SE>[Laughter]</SE> my friend", "en").expected > plain
    assert estimate("hello there my very old friend", "en").expected > plain


def test_the_shortest_text_still_has_time_to_be_said() -> None:
    estimated = estimate("Hi.", "en")
    assert estimated.shortest < 0.4
    assert estimated.longest > 2
