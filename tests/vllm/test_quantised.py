"""A checkpoint that is quantised already (GPTQ, four bits), which the engine reads and the converter refuses.

vLLM takes it by `quantization_config`, both feed-forwards, and speaks as transformers does with what it stands for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from convert import lm_vllm
from convert.checkpoint import Checkpoint
from convert.shards import SINGLE_FILE
from tests.engine.orders import ENDLESS, order
from tests.serving.higgs import Higgs
from tests.vllm.conftest import IN_PROCESS, VOICE, started
from tests.vllm.requests import PATIENCE, answers
from tests.vllm.test_bf16 import judged

pytestmark = pytest.mark.long

BITS, GROUP = 4, 32  # weights that share a scale
PACKED = 32 // BITS  # in an int32
SENTENCES, FRAMES = 4, 60


def packed(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Numbers of four bits, int32, eight in one along `dim`, the first lowest."""
    parts = values.unflatten(dim, (-1, PACKED)).unbind(dim + 1)
    return torch.stack([part << (BITS * i) for i, part in enumerate(parts)]).sum(0).to(torch.int32)


def quantised(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """GPTQ's tensors for a weight [out, in], symmetric, and what they stand for."""
    groups = weight.float().T.unflatten(0, (-1, GROUP))  # [groups, GROUP, out]
    scales = (groups.abs().amax(1, keepdim=True) / 7).to(torch.bfloat16).float()
    numbers = (groups / scales).round().clamp(-8, 7)
    stored = (numbers.flatten(0, 1) + 8).to(torch.int32)
    zeros = torch.full((len(groups), weight.shape[0]), 7, dtype=torch.int32)  # GPTQ stores one less
    tensors = {
        "qweight": packed(stored, 0),
        "qzeros": packed(zeros, 1),
        "scales": scales[:, 0].to(torch.bfloat16),
        "g_idx": torch.arange(weight.shape[1], dtype=torch.int32) // GROUP,
    }
    return tensors, (numbers * scales).flatten(0, 1).T


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The demo voice in GPTQ's form, and in plain float32 with the same values."""
    gptq, plain = tmp_path_factory.mktemp("gptq"), tmp_path_factory.mktemp("plain")
    for folder in (gptq, plain):
        lm_vllm.export(Checkpoint.open(VOICE), folder, "fp32", 4096)
    weights = load_file(plain / SINGLE_FILE)
    whole = {}
    for name in [name for name in weights if name.endswith("_proj.weight")]:
        tensors, weights[name] = quantised(weights[name])
        whole |= {f"{name.removesuffix('weight')}{part}": tensor.contiguous() for part, tensor in tensors.items()}
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, plain / SINGLE_FILE)
    rest = {name: tensor for name, tensor in weights.items() if not name.endswith("_proj.weight")}
    save_file(whole | rest, gptq / SINGLE_FILE)
    config = json.loads((gptq / "config.json").read_text())
    method = {"quant_method": "gptq", "bits": BITS, "group_size": GROUP, "sym": True, "desc_act": False}
    (gptq / "config.json").write_text(json.dumps(config | {"quantization_config": method}))
    return gptq, plain


def test_its_codes_are_transformers_choice_with_the_weights_it_stands_for(
    folders: tuple[Path, Path], figure: Callable[[str, str], None]
) -> None:
    gptq, plain = folders
    higgs, held_out = Higgs(VOICE), json.loads((VOICE / "held_out.json").read_text())
    prompts = [higgs.generate(1, one["written"]) for one in held_out[:SENTENCES]]
    requests = [
        replace(order(f"{i}", frames=FRAMES, sampling=ENDLESS, timeout=PATIENCE), prompt=higgs.prompt(one))
        for i, one in enumerate(prompts)
    ]
    with started(gptq, options=replace(IN_PROCESS, dtype="bfloat16")) as engine:
        spoken = answers(engine, requests)
    found = judged(prompts, spoken, plain)
    same, total = sum(one.equal for one in found), sum(one.codes for one in found)
    worst = max(one.worst for one in found)
    figure("vLLM on a GPTQ checkpoint: codes that are float32's choice", f"{same} of {total}, the worst {worst:.3f} σ")
    assert all(one.holds for one in found)
    assert not all(one.holds for one in judged(prompts, spoken, VOICE)), "four bits must matter"
