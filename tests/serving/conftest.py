"""What the tests of a running server share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from higgs_tts import HiggsClient

from serve.triton import TritonServer
from tests.serving.higgs import Higgs


@pytest.fixture
def client(server: TritonServer) -> Iterator[HiggsClient]:
    with HiggsClient(server.grpc_url) as connected:
        yield connected


@pytest.fixture(scope="session")
def higgs(checkpoint: Path) -> Higgs:
    return Higgs(checkpoint)
