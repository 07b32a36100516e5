"""What the prompt stage writes, token for token, against what Boson's own code writes for the same scenarios.

The data were made once by tools/boson_prompts.py, which runs the original. A scenario that `differs` names its row in
docs/against-the-original.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo.sizes import BYTE_VOCABULARY
from demo.tokenizer import build_tokenizer
from runtime.engine.types import AudioSegment, CodebookLayout, Prompt
from runtime.speech.context import Context, ContextLimits
from runtime.text.dialogue.voice_assignment import assign
from runtime.text.languages import resolve
from runtime.text.parts import text_parts
from runtime.text.plan_writer import PlanWriter
from runtime.text.prompt_encoder import PromptEncoder
from runtime.text.request_options import parse_options
from runtime.text.text_input import read_text
from tests.text.test_plan_writer import LIMITS, OPTION_LIMITS, prefixes
from tests.text.test_voice_assignment import Profile, Voices

DATA = Path(__file__).with_name("data")
DIFFERENCES = Path(__file__).resolve().parents[2] / "docs" / "against-the-original.md"
SCENARIOS: dict[str, dict[str, Any]] = {
    scenario["name"]: scenario for scenario in json.loads((DATA / "boson_scenarios.json").read_text())
}
PROMPTS: dict[str, list[list[int]]] = json.loads((DATA / "boson_prompts.json").read_text())
METHODS = {None: "none", "speaker": "speaker", "word": "fixed"}
CLIP = -1  # in place of whatever marks a clip
LAYOUT = CodebookLayout(8, 1026, 1024, 1025)


TOKENIZER = build_tokenizer(BYTE_VOCABULARY)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> PromptEncoder:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    TOKENIZER.save(str(file))
    return PromptEncoder(file)


def request(scenario: dict[str, Any]) -> dict[str, Any]:
    """The options that ask this bundle for what the scenario asks the original for."""
    clips = [voice for voice in scenario.get("voices", []) if "words" in voice]
    in_scene = scenario.get("clips_in_system", False) or len(clips) < len(scenario.get("voices", []))
    options = {
        "chunk_method": METHODS[scenario.get("chunk_method")],
        "context_parts": scenario.get("generation_chunk_buffer_size", 16),
        "scene": scenario.get("scene", ""),
        "reference_place": "system" if scenario.get("clips_in_system") else "turns",
    }
    if "chunk_max_word_num" in scenario:
        options["chunk_words"] = scenario["chunk_max_word_num"]
    if "system" in scenario:
        options["system"] = scenario["system"]
    elif clips and not in_scene and not options["scene"]:
        options["system"] = ""  # the original has no system message for a clone without a scene
    if len(scenario.get("voices", [])) > 1:
        options["speakers"] = {f"SPEAKER{number}": f"v{number}" for number in range(len(scenario["voices"]))}
    return options


def prompts(encoder: PromptEncoder, scenario: dict[str, Any]) -> list[list[int]]:
    """The ids of every part's prompt, all earlier parts spoken."""
    voices = [
        Profile(f"v{number}", voice.get("words", ""), voice.get("description", ""))
        for number, voice in enumerate(scenario.get("voices", []))
    ]
    params = parse_options(json.dumps(request(scenario)), OPTION_LIMITS)
    content = read_text(scenario["text"], 10_000)
    language = resolve(None, " ".join(turn.text for turn in content.turns))
    given = voices[0].name if len(voices) == 1 else None
    made = assign(
        content.turns, params.speakers, given, Voices(*voices), language.code, params.scene, params.reference_place
    )
    parts = text_parts(content.turns, params, language.code)
    plan = PlanWriter(encoder, LIMITS).speech(made, params.system, params).plan(parts, language, 0.0)
    (prefix,) = prefixes(plan, mark=TOKENIZER.token_to_id("<|AUDIO_OUT|>"))
    context = Context(plan.plan, prefix, LAYOUT, ContextLimits(4096, 4096))
    written = []
    for part in plan.plan.parts:
        written.append(ids(context.prompt(part, 10)))
        context.add(part, np.zeros((8, 2), np.int32))
    return written


def ids(prompt: Prompt) -> list[int]:
    pieces = ([CLIP] if isinstance(segment, AudioSegment) else segment.ids.tolist() for segment in prompt.segments)
    return [token for piece in pieces for token in piece]


def originals(scenario: dict[str, Any]) -> list[list[int]]:
    clips = {TOKENIZER.token_to_id(token) for token in ("<|AUDIO|>", "<|AUDIO_OUT|>")}
    return [[CLIP if token in clips else token for token in prompt] for prompt in PROMPTS[scenario["name"]]]


def test_there_are_prompts_for_every_scenario() -> None:
    assert list(PROMPTS) == list(SCENARIOS)
    assert len(SCENARIOS) >= 40


@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if "differs" not in scenario])
def test_the_prompt_is_the_originals(encoder: PromptEncoder, name: str) -> None:
    assert prompts(encoder, SCENARIOS[name]) == originals(SCENARIOS[name])


@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if "differs" in scenario])
def test_a_prompt_that_differs_is_in_the_table_of_differences(encoder: PromptEncoder, name: str) -> None:
    scenario = SCENARIOS[name]
    assert prompts(encoder, scenario) != originals(scenario)
    assert f"\n| **{scenario['differs']}** |" in DIFFERENCES.read_text()


def test_clips_in_the_scene_are_transformers_template_but_for_their_first_mark(encoder: PromptEncoder) -> None:
    clip = " <|audio_out_bos|><|AUDIO_OUT|><|audio_eos|>"
    scene = f"<|scene_desc_start|>\nA kitchen.\n\nSPEAKER0:{clip}\nSPEAKER1:{clip}\n<|scene_desc_end|>"
    header = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nGenerate audio following instruction."
    theirs = TOKENIZER.encode(f"{header}\n\n{scene}<|eot_id|>", add_special_tokens=False).ids
    ours = encoder.prefix(scene=["A kitchen.\n\nSPEAKER0: ", "\nSPEAKER1: ", ""]).tolist()
    opening = {TOKENIZER.token_to_id("<|audio_bos|>"): TOKENIZER.token_to_id("<|audio_out_bos|>")}
    assert ours != theirs
    assert [opening.get(token, token) for token in ours] == theirs
