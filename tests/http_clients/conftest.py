"""What `make test-clients` runs against: one Triton, and gateways of several kinds."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.http_clients import serving
from tests.http_clients.serving import Triton

KEY, SLOW_KEY = "hk-of-a-test", "hk-of-a-slow-test"
FREED_SECONDS = 20.0


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    with serving.triton(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(scope="session")
def wyoming() -> tuple[str, int]:
    """Host and port where the gateway of `address` speaks Wyoming."""
    return serving.HOST, serving.free_port()


@pytest.fixture(scope="session")
def address(triton: Triton, wyoming: tuple[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """http://HOST:PORT of a gateway as it is by default, but for keeping consents and for Wyoming."""
    options = ["--consents", str(tmp_path_factory.mktemp("consents")), "--wyoming", ":".join(map(str, wyoming))]
    with serving.gateway(triton, *options) as url:
        yield url


@pytest.fixture(scope="session")
def base_url(address: str) -> str:
    """As OpenAI's clients want it."""
    return f"{address}/v1"


@pytest.fixture(scope="session")
def keyed(triton: Triton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The `base_url` of a gateway that KEY opens, and SLOW_KEY once a minute."""
    file: Path = tmp_path_factory.mktemp("keys") / "keys.toml"
    limits = {KEY: "", SLOW_KEY: "requests_per_minute = 1\n"}
    file.write_text(
        "".join(
            f'[key-{place}]\nsha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\n{limit}'
            for place, (key, limit) in enumerate(limits.items())
        )
    )
    with serving.gateway(triton, "--keys-file", str(file)) as url:
        yield f"{url}/v1"


@pytest.fixture
def is_freed(address: str, triton: Triton) -> Callable[..., bool]:
    """Call once a client has gone: whether its speech was ended for that, and no other is being made.

    outcome: how the gateway counts it.
    """
    before = {outcome: serving.speeches(address, outcome) for outcome in ("gone", "cancelled")}

    def wait(outcome: str = "gone") -> bool:
        deadline = time.monotonic() + FREED_SECONDS
        while time.monotonic() < deadline:
            if serving.speeches(address, outcome) == before[outcome] + 1 and triton.live_streams() == 0:
                return True
            time.sleep(0.1)
        return False

    return wait
