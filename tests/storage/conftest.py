from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.buckets import Buckets, bucket_server


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Buckets]:
    """A server of buckets that this process's variables lead to."""
    with bucket_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server
