"""Which language a text is in: given, detected with confidence, or English for want of evidence."""

from __future__ import annotations

import pytest

from common.errors import InvalidRequestError
from languages import LANGUAGES, resolve


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Dinner is at two in the evening.", "en"),
        ("I see seven green tables in Paris.", "en"),
        ("Dr. Smith lives on Main St.", "en"),
        ("¿Dónde está la estación de tren más cercana?", "es"),
        ("Mañana vamos a la playa con los niños.", "es"),
        ("Le train part à huit heures du matin.", "fr"),
        ("Il fait très beau aujourd'hui, n'est-ce pas ?", "fr"),
        ("你好", "zh"),
        ("今天天气很好，我们用iPhone拍照吧。", "zh"),
        ("Hello.", "en"),
        ("Taxi!", "en"),
        ("42", "en"),
        ("", "en"),
        ("<SE>[Laughter]</SE>", "en"),
    ],
)
def test_a_text_s_language_is_found(text: str, code: str) -> None:
    assert resolve(None, text) == LANGUAGES[code]
    assert resolve("", text) == resolve(None, text), "and again the same"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Der Zug nach Berlin fährt um acht Uhr ab.", "German"),
        ("Il gatto nero dorme sulla sedia della cucina.", "Italian"),
        ("Привет, как дела?", "Russian"),
        ("こんにちは、元気ですか。", "Japanese"),
        ("안녕하세요", "Korean"),
    ],
)
def test_another_language_is_marked_as_unknown_quality(text: str, name: str) -> None:
    language = resolve(None, text)
    assert (language.name, language.quality) == (name, "unknown")


def test_a_language_given_wins_over_the_text() -> None:
    assert resolve("fr", "Dinner is at two in the evening.").code == "fr"


def test_a_language_that_is_not_in_the_table_is_refused_with_the_ones_that_are() -> None:
    with pytest.raises(
        InvalidRequestError, match=r"'de'.*en \(English\), zh \(Chinese\), es \(Spanish\), fr \(French\)"
    ):
        resolve("de", "Guten Tag")
