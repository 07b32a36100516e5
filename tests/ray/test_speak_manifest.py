"""examples/ray: every item once, whatever dies meanwhile. Run: make test-ray"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pyarrow.parquet
import pytest
from higgs_tts import GenerationParams, HiggsClient
from higgs_tts.storage import Storage
from ray.cluster_utils import Cluster

from tests.buckets import BUCKET, Buckets
from tests.http_clients import serving

SCRIPT = serving.ROOT / "examples" / "ray" / "speak_manifest.py"
JOB, OUT = f"s3://{BUCKET}/lines.jsonl", f"s3://{BUCKET}/run"
SECONDS = 300.0
ITEMS = 60


def write_job(count: int) -> None:
    lines = [{"id": f"{place:03}", "text": "Good morning.", "voice": "slt", "seed": place} for place in range(count)]
    Storage(f"s3://{BUCKET}").write("lines.jsonl", "\n".join(map(json.dumps, lines)).encode())


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), JOB, OUT, *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=serving.ROOT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    told, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, told
    return told


def spoken(buckets: Buckets) -> list[str]:
    return [name for name in buckets.objects if name.startswith("run/")]


def speakers() -> list[psutil.Process]:
    """The processes of the actors."""
    return [one for one in psutil.process_iter(["cmdline"]) if "ray::MapWorker(" in " ".join(one.info["cmdline"] or [])]


@pytest.mark.parametrize("lost", ["actor", "node"])
def test_every_item_is_spoken_once_whatever_is_lost(
    cluster: Cluster, buckets: Buckets, urls: list[str], tmp_path: Path, lost: str
) -> None:
    write_job(ITEMS)
    buckets.fail_every = 10
    words = [word for url in urls for word in ("--url", url)]
    process = start(*words, "--block", "10", "--streams", "2", "--results", str(tmp_path / "results"))
    deadline = time.monotonic() + SECONDS
    while len(spoken(buckets)) < 5:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if lost == "actor":
        speakers()[0].kill()
    else:
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    assert len(spoken(buckets)) < ITEMS
    assert f"{ITEMS} of {ITEMS} items spoken" in finish(process)

    buckets.fail_every = 0
    storage = Storage(OUT)
    found = {one.name: storage.find(one.name) for one in storage.names()}
    assert found.keys() == {f"{place:03}.wav" for place in range(ITEMS)}
    with HiggsClient(urls[0]) as client:
        for place in (0, 17, ITEMS - 1):
            alone = client.synthesize("Good morning.", voice="slt", params=GenerationParams(seed=place))
            one = found[f"{place:03}.wav"]
            assert one is not None and float(one.metadata["seconds"]) == alone.seconds
            assert one.size == 44 + 2 * len(alone.samples)
    rows = pyarrow.parquet.read_table(tmp_path / "results").to_pylist()
    assert Counter(row["id"] for row in rows) == Counter(f"{place:03}" for place in range(ITEMS))
    for row in rows:
        one = found[f"{row['id']}.wav"]
        assert one is not None and json.loads(row["result"])["sha256"] == one.metadata["sha256"]


def test_an_actor_serves_a_bundle_itself_and_leaves_nothing_behind(cluster: Cluster, buckets: Buckets) -> None:
    write_job(6)
    words = ["--bundle", str(serving.BUNDLE), "--serve", f"{serving.PYTHON} -m serve", "--actors", "1"]
    assert "6 of 6 items spoken" in finish(start(*words))
    assert len(spoken(buckets)) == 6
    deadline = time.monotonic() + 60
    while any("--gateway=off" in (one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline, "a launcher outlives its actor"
        time.sleep(0.2)


def test_what_makes_no_sense_is_refused(cluster: Cluster) -> None:
    process = start()
    assert "give --url, or --bundle" in process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 2 and os.environ["RAY_ADDRESS"]
