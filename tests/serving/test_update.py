"""A bundle that is published while its predecessor speaks takes over, and neither a client nor the gateway notices."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
from higgs_tts import GenerationParams, HiggsClient

from build.publish import main as publish
from serve.manifest import MANIFEST_FILE, REPOSITORY, Manifest, sha256
from serve.ports import Ports
from tests.buckets import BUCKET, Buckets
from tests.serve.launching import command, read_until

ADDRESS = f"s3://{BUCKET}/bundles/tiny"
SHORT = GenerationParams(seed=3, max_seconds=0.8, runaway_guard=False)
TEXT = "A server comes. While it says this. And on it goes."
IN_PIECES = GenerationParams(seed=3, max_part_seconds=3.0, chunk_method="sentence", runaway_guard=False)


def called(bundle: Path, folder: Path, name: str) -> Path:
    """A copy of the bundle that clients are told has this name."""
    shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns("exports", "*.log*", "__pycache__", ".lock"))
    config = folder / REPOSITORY / "higgs_audio_v2" / "config.pbtxt"
    before = Manifest.read(folder)
    config.write_text(config.read_text().replace(before.fingerprint, name))
    files = before.files | {"higgs_audio_v2/config.pbtxt": {"bytes": config.stat().st_size, "sha256": sha256(config)}}
    replace(before, fingerprint=name, files=files).write(folder / MANIFEST_FILE)
    return folder


class Speaking:
    """Asks for one thing again and again, on a thread of its own, until the block ends; keeps what went wrong."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self.done, self.failed = 0, list[Exception]()
        self._ask, self._over = ask, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._ask()
                self.done += 1
            except Exception as error:
                self.failed.append(error)

    def __enter__(self) -> Speaking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_a_new_bundle_takes_over_without_a_failed_request(bundle: Path, buckets: Buckets, tmp_path: Path) -> None:
    gateway = f"127.0.0.1:{Ports.free().http}"
    assert publish([str(called(bundle, tmp_path / "first", "first")), ADDRESS]) == 0
    places = ["--cache", str(tmp_path / "cache"), "--state", str(tmp_path / "state")]
    with command(ADDRESS, *places, "--gateway", gateway, seconds=500.0) as (process, ports):
        read_until(process.stdout, "speak:")
        url = f"127.0.0.1:{ports.grpc}"
        with HiggsClient(url) as one, HiggsClient(url) as other, httpx.Client(timeout=200, trust_env=False) as http:
            assert other.bundle() == "first"

            def by_http() -> None:
                body = {"input": "Short.", "response_format": "pcm", "seed": 3, "max_seconds": 0.8}
                http.post(f"http://{gateway}/v1/audio/speech", json=body).raise_for_status()

            whole = one.synthesize(TEXT, params=IN_PIECES).samples
            with (
                Speaking(lambda: other.synthesize("Short.", params=SHORT) and None) as by_grpc,
                Speaking(by_http) as by_gateway,
            ):
                assert publish([str(called(bundle, tmp_path / "second", "second")), ADDRESS]) == 0
                process.send_signal(signal.SIGHUP)
                assert "beside the old one" in read_until(process.stdout, "changing over")
                with one.session(params=IN_PIECES) as session:
                    asked = session.request_id
                    session.send(TEXT[:16])
                    chunks = [next(session)]
                    read_until(process.stdout, "ready again")
                    session.send(TEXT[16:])
                    session.end()
                    chunks += list(session)
                before = by_grpc.done, by_gateway.done
                while by_grpc.done < before[0] + 5 or by_gateway.done < before[1] + 5:
                    time.sleep(0.2)
            assert (by_grpc.failed, by_gateway.failed) == ([], [])
            assert other.bundle() == "second" and HiggsClient(url).bundle() == "second"
            np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), whole)
            assert session.request_id == asked, "the old server spoke it to its end"
        process.send_signal(signal.SIGTERM)
        read_until(process.stdout, "stopped in")
        assert process.wait(60) == 0
