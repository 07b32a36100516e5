"""What we keep on a card beside NVIDIA's executor: sampler, frame table and callback. Skipped where there is no card.

The executor and its network are the stand-ins of tests/engine/trtllm, the network on the card too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.engine.trtllm.code_transfer import CodeTransfer
from runtime.engine.trtllm.column_step import cuda_graph_recorder
from runtime.engine.trtllm.engine import TrtllmEngine
from runtime.engine.trtllm.executor_config import ExecutorOptions
from runtime.engine.types import SamplingParameters
from tests.engine.orders import codes
from tests.engine.trtllm.conftest import written
from tests.engine.trtllm.orders import GREEDY, LIMITS, SAMPLING, invite_visitors, order, random_prompt
from tests.engine.trtllm.stage import WIDTH, Stage
from tests.engine.trtllm.standin.bindings import standin_bindings
from tests.engine.trtllm.standin.network import Network
from tools.bench.listening import listen

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

STREAMS, STEPS = 64, 40


def staged(device: str, recorded: bool = False) -> Stage:
    """A callback on that device with its pinned buffers, and with its steps recorded as CUDA graphs or not."""
    stage = Stage(device, STREAMS, CodeTransfer(STREAMS + 1, 8, torch.device(device), ready=2 * STREAMS))
    if recorded:
        stage.column_step.record(cuda_graph_recorder())
        assert stage.column_step._graphs, "this card records no graphs"
    return stage


@contextmanager
def no_waiting() -> Iterator[None]:
    """torch raises where a call of its own would wait for the card."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("recorded", [False, True], ids=["launched", "recorded"])
def test_no_step_waits_for_the_card(recorded: bool) -> None:
    stage = staged("cuda", recorded)
    with pytest.raises(RuntimeError, match="synchroniz"), no_waiting():
        stage.table._rows[0, 0].item()
    with no_waiting(), torch.cuda.stream(torch.cuda.Stream()):
        for key in range(STREAMS):
            stage.join(key)
            stage.step(*range(key + 1))
        stage.come_and_go()
    assert not stage.errors, stage.errors
    assert len(stage.pending[-1].wait()) == STREAMS - 2


@pytest.mark.parametrize("recorded", [False, True], ids=["launched", "recorded"])
@pytest.mark.parametrize(
    "sampling", [GREEDY, SAMPLING, replace(SAMPLING, top_k=0)], ids=["greedy", "sampled", "of all codes"]
)
def test_a_step_chooses_what_it_chooses_on_the_cpu(
    sampling: SamplingParameters, recorded: bool, figure: Callable[[str, str], None]
) -> None:
    """Codes, the ids that are forced, and the frame table's rows, of up to 64 streams that join one by one."""
    on_cpu, on_card = staged("cpu"), staged("cuda", recorded)
    random = torch.Generator().manual_seed(0)
    different = total = 0
    for step in range(STEPS):
        for stage in (on_cpu, on_card):
            for key in range(step * 2, min(STREAMS, step * 2 + 2)):
                stage.join(key, sampling=replace(sampling, seed=key))
        keys = range(len(on_cpu.streams))
        logits = 3 * torch.randn(len(keys), 1, WIDTH, generator=random)
        expected = on_cpu.step(*keys, logits=logits.clone())
        actual = on_card.step(*keys, logits=logits.cuda())
        assert [int(own.argmax()) for own in actual] == [int(own.argmax()) for own in expected]
        ours, theirs = on_card.pending[-1].wait(), on_cpu.pending[-1].wait()
        different, total = different + int((ours != theirs).sum()), total + ours.size
    assert not on_card.errors, on_card.errors
    torch.testing.assert_close(on_card.table._rows.cpu(), on_cpu.table._rows, rtol=0, atol=0)
    name = f"callback on {torch.cuda.get_device_name()}, {'recorded' if recorded else 'launched'}"
    figure(
        f"{name}, temperature {sampling.temperature}, top-k {sampling.top_k}", f"{different} of {total} codes differ"
    )
    assert different == 0


def spoken(network: Network, directory: Path) -> list[np.ndarray]:
    """The codes of a greedy and a sampled stream with a clip, among streams that come and go."""
    options = ExecutorOptions(device=network.device.type)
    engine = TrtllmEngine(directory, LIMITS, options, bindings=standin_bindings(network))
    try:
        invite_visitors(engine)
        prompt = random_prompt(7, engine.description.layout, clip_frames=30)
        return [codes(list(listen(engine, order(str(how), prompt, how)))) for how in (GREEDY, SAMPLING)]
    finally:
        engine.close()


def test_the_engine_speaks_what_it_speaks_on_the_cpu(
    checkpoint: Path, tmp_path: Path, figure: Callable[[str, str], None]
) -> None:
    """With transformers' layers in float32 underneath: uploads, graphs, transfers and threads change no code."""
    network = Network(checkpoint)
    directory = written(tmp_path, checkpoint, network)
    expected = spoken(network, directory)
    actual = spoken(Network(checkpoint, "cuda"), directory)
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    frames = " and ".join(str(one.shape[1]) for one in actual)
    figure(
        f"TensorRT-LLM engine over the stand-in on {torch.cuda.get_device_name()}", f"{frames} frames x 8, all equal"
    )
