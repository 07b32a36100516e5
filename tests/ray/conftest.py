"""A Ray cluster of two nodes on this machine, two servers of the demo bundle, and a bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from ray.cluster_utils import Cluster

from tests.buckets import Buckets, bucket_server
from tests.http_clients import serving

STORE_BYTES = 80 << 20  # Ray takes no less for a node's objects


@pytest.fixture
def buckets() -> Iterator[Buckets]:
    with bucket_server() as server:
        yield server


@pytest.fixture(scope="session")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """HOST:PORT of each server's gRPC."""
    with ExitStack() as running:
        yield [running.enter_context(serving.triton(tmp_path_factory.mktemp("state"))).grpc for _ in range(2)]


@pytest.fixture
def cluster(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head that runs nothing, and two nodes of one processor, which know the bucket and the client."""
    for name, value in buckets.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(serving.ROOT / "client"), str(serving.ROOT))))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    running = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            running.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        monkeypatch.setenv("RAY_ADDRESS", running.address)
        yield running
    finally:
        running.shutdown()
