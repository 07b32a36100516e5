"""Triton itself reads a published bundle out of the bucket, without the launcher."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from higgs_tts import GenerationParams, HiggsClient, HiggsError

from build.publish import main as publish
from serve.installation import find_installation
from serve.manifest import MANIFEST_FILE
from serve.ports import Ports
from serve.published import repository_of, version_of
from serve.triton import TritonServer
from tests.buckets import BUCKET, Buckets
from tests.serve.launching import wait_for

PARAMS = GenerationParams(seed=3, max_seconds=2.0, runaway_guard=False)


@pytest.mark.long
def test_it_speaks_as_it_does_from_the_folder(
    bundle: Path, server: TritonServer, buckets: Buckets, tmp_path: Path
) -> None:
    assert publish([str(bundle), f"s3://{BUCKET}/tiny"]) == 0
    version = version_of((bundle / MANIFEST_FILE).read_bytes())
    repository = f"s3://{buckets.url}/{BUCKET}/tiny/{repository_of(version)}"
    ports, triton = Ports.free(), find_installation(tmp_path)
    command = [str(triton.executable), f"--model-repository={repository}", f"--backend-directory={triton.backends}"]
    command += [f"--{service}-port={port}" for service, port in vars(ports).items()]
    command += [f"--{service}-address=127.0.0.1" for service in vars(ports)]
    command += ["--disable-auto-complete-config", "--metrics-interval-ms=250", "--exit-timeout-secs=5"]
    told = {"HIGGS_STATE_DIR": str(tmp_path / "state"), "OPENBLAS_NUM_THREADS": "1"}
    with (tmp_path / "triton.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=triton.environment | told, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url = f"127.0.0.1:{ports.grpc}"
        with HiggsClient(url) as client, HiggsClient(server.grpc_url) as usual:
            wait_for(lambda: process.poll() is not None or is_there(url), 200)
            assert process.poll() is None, (tmp_path / "triton.log").read_text()[-3000:]
            spoken = client.synthesize("Out of a bucket.", voice="tone", params=PARAMS)
            np.testing.assert_array_equal(
                spoken.samples, usual.synthesize("Out of a bucket.", voice="tone", params=PARAMS).samples
            )
            client.add_voice("again", metadata={"description": "Deep."})
            assert [voice.name for voice in client.voices()] == ["again", "tone"]
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def is_there(url: str) -> bool:
    try:
        with HiggsClient(url) as client:
            return bool(client.bundle()) and client.is_ready()
    except HiggsError:
        return False
