"""`higgs-tts batch` into a bucket from several servers, whatever dies meanwhile: every item once, as it is alone."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import soundfile
from higgs_tts import GenerationParams, HiggsClient, Reference
from higgs_tts.cli.manifest import Item, read_manifest
from higgs_tts.storage import Storage

from serve.triton import TritonServer
from tests.buckets import BUCKET, Buckets
from tests.client.standin.server import StandInServer

CLIENT = Path(__file__).parents[2] / "client"
JOB, OUT, TABLE = f"s3://{BUCKET}/jobs/lines.jsonl", f"s3://{BUCKET}/run", f"s3://{BUCKET}/run.parquet"
SECONDS = 120.0

Worker = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def worker(buckets: Buckets) -> Iterator[Worker]:
    """Starts a worker as a process of its own."""
    started = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "higgs_tts", "batch", JOB, "--out", OUT, *words],
            env={**os.environ, "PYTHONPATH": f"{CLIENT}:{os.environ.get('PYTHONPATH', '')}"},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def standins(tmp_path: Path) -> Iterator[list[StandInServer]]:
    servers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        servers.append(StandInServer(tmp_path / name))
    yield servers
    for server in servers:
        server.kill()


def write_job(lines: list[dict[str, Any]]) -> list[Item]:
    Storage(f"s3://{BUCKET}").write("jobs/lines.jsonl", "\n".join(map(json.dumps, lines)).encode())
    return read_manifest(JOB)


def spoken(buckets: Buckets) -> int:
    return sum(name.startswith("run/") for name in buckets.objects)


def wait_for(buckets: Buckets, count: int, *workers: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while spoken(buckets) < count:
        assert time.monotonic() < deadline and all(worker.poll() is None for worker in workers)
        time.sleep(0.02)


def finish(worker: subprocess.Popen[str]) -> str:
    errors = worker.communicate(timeout=SECONDS)[1]
    assert worker.returncode == 0, errors
    return errors


def starts(*servers: StandInServer) -> int:
    return sum(note["event"] == "start" for server in servers for note in server.events())


def assert_each_once_as_alone(buckets: Buckets, items: list[Item], alone: Callable[[Item], bytes]) -> None:
    """Every item has one object that was written once, equals the item's single run, and says so."""
    assert {name for name in buckets.objects if name.startswith("run/")} == {f"run/{item.id}.wav" for item in items}
    written = Counter(answer for answer in buckets.answers if re.fullmatch(rf"PUT /{BUCKET}/run/.* 200", answer))
    assert set(written.values()) == {1} and len(written) == len(items)
    storage = Storage(OUT)
    for item in items:
        name = f"{item.id}.wav"
        found, content = storage.find(name), storage.read(name)
        assert content == alone(item), item.id
        assert found is not None
        told = dict(found.metadata)
        assert told["content"] == item.content and told["sha256"] == sha256(content).hexdigest()
        assert told["text-sha256"] == sha256(item.text.encode()).hexdigest()
        assert (told.get("voice"), told.get("seed")) == (item.voice, str(item.params.seed))
        assert float(told["seconds"]) == pytest.approx(soundfile.info(io.BytesIO(content)).duration)
        assert float(told["time-to-first-audio"]) > 0 and int(told["retries"]) >= 0
        assert told["finish-reason"] in {"stop", "length"}


def as_file(client: HiggsClient, text: str, folder: Path, **more: Any) -> bytes:
    client.synthesize(text, **more).save(folder / "alone.wav")
    return (folder / "alone.wav").read_bytes()


def test_two_hundred_items_survive_kills_of_server_and_worker_and_a_failing_bucket(
    buckets: Buckets, worker: Worker, standins: list[StandInServer], tmp_path: Path
) -> None:
    buckets.fail_every, buckets.lose_every = 10, 23
    clip = soundfile.SoundFile(tmp_path / "me.wav", "w", 24000, 1)
    clip.write([0.1 * (number % 50 < 25) for number in range(36000)])
    clip.close()
    Storage(f"s3://{BUCKET}").write("jobs/clips/me.wav", tmp_path / "me.wav")
    lines: list[dict[str, Any]] = [
        {"id": f"line {n}", "text": f"seconds={0.2 + n / 100:.2f} pace=0.05", "seed": n} for n in range(200)
    ]
    for line in lines[::3]:
        line["voice"] = "slt"
    lines[100] |= {"text": "source=reference pace=0.05", "reference": "clips/me.wav", "reference_text": "la"}
    items = write_job(lines)
    one, two = standins
    words = ["--url", one.url, "--url", two.url, "--streams", "4", "--retries", "4", "--parquet", TABLE]
    first = worker(*words)
    wait_for(buckets, 40, first)
    first.kill()
    second = worker(*words)
    wait_for(buckets, 70, second)
    two.kill()
    two.start()
    wait_for(buckets, 130, second)
    second.kill()
    before = spoken(buckets)
    errors = finish(worker(*words))
    assert f"{OUT}: " in errors and "items spoken, " in errors and "were done before" in errors
    assert int(re.findall(r"(\d+) were done before", errors)[0]) >= before
    # What the kills fell upon, and nothing else, was spoken twice.
    assert 200 <= starts(one, two) <= 200 + 2 * 8 + 4 + 8
    quick = {item.id: re.sub(r" ?pace=\S+", "", item.text) for item in items}
    with HiggsClient(one.url) as client:

        def alone(item: Item) -> bytes:
            reference = Reference(tmp_path / "me.wav", "la") if item.reference else None
            return as_file(client, quick[item.id], tmp_path, voice=item.voice, reference=reference)

        assert_each_once_as_alone(buckets, items, alone)
    table = pyarrow.parquet.read_table(io.BytesIO(Storage(f"s3://{BUCKET}").read("run.parquet")))
    assert table.column("id").to_pylist() == [item.id for item in items]
    assert set(table.column("error").to_pylist()) == {None}


@pytest.mark.parametrize("shards", [False, True])
def test_two_workers_fill_one_bucket(
    buckets: Buckets, worker: Worker, standins: list[StandInServer], tmp_path: Path, shards: bool
) -> None:
    buckets.lose_every = 11
    items = write_job([{"id": f"{n}", "text": f"seconds={0.2 + n / 100:.2f} pace=0.05", "seed": n} for n in range(80)])
    words = [word for server in standins for word in ("--url", server.url)]
    more = [["--shard", f"{index}/2"] if shards else [] for index in range(2)]
    both = [worker(*words, "--streams", "2", *some) for some in more]
    told = [finish(process) for process in both]
    assert sum(int(re.findall(r"(\d+) of \d+ items spoken", errors)[0]) for errors in told) == 80
    # Without shards they meet by chance, a few times.
    assert starts(*standins) == 80 if shards else 80 <= starts(*standins) < 110
    with HiggsClient(standins[0].url) as client:
        assert_each_once_as_alone(buckets, items, lambda item: as_file(client, item.text.partition(" ")[0], tmp_path))


def test_what_two_real_servers_say_is_what_one_says_alone(
    buckets: Buckets, worker: Worker, bundle: Path, client: HiggsClient, server: TritonServer, tmp_path: Path
) -> None:
    buckets.fail_every = 10
    items = write_job(
        [{"text": f"This is line {n}.", "voice": "tone", "seed": n, "max_seconds": 1.0} for n in range(24)]
    )
    with TritonServer(bundle, log=tmp_path / "triton.log") as other:
        words = ["--url", server.grpc_url, "--url", other.grpc_url, "--streams", "2", "--retries", "8"]
        first = worker(*words)
        wait_for(buckets, 4, first)
        first.kill()
        second = worker(*words)
        wait_for(buckets, 9, second)
        other.stop(0)
        other.start()
        wait_for(buckets, 13, second)
        second.kill()
        finish(worker(*words))

    def alone(item: Item) -> bytes:
        params = GenerationParams(seed=item.params.seed, max_seconds=1.0, hold_parts=True)
        return as_file(client, item.text, tmp_path, voice="tone", params=params)

    assert_each_once_as_alone(buckets, items, alone)
    found = [Storage(OUT).find(f"{item.id}.wav") for item in items]
    assert {one and one.metadata["bundle"] for one in found} == {client.bundle()}
