"""How long a text takes: every sentence a synthesiser read lies within the bounds, and the bounds mean something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.text.duration import estimate

HELD_OUT = Path(__file__).resolve().parents[2] / "demo/checkpoint/held_out.json"


def test_the_synthesiser_s_sentences_lie_within_the_bounds() -> None:
    examples = json.loads(HELD_OUT.read_text())
    assert len(examples) >= 50
    for example in examples:
        estimated = estimate(example["written"], "en")
        assert estimated.shortest <= example["seconds"] <= estimated.longest, example
        assert 0.5 < example["seconds"] / estimated.expected < 2, example


@pytest.mark.parametrize(
    ("text", "language", "units", "per_minute"),
    [
        ("the quick brown fox jumps over the lazy dog. ", "en", 9, 228),
        ("今天天气很好我们一起去公园散步。", "zh", 15, 255),
        ("el perro de mi vecino duerme en el jardín. ", "es", 9, 218),
        ("le chien de mon voisin dort dans le jardin. ", "fr", 9, 195),
    ],
)
def test_a_page_takes_about_as_long_as_people_take_to_read_it(
    text: str, language: str, units: int, per_minute: int
) -> None:
    """Words (characters in Chinese) a minute aloud: Trauzettel-Klosinski and Dietz, IReST (IOVS 53, 2012)."""
    estimated = estimate(text * 20, language)
    assert 0.5 < (20 * units / per_minute * 60) / estimated.expected < 1.3
    assert estimated.shortest < 20 * units / per_minute * 60 < estimated.longest


@pytest.mark.parametrize(
    ("syllable", "language", "slowest", "fastest"),
    [("la ", "en", 5.10, 7.72), ("他", "zh", 4.66, 7.24), ("la ", "es", 6.70, 8.98), ("la ", "fr", 5.44, 8.84)],
)
def test_the_slowest_and_the_fastest_reader_measured_are_far_from_the_bounds(
    syllable: str, language: str, slowest: float, fastest: float
) -> None:
    """Syllables a second of single recordings in the data that the rates are the means of (pauses left out)."""
    estimated = estimate(syllable * 200, language)
    assert 1.5 * estimated.shortest < 200 / fastest < 200 / slowest < estimated.longest / 3


def test_events_pauses_and_words_add_time() -> None:
    plain = estimate("hello there my friend", "en").expected
    assert estimate("hello, there, my friend", "en").expected > plain
    assert estimate("hello there <SE>[Laughter]</SE> my friend", "en").expected > plain
    assert estimate("hello there my very old friend", "en").expected > plain


def test_the_shortest_text_still_has_time_to_be_said() -> None:
    estimated = estimate("Hi.", "en")
    assert estimated.shortest < 0.4
    assert estimated.longest > 2
