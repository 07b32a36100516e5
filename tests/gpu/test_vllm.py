"""What of vLLM's engine only a card can show: recorded steps, and no waiting. Skipped where there is no card.

With vLLM's packages on PYTHONPATH, as `make acceptance TARGET=vllm` has them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.gpu.test_trtllm import no_waiting
from tests.serving.higgs import Generated
from tests.vllm.test_bf16 import generated, judged, spoken_by_vllm

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
__all__ = ["generated"]


@pytest.mark.parametrize("record", [False, True], ids=["launched", "recorded"])
def test_every_code_is_transformers_choice_or_a_near_tie(
    record: bool, generated: list[Generated], tmp_path: Path, figure: Callable[[str, str], None]
) -> None:
    found = judged(generated, spoken_by_vllm(generated, tmp_path, record))
    assert all(one.holds for one in found)
    worst, total = max(one.worst for one in found), sum(one.codes for one in found)
    name = f"vLLM's codes on the card, steps {'recorded' if record else 'launched'}"
    figure(name, f"{total}, the worst {worst:.3f} standard deviations from transformers' choice")


def test_no_step_waits_for_the_card(
    generated: list[Generated], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.engine.vllm.network import SpeechNetwork  # noqa: PLC0415  (they need vLLM)
    from runtime.engine.vllm.sampling import ColumnSampling  # noqa: PLC0415

    def unwaiting(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            with no_waiting():
                return method(*arguments, **options)

        return run

    for owner, name in ((SpeechNetwork, "forward"), (ColumnSampling, "update_state"), (ColumnSampling, "apply")):
        monkeypatch.setattr(owner, name, unwaiting(getattr(owner, name)))
    assert all(one.shape[1] for one in spoken_by_vllm(generated, tmp_path, record=False))
