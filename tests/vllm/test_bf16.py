"""The demo voice in bfloat16: each code is transformers' choice, or so near to it that bfloat16 cannot tell.

Greedy speech soon goes another way than in float32, in vLLM as in transformers' own bfloat16, so every code is judged
behind those that were spoken before it (tests/acceptance/parity.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convert import lm_vllm
from convert.checkpoint import Checkpoint
from tests.acceptance.parity import Agreement, Spoken, compare
from tests.engine.orders import ENDLESS, order
from tests.serving.higgs import Generated, Higgs
from tests.vllm.conftest import IN_PROCESS, VOICE, started
from tests.vllm.requests import PATIENCE, answers

pytestmark = pytest.mark.long

SENTENCES, FRAMES = 8, 80


@pytest.fixture(scope="module")
def generated() -> list[Generated]:
    """By transformers in bfloat16, alone."""
    higgs, held_out = Higgs(VOICE), json.loads((VOICE / "held_out.json").read_text())
    higgs.model.to(torch.bfloat16)
    return [higgs.generate(FRAMES, one["written"]) for one in held_out[:SENTENCES]]


def spoken_by_vllm(prompts: list[Generated], folder: Path, record: bool = True) -> list[np.ndarray]:
    """The codes that vLLM speaks behind the same prompts, all at once, in bfloat16; its weights go into `folder`."""
    lm_vllm.export(Checkpoint.open(VOICE), folder, "bf16", 4096)
    higgs = Higgs(VOICE)
    requests = [
        replace(order(f"{i}", frames=FRAMES, sampling=ENDLESS, timeout=PATIENCE), prompt=higgs.prompt(one))
        for i, one in enumerate(prompts)
    ]
    with started(folder, options=replace(IN_PROCESS, dtype="bfloat16", record=record)) as engine:
        return answers(engine, requests)


def judged(
    prompts: list[Generated], spoken: list[np.ndarray], folder: Path = VOICE, more: float = 0.0
) -> list[Agreement]:
    """Each stream's codes beside the float32 logits of the checkpoint in `folder`; `more`: how far something else than
    bfloat16 may move one."""
    checkpoint = Checkpoint.open(folder)
    return [
        compare(Spoken(prompt.ids, prompt.clip, codes.astype(np.int32), ""), checkpoint, "bf16", more)
        for prompt, codes in zip(prompts, spoken, strict=True)
    ]


def test_every_code_is_transformers_choice_or_a_near_tie(
    generated: list[Generated], tmp_path: Path, figure: Callable[[str, str], None]
) -> None:
    for name, codes in (
        ("vLLM", spoken_by_vllm(generated, tmp_path)),
        ("transformers", [one.codes for one in generated]),
    ):
        found = judged(generated, codes)
        assert all(one.holds for one in found)
        same, total = sum(one.equal for one in found), sum(one.codes for one in found)
        worst = max(one.worst for one in found)
        figure(
            f"{name} in bfloat16, {SENTENCES} sentences: codes that are float32's choice",
            f"{same} of {total}, the worst {worst:.3f} standard deviations from it ({found[0].allowed:.3f} allowed)",
        )
