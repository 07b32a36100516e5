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
    ("fr", "Le vieux roi est mort en 1715 et\nM. Dupont a payé la note de tous.\nM. Martin, lui, est resté "
           "là-bas\navec "
           "les autres jusqu'au soir."),
    ("es", "A las 5 p.\nm. salió y dijo a\nD. José que no."),
    ("en", "On March 14,\n2026, at 5\np.m. he left."),
    ("en", "King Henry\nVIII was not a\ngood man."),
    ("en", "Call (415)\n555-0142 now\nor never."),
    ("en", "In 1999,\n2,500 people\ncame here."),
    ("fr", "Venez à 17 h\n30 chez nous,\nle soir."),
    ("es", "Llegó el\n14 de marzo\ncon todos."),
    ("es", "Hay 1\n234 567 libros en\nesta casa."),
    ("es", "—¿Quién es usted?\n—preguntó Ana—. No lo\nsé."),
    ("fr", "— Qui est là ?\n— demanda-t-elle tout\nbas."),
    ("en", "My parrot is named Polly. I call\n  her at 5 a.m. before the first\n  train. She never answers, but\n  she "
           "hears me."),
    ("fr", "Elle part demain matin.\n    Lui, il reste encore un\n    peu ici."),
    ("de", "Er sagte dem Mann, dass das\nHaus am See und der Garten\nseiner Mutter gehörten und\nnicht ihm."),
]  # fmt: skip
REJOINED = [
    ("en", "It was a won-\nderful day.", "It was a wonderful day."),
    ("en", "A well-\nknown man.", "A well-known man."),
    ("en", "The years 1990-\n1995 were dry.", "The years 1990-1995 were dry."),
    ("fr", "Il est mainte-\nnant parti.", "Il est maintenant parti."),
    ("fr", "Peut-\nêtre demain.", "Peut-être demain."),
    ("fr", "Il m'éveil-\nlait tôt.", "Il m'éveillait tôt."),
    ("fr", "Y va-t-\nil, et n'est-\nce pas ?", "Y va-t-il, et n'est-ce pas ?"),
    ("fr", "Jean-\nPaul est là.", "Jean-Paul est là."),
    ("en", "It is up-\nto-date.", "It is up-to-date."),
    ("en", "My mother-in-\nlaw.", "My mother-in-law."),
    ("en", "An anti-\nAmerican film.", "An anti-American film."),
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
    ("en", "the fog comes\non little cat feet\nit sits looking\nover harbor and city\non silent haunches", 5),
    ("en", "milk\neggs\nbread and butter\ntea", 4),
    ("en", "a. Wash it\nb. Boil it\nc. Eat it", 3),
    ("fr", "2) Lavez-le\n3) Mangez-le", 2),
    ("zh", "（1）洗手\n（2）吃饭", 2),
    ("es", "—¿Quién es usted? —preguntó.\n—Soy Ana.\n—¡Vaya!", 3),
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
