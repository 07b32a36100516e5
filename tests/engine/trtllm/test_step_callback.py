"""The executor's callback on its own: nothing waits for the device, nothing escapes, every request gets one id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from runtime.engine.trtllm.code_transfer import CodeTransfer
from runtime.engine.trtllm.column_step import Kernels
from runtime.engine.trtllm.frame_table import end_id
from runtime.engine.types import SamplingParameters
from tests.engine.trtllm.stage import LAYOUT, PLACES, WIDTH, Stage


class NoWaiting(TorchDispatchMode):
    """Fails on an operation that would make the host wait for a GPU: reading a value, or moving data between the two.

    `home` is the device; a tensor of the host's with more than one number may not take part in any operation.
    """

    def __init__(self, home: str) -> None:
        super().__init__()
        self._home = home
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "item", "nonzero", "_to_copy", "masked_select", "is_nonzero"), (
            f"{name} waits for the device"
        )
        for tensor in torch.utils._pytree.tree_leaves((args, kwargs)):
            if isinstance(tensor, torch.Tensor) and tensor.dim() > 0:
                assert tensor.device.type == self._home, f"{name} takes a tensor of the host's"
        if not func.is_view:
            self.operations += 1
        return func(*args, **(kwargs or {}))


class NoNumbers(TorchFunctionMode):
    """Fails on `tensor[index] = number`: for one element of a GPU's tensor torch copies the number there, and waits."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__setitem__:
            assert isinstance(args[2], torch.Tensor), f"{args[2]} is copied to the device"
        return func(*args, **(kwargs or {}))


def forced(logits: torch.Tensor) -> int:
    """The id the executor takes; the largest must stand alone."""
    values, ids = logits.flatten().topk(2)
    assert values[0] > values[1] + 100
    return int(ids[0])


def test_no_step_waits_for_the_device(figure: Callable[[str, str], None]) -> None:
    """On torch's meta device tensors have no values at all: an operation that would read one raises, wherever it hides.

    Joining, leaving, changing slots and ending are steps too.
    """
    counts = {}
    for streams in (1, PLACES):
        stage = Stage("meta")
        with NoNumbers(), NoWaiting("meta") as watch:
            for key in range(streams):
                stage.join(key)
                stage.step(*range(key + 1))
            before = watch.operations
            stage.step(*range(streams))
            counts[streams] = watch.operations - before
            if streams > 1:
                stage.come_and_go()
        assert not stage.errors, stage.errors
        assert stage.transfer.sent[-1].device.type == "meta"
    assert counts[1] == counts[PLACES], "a step's kernels must not grow with the streams"
    figure("operations of a step's callback, for any number of streams", str(counts[1]))


def test_what_would_wait_is_noticed() -> None:
    """The check above is one: the sampler's own waiting variant, made for the CPU, does not pass it."""
    stage = Stage("meta")
    stage.sampler._asynchronous = False
    stage.join(1)
    with NoWaiting("meta"):
        stage.step(1)
    assert len(stage.errors) == 1


def test_only_the_declared_copy_reaches_the_host() -> None:
    """With real values on the CPU: one copy a step, into the buffer that is pinned on a GPU, and it holds the codes."""
    stage = Stage(transfer=CodeTransfer(PLACES + 1, 8, torch.device("cpu")))
    other = Stage()
    for key in (1, 2):
        stage.join(key)
        other.join(key)
    torch.manual_seed(0)
    stage.step(1, 2)
    torch.manual_seed(0)
    other.step(1, 2)
    codes = stage.pending[0].wait()
    assert codes.shape == (2, 8)
    assert (codes == other.transfer.sent[0].numpy()).all()
    assert (codes[:, 0] < 1024).all() and (codes[:, 1:] == 1024).all(), "column 1: one code, then marks"


def test_every_stream_is_sent_to_the_row_of_its_next_column() -> None:
    stage = Stage()
    stage.join(3), stage.join(5)
    for column in range(1, 6):
        logits = stage.step(5, 3)
        assert [forced(own) for own in logits] == [5 + column % 2, 3 + column % 2]


def test_strangers_and_streams_that_are_over_get_the_end_id() -> None:
    stage = Stage()
    stage.join(1)
    stage.join(2).over = True
    logits = stage.step(2, 77, None, 1)
    assert [forced(own) for own in logits[:3]] == [end_id(LAYOUT)] * 3
    assert forced(logits[3]) == 1 + 1
    assert stage.batches == [[1]] and not stage.errors
    stage.streams[1].over = True
    assert forced(stage.step(1)[0]) == end_id(LAYOUT)


def test_a_stream_that_cannot_begin_fails_alone() -> None:
    stage = Stage()
    stage.join(1)
    stage.join(2, tail="not a tensor")
    logits = stage.step(1, 2)
    assert forced(logits[0]) == 1 + 1 and forced(logits[1]) == end_id(LAYOUT)
    assert [keys for keys, _ in stage.errors] == [[2]]
    assert stage.batches == [[1]]
    stage.step(1, 2)
    assert len(stage.errors) == 1, "it is told once"


def test_a_failing_step_ends_its_streams_and_never_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    for key in (1, 2):
        stage.join(key)
    stage.step(1, 2)

    def explode(*_: Any) -> None:
        raise RuntimeError("kernel exploded")

    with monkeypatch.context() as patch:
        patch.setattr(stage.table, "write", explode)
        logits = stage.step(1, 2)
    assert [forced(own) for own in logits] == [end_id(LAYOUT)] * 2
    assert [keys for keys, _ in stage.errors] == [[1, 2]] and "exploded" in str(stage.errors[0][1])
    stage.join(4)
    assert forced(stage.step(1, 4)[1]) == 4 + 1, "those who come later are served"


def test_logits_that_are_not_numbers_still_get_an_id() -> None:
    stage = Stage()
    stage.join(1)
    logits = torch.full((1, 1, WIDTH), float("nan"))
    stage.callback([0], [logits], [[[]]], 0, [1])
    assert forced(logits) == 1 + 1


@pytest.mark.parametrize("top_k, temperature", [(50, 0.0), (50, 1.0), (65, 1.0), (0, 1.0)])
def test_a_recorded_step_is_the_step(top_k: int, temperature: float) -> None:
    """Recording itself needs a GPU; which recording a step replays, and what one must hold, does not."""
    plain, recorded = Stage(), Stage()
    replayed: list[int] = []

    def record(kernels: Kernels) -> Kernels:
        kernels()  # as recording does: what it leaves in the buffers and states must not matter
        number = len(replayed)

        def replay() -> None:
            replayed.append(number)
            kernels()

        return replay

    recorded.column_step.record(record)
    sampling = SamplingParameters(temperature, top_k, 0.95, 7, 2, seed=3)
    for stage in (plain, recorded):
        for key in (1, 2, 3):
            stage.join(key, sampling=sampling)
        torch.manual_seed(0)
        for _ in range(12):
            stage.step(1, 2, 3)
    assert len(replayed) == 12
    for ours, theirs in zip(recorded.transfer.sent, plain.transfer.sent, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_device_that_cannot_record_is_served_without() -> None:
    stage = Stage()

    def record(kernels: Kernels) -> Kernels:
        raise RuntimeError("operation not permitted when stream is capturing")

    stage.column_step.record(record)
    stage.join(1)
    assert forced(stage.step(1)[0]) == 1 + 1
