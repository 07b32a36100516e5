"""What a GPU needs of a step, shown on a CPU: its kind is known from its schedule, and nothing reads a value back.

And what a CPU needs: as many threads as the engine was given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from runtime.engine.contract import SpeechEngine
from runtime.engine.sampler import Sampler
from runtime.engine.vllm import network, sampling
from runtime.engine.vllm.columns import Columns
from tests.engine.orders import ENDLESS
from tests.vllm.conftest import LIMITS, started
from tests.vllm.requests import answers, equal, mixed

STREAMS = 12
WAITING = ("item", "_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal")  # for a device


@pytest.fixture(scope="module")
def expected(ours: SpeechEngine) -> list[np.ndarray]:
    return [answers(ours, [request])[0] for request in mixed(STREAMS)]


def test_a_step_of_one_position_a_stream_never_reads_text(
    weights: Path, ours: SpeechEngine, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str, str], None]
) -> None:
    """Though prompts are read in the smallest pieces there can be. What vLLM records, it replays for such steps."""
    steps: list[tuple[bool, bool, bool]] = []  # only audio by the schedule, by the ids; whether somebody begins
    at, only_audio = Columns.at, network.only_audio
    read: dict[str, Any] = {}

    def remembered(columns: Columns, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        text, space = bool(columns.is_text(ids).any()), columns.space
        read.update(text=text, begins=bool(((ids >= space.beginnings) & (ids < space.clips)).any()))
        return at(columns, ids, positions)

    def checked() -> bool:
        answer = only_audio()
        steps.append((answer, not read["text"], read["begins"]))
        return answer

    monkeypatch.setattr(Columns, "at", remembered)
    monkeypatch.setattr(network, "only_audio", checked)
    requests = [replace(request, sampling=ENDLESS, max_frames=20) for request in mixed(STREAMS)]
    alone = [answers(ours, [request])[0] for request in requests]
    with started(weights, replace(LIMITS, max_streams=3, prefill_tokens_per_step=1)) as engine:
        assert equal(answers(engine, requests), alone) == STREAMS
    recorded = [step for step in steps if step[0]]
    assert all(audio for _, audio, _ in recorded)
    assert any(begins for _, _, begins in recorded), "a prompt's last piece must have been one position"
    figure(
        "vLLM: steps that a GPU would replay",
        f"{len(recorded)} of {len(steps)}, none with text",
    )


class Watch(TorchDispatchMode):
    """Notes every operation that would make the host wait for a device."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self._seen = seen

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        name = function.__name__.split(".")[0]
        indices = arguments[1] if name.startswith("index") and len(arguments) > 1 else ()
        masks = isinstance(indices, list | tuple) and any(
            isinstance(one, torch.Tensor) and one.dtype == torch.bool for one in indices
        )
        self._seen.append(f"{name} by a mask" if masks else name)
        return function(*arguments, **(options or {}))


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Those of our network and sampling, which work as they do on a GPU."""
    seen: list[str] = []
    monkeypatch.setattr(network.Modality, "of", lambda is_text: network.Modality(is_text[:, None], None))
    monkeypatch.setattr(sampling, "Sampler", partial(Sampler, asynchronous=True))

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            with Watch(seen):
                return method(*arguments, **options)

        return run

    for owner, name in (
        (network.SpeechNetwork, "forward"),
        (sampling.ColumnSampling, "update_state"),
        (sampling.ColumnSampling, "apply"),
    ):
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))
    return seen


def test_nothing_of_ours_waits_for_the_device_and_the_codes_are_the_same(
    weights: Path, expected: list[np.ndarray], operations: list[str]
) -> None:
    with started(weights) as engine:
        assert equal(answers(engine, mixed(STREAMS)), expected) == STREAMS
    assert {"sort", "index_put_", "where"} <= set(operations), "it must be looking"
    assert [one for one in set(operations) if one in WAITING or "mask" in one.split()] == []


def test_a_small_model_speaks_with_one_thread_where_there_are_more(weights: Path, expected: list[np.ndarray]) -> None:
    """As the build asks for it. vLLM counts threads before and in its attention, and ends when they differ."""
    with started(weights, threads=1) as engine:
        assert equal([answers(engine, [request])[0] for request in mixed(2)], expected[:2]) == 2
