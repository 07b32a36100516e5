"""Wrapped lines are one again, and where typography ends a paragraph it ends."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.text.paragraphs import paragraphs

ONE = [
    ("en", "This is prose that was wrapped at sixty columns by somebody\nwho likes e-mail, and it "
           "goes on until Anna stops."),
    ("en", "We told the whole story of the voyage to our old friend in\nMadrid before we left."),
    ("en", "I thought you were\ngoing to tell me."),
    ("en", "The bill was paid by Mr.\nHale in June."),
    ("en", "It stands near No.\n221."),
    ("es", "El tren que sale de la estación a las ocho de la mañana no\nllega hasta la noche."),
    ("fr", "Le train qui part de la gare à huit heures du matin n'arrive\nqu'à la nuit."),
    ("en", "A line with Windows breaks that goes on for quite a while,\r\nand then some more."),
]  # fmt: skip
REJOINED = [
    ("en", "It was a won-\nderful day.", "It was a wonderful day."),
    ("en", "A well-\nknown man.", "A well-known man."),
    ("en", "The years 1990-\n1995 were dry.", "The years 1990-1995 were dry."),
    ("fr", "Il est mainte-\nnant parti.", "Il est maintenant parti."),
    ("fr", "Peut-\nêtre demain.", "Peut-être demain."),
    ("es", "Era una maña-\nna fría.", "Era una mañana fría."),
    ("zh", "今天天气很好，我们一起去公园散步，看见了很多\n花。", "今天天气很好，我们一起去公园散步，看见了很多花。"),
    ("zh", "我们昨天在学校的图书馆里用\nGoogle查了一下。", "我们昨天在学校的图书馆里用Google查了一下。"),
    ("ja", "今日は天気がいいので、公園に行きました。そこで\n友達に会いました。",
     "今日は天気がいいので、公園に行きました。そこで友達に会いました。"),
]  # fmt: skip
SEVERAL = [
    ("en", "Chapter One\nIt was a dark and stormy night, and the rain fell in torrents on\nthe roofs.", 2),
    ("en", "Roses are red,\nViolets are blue,\nSugar is sweet,\nAnd so are you.", 4),
    ("en", "- milk\n- eggs\n- bread", 3),
    ("en", "1. Wash the rice.\n2. Boil it.\n3. Eat.", 3),
    ("en", "You need:\n* two eggs\n* a pan", 3),
    ("en", "Hello there.\nHow are you?", 2),
    ("en", "One paragraph.\n\n\n Another.\n \t\nA third.", 3),
    ("en", "First paragraph ends here after words that fill the line.\n   The second one is "
           "indented and it goes on for a whole\n"
           "line or more.", 2),
    ("fr", "Ingrédients :\n2 œufs\n100 g de farine", 3),
    ("fr", "Les sanglots longs\nDes violons\nDe l'automne", 3),
    ("es", "—¿Vienes?\n—No puedo.\n—Pues adiós.", 3),
    ("es", "Capítulo primero\nEn un lugar del sur que nadie recuerda vivía, hace ya mucho\ntiempo, un herrero.", 2),
    ("zh", "床前明月光，\n疑是地上霜。\n举头望明月，\n低头思故乡。", 4),
    ("zh", "第一章\n很久很久以前，山里住着一位老人，他每天早上都到河边去\n打水。", 2),
    ("zh", "一、米\n二、油\n三、盐", 3),
]  # fmt: skip


@pytest.mark.parametrize(("language", "text"), ONE)
def test_wrapped_lines_are_one_paragraph(language: str, text: str) -> None:
    assert paragraphs(text, language) == [" ".join(text.split())]


@pytest.mark.parametrize(("language", "text", "joined"), REJOINED)
def test_what_a_line_break_cut_in_two_is_whole_again(language: str, text: str, joined: str) -> None:
    assert paragraphs(text, language) == [joined]


@pytest.mark.parametrize(("language", "text", "count"), SEVERAL)
def test_typography_ends_a_paragraph(language: str, text: str, count: int) -> None:
    assert len(paragraphs(text, language)) == count


VOCABULARY = ["the", "harbour", "lay", "under", "a", "long", "line", "of", "grey", "clouds,", "and"]
WORDS = st.lists(st.sampled_from(VOCABULARY), min_size=30, max_size=120)


@settings(max_examples=100, deadline=None)
@given(WORDS, st.integers(60, 80))
def test_a_sentence_wrapped_at_any_usual_width_is_one_paragraph(words: list[str], width: int) -> None:
    sentence = " ".join(words).capitalize() + "."
    assert paragraphs(textwrap.fill(sentence, width), "en") == [sentence]
