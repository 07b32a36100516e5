"""Checkpoints that are quantised already, of each kind that vLLM runs on a CPU: it takes what the converter writes of
them, both feed-forwards, and speaks as transformers does with the values they stand for.

With int8 and e4m3 vLLM rounds activations, too. How far that may move a logit is measured on transformers' layers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from convert import lm_vllm
from convert.checkpoint import Checkpoint
from convert.lm_check import mixed_prompt, reference_logits
from runtime.engine.contract import SpeechEngine
from runtime.formats.errors import ModelLoadingError
from tests.acceptance.parity import Agreement
from tests.conftest import built
from tests.engine.orders import ENDLESS, order
from tests.quantised_checkpoints import E4M3, KINDS, of_a_layer, quantise
from tests.serving.higgs import Generated, Higgs
from tests.vllm.conftest import IN_PROCESS, VOICE, VOICES, started
from tests.vllm.requests import PATIENCE, answers
from tests.vllm.test_bf16 import judged
from tools.bench.engines import load

pytestmark = pytest.mark.long

SENTENCES, FRAMES = 4, 60
Watch = Callable[[int, torch.nn.Module], None]
BFLOAT16 = replace(IN_PROCESS, dtype="bfloat16")


@pytest.fixture(scope="module")
def voice() -> Higgs:
    return Higgs(VOICE)


@pytest.fixture(scope="module")
def prompts(voice: Higgs) -> list[Generated]:
    return [voice.generate(1, one["written"]) for one in json.loads((VOICE / "held_out.json").read_text())[:SENTENCES]]


def spoken_by(engine: SpeechEngine, voice: Higgs, prompts: list[Generated]) -> list[np.ndarray]:
    return answers(
        engine,
        [
            replace(order(f"{i}", frames=FRAMES, sampling=ENDLESS, timeout=PATIENCE), prompt=voice.prompt(one))
            for i, one in enumerate(prompts)
        ],
    )


def rounding(largest: int, numbers: torch.dtype, _: int, layer: torch.nn.Module) -> None:
    """Has each matrix of a layer multiplied with numbers of eight bits, one scale a position."""

    def rounded(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        scales = inputs[0].abs().amax(-1, keepdim=True).clamp(min=1e-12) / largest
        values = inputs[0] / scales
        return ((values.round() if numbers == torch.int8 else values.to(numbers).float()) * scales,)

    for module in layer.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(rounded)


def moved_by(watch: Watch, checkpoint: Checkpoint) -> float:
    """How far it moves a logit, the root of the mean square, in standard deviations."""
    segments = mixed_prompt(checkpoint)
    expected, actual = (reference_logits(checkpoint, segments, one) for one in (None, watch))
    return float(np.sqrt(np.square(actual - expected).mean()) / expected.std())


def summary(found: list[Agreement]) -> str:
    same, total = sum(one.equal for one in found), sum(one.codes for one in found)
    return f"{same} of {total}, the worst {max(one.worst for one in found):.3f} σ ({found[0].allowed:.3f} allowed)"


@pytest.mark.parametrize(
    ("kind", "watch"),
    [
        ("awq", None),
        ("gptq of 4 bits", None),
        ("packed 4 bits, with zeros", None),
        ("packed 4 bits, one scale an output", None),
        ("int8", partial(rounding, 127, torch.int8)),
        ("int8 with one scale", partial(rounding, 127, torch.int8)),
        ("e4m3", partial(rounding, 448, E4M3)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_its_codes_are_transformers_choice_with_the_weights_it_stands_for(
    kind: str,
    watch: Watch | None,
    voice: Higgs,
    prompts: list[Generated],
    tmp_path: Path,
    figure: Callable[[str, str], None],
) -> None:
    few, plain = quantise(VOICE, KINDS[kind], tmp_path)
    lm_vllm.export(Checkpoint.open(few, quantised=True), tmp_path / "lm", "bf16", 4096)
    with started(tmp_path / "lm", options=BFLOAT16) as engine:
        spoken = spoken_by(engine, voice, prompts)
    moved = moved_by(watch, Checkpoint.open(plain)) if watch else 0.0
    found = judged(prompts, spoken, plain, moved)
    figure(f"vLLM on a checkpoint of {kind}: codes that are float32's choice", summary(found))
    assert all(one.holds for one in found)
    if not watch:
        assert not all(one.holds for one in judged(prompts, spoken, VOICE)), "four bits must matter"


@pytest.mark.parametrize("kind", ["gptq of 8 bits", "packed 8 bits, even", "fp8", "e4m3 with one scale"])
def test_what_the_converter_refuses_for_a_cpu_vllm_does_not_run_there(kind: str, tmp_path: Path) -> None:
    few, _ = quantise(VOICE, KINDS[kind], tmp_path)
    lm_vllm.export(Checkpoint.open(few, quantised=True), tmp_path / "lm", "bf16", 4096)
    with pytest.raises(ModelLoadingError, match="vLLM does not start"), started(tmp_path / "lm", options=BFLOAT16):
        pass


def test_a_bundle_of_one_whose_head_is_quantised_too_speaks_like_its_values(
    voice: Higgs, prompts: list[Generated], tmp_path: Path, figure: Callable[[str, str], None]
) -> None:
    """As an AWQ tool leaves it that was told nothing of audio; and one layer that it was told to leave alone."""

    def which(name: str) -> bool:
        return (of_a_layer(name) and ".layers.2." not in name) or name == "audio_lm_head.weight"

    few, plain = quantise(VOICE, KINDS["awq"], tmp_path, which, modules_to_not_convert=["model.layers.2."])
    bundle = built("vllm_awq_bundle", few, VOICES, "--target", "vllm-cpu", "--precision", "bf16")
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["language_model"]["quantisation"] == {"method": "awq", "kinds": ["int4"]}
    engine = load(bundle)
    try:
        found = judged(prompts, spoken_by(engine, voice, prompts), plain)
    finally:
        engine.close()
    figure("a bundle of an AWQ checkpoint, its head quantised too", summary(found))
    assert all(one.holds for one in found)
