"""`python -m tools.bench.gateway`: what the gateway costs beside gRPC, and what it stands."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from higgs_tts import GenerationParams, HiggsClient

from serve.ports import Ports
from serve.triton import TritonServer
from tests.buckets import BUCKET, bucket_server
from tools.bench.metrics import metrics
from tools.bench.report import table

PAIRS = 40
CROWD = 64
STORED, ROUNDS = 16, 10
REQUESTS = 1000
KILLED = 200
TEXT = "Hello from Higgs Audio, streamed out of Triton."
LONG = " ".join([TEXT] * 12)
PATH = "/v1/audio/speech"
START_SECONDS, SETTLE_SECONDS = 30.0, 30.0


@contextmanager
def gateway(grpc_url: str, *options: str, **environment: str) -> Iterator[tuple[str, psutil.Process]]:
    """The address and the process of a gateway in front of that server."""
    port = Ports.free().http
    command = [sys.executable, "-m", "gateway", "--triton", grpc_url, "--port", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | environment) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _is_up(address):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/ready", timeout=START_SECONDS).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def first_bytes(http: httpx.Client, client: HiggsClient) -> list[tuple[str, str]]:
    """First bytes by HTTP beside those by gRPC, in turns."""
    differences: dict[str, list[float]] = {name: [] for name in ("pcm", "mp3", "opus")}
    direct: list[float] = []
    for seed in range(PAIRS):
        started = time.perf_counter()
        with client.stream(TEXT, params=GenerationParams(seed=seed)) as stream:
            next(stream)
            grpc_seconds = time.perf_counter() - started
            for _ in stream:
                pass
        direct.append(grpc_seconds)
        for name, own in differences.items():
            started = time.perf_counter()
            body = {"input": TEXT, "seed": seed, "response_format": name}
            with http.stream("POST", PATH, json=body) as answer:
                pieces = answer.iter_raw()
                next(pieces)
                own.append(time.perf_counter() - started - grpc_seconds)
                for _ in pieces:
                    pass
    rows = [("first chunk by gRPC, median", f"{1000 * statistics.median(direct):.0f} ms")]
    rows += [
        (f"first byte of {name} after it, median of {PAIRS} pairs", f"{1000 * statistics.median(own):+.1f} ms")
        for name, own in differences.items()
    ]
    return rows


def cost(http: httpx.Client, process: psutil.Process) -> list[tuple[str, str]]:
    """The gateway's processor time for a second of audio."""
    rows = []
    for name in ("pcm", "mp3", "opus", "aac", "flac"):
        before, seconds = _processor_seconds(process), 0.0
        for seed in range(10):
            answer = http.post(PATH, json={"input": TEXT, "seed": seed, "response_format": name, "stream": False})
            seconds += float(answer.headers["x-audio-seconds"])
        used = (_processor_seconds(process) - before) / seconds
        rows.append((f"of a core for a real-time stream of {name}", f"{100 * used:.1f} %"))
    return rows


def crowd(address: str) -> list[tuple[str, str]]:
    """So many streams of mp3 at once."""

    def speak(seed: int) -> bool:
        answer = httpx.post(address + PATH, json={"input": TEXT, "seed": seed}, timeout=600)
        return answer.is_success and len(answer.content) > 0

    with ThreadPoolExecutor(CROWD) as pool:
        whole = sum(pool.map(speak, range(CROWD)))
    return [(f"{CROWD} streams of mp3 at once: whole", str(whole))]


def stored(grpc_url: str) -> list[tuple[str, str]]:
    """So many streams at once that go to a bucket on this machine while they are heard, beside as many that do not."""

    def first_byte(http: httpx.Client, seed: int, store: bool) -> tuple[float, float]:
        """Seconds to the first byte, and of these after the gateway had its first audio."""
        started = time.perf_counter()
        body = {"input": TEXT, "seed": seed, "response_format": "pcm", "store": store}
        with http.stream("POST", PATH, json=body) as answer:
            pieces = answer.iter_raw()
            next(pieces)
            seconds = time.perf_counter() - started
            for _ in pieces:
                pass
            return seconds, seconds - float(answer.headers["x-time-to-first-audio-ms"]) / 1000

    took: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with (
        bucket_server() as buckets,
        gateway(grpc_url, "--store", f"s3://{BUCKET}/heard", **buckets.environment) as (address, _),
        httpx.Client(base_url=address, timeout=600, trust_env=False) as http,
        ThreadPoolExecutor(STORED) as pool,
    ):
        # What is slow once: connections, and the first of each kind.
        list(pool.map(first_byte, [http] * STORED, range(STORED), [True, False] * STORED))
        for number in range(ROUNDS):
            for store in sorted(took, reverse=number % 2 == 1):
                took[store] += pool.map(first_byte, [http] * STORED, range(STORED), [store] * STORED)
    rows = []
    for place, what in enumerate(("first byte", "of that, after its audio came to the gateway")):
        apart, beside = (1000 * statistics.median(one[place] for one in took[store]) for store in (False, True))
        rows.append(
            (f"{what}, {STORED} streams at once; while they are stored", f"{apart:.0f}; {beside - apart:+.1f} ms")
        )
    return [*rows, (f"of {STORED * ROUNDS + STORED // 2} of them in the bucket", str(len(buckets.objects)))]


def memory(http: httpx.Client, process: psutil.Process) -> list[tuple[str, str]]:
    """Resident memory after requests and after a thousand more."""

    def speak(count: int) -> int:
        for seed in range(count):
            http.post(PATH, json={"input": "Hello.", "seed": seed, "max_seconds": 0.2}).raise_for_status()
        return process.memory_info().rss

    before, after = speak(REQUESTS // 10), speak(REQUESTS)
    change = f"{before / 2**20:.0f} → {after / 2**20:.0f} MiB"
    return [(f"memory of the gateway over {REQUESTS} requests", change)]


def killed(address: str, metrics_url: str, process: psutil.Process) -> list[tuple[str, str]]:
    """Clients that go in mid-stream, eight at a time."""

    def leave(seed: int) -> None:
        body = {"input": LONG, "seed": seed, "response_format": ("mp3", "pcm", "opus")[seed % 3]}
        with httpx.stream("POST", address + PATH, json=body, timeout=600) as answer:
            next(answer.iter_raw())

    before = process.memory_info().rss, process.num_fds()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(leave, range(KILLED)))
    started = time.monotonic()
    while metrics(metrics_url)["higgs_live_streams"] and time.monotonic() - started < SETTLE_SECONDS:
        time.sleep(0.1)
    own = metrics(address.removeprefix("http://"))
    after = process.memory_info().rss, process.num_fds()
    return [
        (
            f"live streams after {KILLED} clients left in mid-stream",
            f"{metrics(metrics_url)['higgs_live_streams']:.0f}",
        ),
        ("requests open in the gateway", f"{own['higgs_gateway_open_requests'] - 1:.0f}"),
        ("its memory", f"{before[0] / 2**20:.0f} → {after[0] / 2**20:.0f} MiB"),
        ("its descriptors", f"{before[1]} → {after[1]}"),
    ]


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.gateway", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    bundle = parser.parse_args().bundle
    with (
        TritonServer(bundle) as server,
        gateway(server.grpc_url) as (address, process),
        HiggsClient(server.grpc_url) as client,
        httpx.Client(base_url=address, timeout=600, trust_env=False) as http,
    ):
        rows = first_bytes(http, client) + cost(http, process) + crowd(address) + stored(server.grpc_url)
        rows += memory(http, process) + killed(address, server.metrics_url, process)
    print(table(("what", "measured"), rows))


if __name__ == "__main__":
    main()
