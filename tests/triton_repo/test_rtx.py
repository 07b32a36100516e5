"""The codec on TensorRT-RTX: shapes, addresses and refusals, over an engine that ONNX Runtime stands in for.

An engine opens on a GPU only. The stand-in reads and writes the memory it is given addresses of, as the real one does.

Run: python -m pytest tests/triton_repo/test_rtx.py
"""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from common.errors import ModelLoadingError
from common.rtx import RtxNetwork

CODES = np.random.default_rng(0).integers(0, 1024, (3, 8, 14)).astype(np.int32)
LARGEST = 70  # frames


class Context:
    """The part of IExecutionContext that is used, over an ONNX file."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session, self._shape, self._addresses, self._running = session, (0,), {}, threading.Lock()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shape = shape
        return shape[-1] <= LARGEST

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self._shape[0], self._shape[2] * 960)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert self._running.acquire(blocking=False), "two calls at once in one context"
        codes = (ctypes.c_int32 * int(np.prod(self._shape))).from_address(self._addresses["codes"])
        audio = self._session.run(None, {"codes": np.frombuffer(codes, np.int32).reshape(self._shape)})[0]
        ctypes.memmove(self._addresses["audio"], np.ascontiguousarray(audio).ctypes.data, audio.nbytes)
        self._running.release()
        return True


def network(bundle: Path) -> tuple[RtxNetwork, onnxruntime.InferenceSession]:
    session = onnxruntime.InferenceSession(bundle / "exports" / "codec" / "decoder.onnx")
    engine: Any = SimpleNamespace(
        create_execution_context=lambda: Context(session),
        get_tensor_dtype=lambda name: SimpleNamespace(name="FLOAT"),
    )
    return RtxNetwork(engine, "codes", "audio", torch.device("cpu")), session


def test_the_result_is_the_networks(bundle: Path) -> None:
    run, session = network(bundle)
    for codes in (CODES, CODES[:1, :, ::-1]):  # the second is not contiguous
        np.testing.assert_array_equal(run(codes), session.run(None, {"codes": np.ascontiguousarray(codes)})[0])


def test_threads_take_turns(bundle: Path) -> None:
    run, session = network(bundle)
    expected = session.run(None, {"codes": CODES})[0]
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(run(CODES))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(np.array_equal(result, expected) for result in results)


def test_a_shape_beyond_the_profile_is_refused(bundle: Path) -> None:
    run, _ = network(bundle)
    with pytest.raises(RuntimeError, match=r"does not take codes of shape \(1, 8, 71\)"):
        run(np.zeros((1, 8, LARGEST + 1), np.int32))


def test_without_a_gpu_the_engine_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelLoadingError, match=r"TensorRT-RTX is not installed|torch sees none here"):
        RtxNetwork.load(tmp_path / "decoder.engine", "codes", "audio")
