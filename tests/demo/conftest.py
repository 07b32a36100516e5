"""The demo checkpoint and the voices that ship, on a real Triton."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from higgs_tts import HiggsClient

from serve.triton import TritonServer

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def client() -> Iterator[HiggsClient]:
    """On the bundle that tests/demo/test_voice.py builds, too."""
    output = ROOT / "artifacts" / "test" / "voice_bundle"
    build = [sys.executable, "-m", "build", "--target", "cpu", "--checkpoint", str(ROOT / "demo" / "checkpoint")]
    subprocess.run([*build, "--voices", str(ROOT / "voices"), "--output", str(output)], cwd=ROOT, check=True)
    with TritonServer(output) as server, HiggsClient(server.grpc_url) as connected:
        yield connected
