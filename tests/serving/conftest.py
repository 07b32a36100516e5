"""One real Triton over the demo bundle for all tests that do not hurt it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from higgs_tts import HiggsClient

from serve.triton import TritonServer
from tests.serving.higgs import Higgs


@pytest.fixture(scope="session")
def server(bundle: Path) -> Iterator[TritonServer]:
    with TritonServer(bundle) as running:
        yield running


@pytest.fixture
def client(server: TritonServer) -> Iterator[HiggsClient]:
    with HiggsClient(server.grpc_url) as connected:
        yield connected


@pytest.fixture(scope="session")
def higgs(checkpoint: Path) -> Higgs:
    return Higgs(checkpoint)


@pytest.fixture(scope="session")
def clip() -> np.ndarray:
    """Two seconds to imitate: a gliding tone with noise, float32 at 24 kHz, a whole number of frames."""
    seconds = np.arange(48000) / 24000
    noise = np.random.default_rng(0).standard_normal(48000) * 0.02
    return (0.3 * np.sin(2 * np.pi * (150 + 100 * seconds) * seconds) + noise).astype(np.float32)
