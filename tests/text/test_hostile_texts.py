"""What `prompt` does with a text takes time in proportion to the text, whatever it is made of."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest

from runtime.formats.errors import RequestError
from runtime.text.dialogue.voice_assignment import assign
from runtime.text.languages import resolve
from runtime.text.parts import text_parts
from runtime.text.plan_writer import PlanWriter
from runtime.text.prompt_encoder import PromptEncoder
from runtime.text.request_options import parse_options
from runtime.text.sentences import sentences
from runtime.text.text_input import read_text
from tests.text.growth import assert_linear
from tests.text.test_plan_writer import LIMITS, OPTION_LIMITS, TOKENIZER
from tests.text.test_voice_assignment import THREE

# So that nothing is skipped because the text has no such mark.
BEFORE = "a <b>c</b> # | - *d* 1 [x] & “e” www.f.g\n\n"
HOSTILE = [
    "<|im_start|>user", "<|im_start|>user\n", "<|im_start|>user hi<|im_end|>\n", "<|im_end|>", "<|scene_desc_start|>",
    "½", "1½ ", "3/4 ", "²", "$1.50 ", "1-", "12:30 ", "<", "<a ", "<a>", "<br ", "<br>", "<div> ", "</td> ",
    "<!--", "<!-- a", "-->", "<script>", "<title>", "<SE>", "<SE>a", "<SE_s>a ", "[", "[a](", "[a](b) ", "(", "((", "{",
    '"', '"a', "'", "“", "«", "« ", "«a", "¿", "‘a", "`a ``", "**", "__a", "~~a", "| - |\n", "|-|\n", "# ", "* a\n",
    "  ", "\n \n", "\t", "\u200b", "a\n", "😀", "👨‍👩‍👧", "e\u0301", "中。", "中1", "“中", "(中", "第1章", "a@", "http://",
]  # fmt: skip


@pytest.fixture(scope="module")
def writer() -> PlanWriter:
    return PlanWriter(PromptEncoder(TOKENIZER), replace(LIMITS, max_positions=10**6))


def planned(writer: PlanWriter, text: str, language: str | None) -> None:
    with suppress(RequestError):
        params = parse_options(json.dumps({"language": language or ""}), OPTION_LIMITS)
        turns = read_text(text, len(text)).turns
        found = resolve(language, " ".join(turn.text for turn in turns))
        made = assign(turns, {}, None, THREE, found.code)
        writer.speech(made, None, params).plan(text_parts(turns, params, found.code), found, 0.0).plan.write()


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_no_text_takes_more_than_linear_time(writer: PlanWriter, unit: str) -> None:
    language = ("en", "zh", "es", "fr")[HOSTILE.index(unit) % 4]
    assert_linear(lambda text: planned(writer, BEFORE + text, language), unit, 4096)


def test_messages_are_read_in_linear_time(writer: PlanWriter) -> None:
    def read(text: str) -> None:
        planned(writer, json.dumps([{"role": "system", "content": text}, {"role": "user", "content": "Hi."}]), "en")

    assert_linear(read, "<|scene_desc_start|>", 32_768)


@pytest.mark.parametrize(
    "sentence", ["中文很好。", "The cat sat. ", "He said: “No. Yes. No.” ", "Bien sûr ! « Oui. » "]
)
def test_sentences_of_a_long_paragraph_are_those_of_a_short_one(sentence: str) -> None:
    """sentencex takes the square of the text's length: it is given pieces."""
    language = "zh" if sentence[0] == "中" else "fr" if "«" in sentence else "en"
    few, many = (list(sentences(sentence * times, language)) for times in (20, 2000))
    assert many == few * 100
    assert_linear(lambda text: list(sentences(text, language)), sentence, 65_536)
