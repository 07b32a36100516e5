"""The committed demo checkpoint, in a bundle built by the command users run and served by a real Triton."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from higgs_tts import HiggsClient

from serve.triton import TritonServer
from tests.conftest import ROOT, built

CHECKPOINT, VOICES = ROOT / "demo" / "checkpoint", ROOT / "voices"


@pytest.fixture(scope="session")
def voice_bundle() -> Path:
    return built("voice_bundle", CHECKPOINT, VOICES)


@pytest.fixture(scope="module")
def voice_server(voice_bundle: Path) -> Iterator[TritonServer]:
    with TritonServer(voice_bundle) as running:
        yield running


@pytest.fixture(scope="module")
def client(voice_server: TritonServer) -> Iterator[HiggsClient]:
    with HiggsClient(voice_server.grpc_url) as connected:
        yield connected
