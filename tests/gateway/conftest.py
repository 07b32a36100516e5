"""A gateway in front of the Triton that the serving tests use too."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from gateway.settings import Settings
from serve.triton import TritonServer
from tests.gateway.running import caller, running
from tests.gateway.visits import Visits, visited


@pytest.fixture(scope="session")
def address(server: TritonServer) -> Iterator[str]:
    """http://HOST:PORT of a gateway as it is by default."""
    with running(Settings(triton=server.grpc_url)) as url:
        yield url


@pytest.fixture
def http(address: str) -> Iterator[httpx.Client]:
    with caller(address) as client:
        yield client


@pytest.fixture
def listening() -> Iterator[Visits]:
    """Somebody on this machine whom the gateway might ask."""
    with visited() as visits:
        yield visits
