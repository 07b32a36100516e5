"""What the tests of a running server share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from higgs_tts import HiggsClient

from serve.triton import TritonServer


@pytest.fixture
def client(server: TritonServer) -> Iterator[HiggsClient]:
    with HiggsClient(server.grpc_url) as connected:
        yield connected
