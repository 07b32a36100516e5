"""curl, as a shell script calls it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.http_clients.sound import FORMATS, LONG, RATE, TEXT, decoded

SECONDS = 120


def command(base_url: str, file: Path, **fields: object) -> list[str]:
    """A stream into a file, unbuffered; an HTTP error is an exit code."""
    headers = ["-H", "Content-Type: application/json", "-H", "Authorization: Bearer none"]
    options = ["--fail", "--silent", "--show-error", "--no-buffer", "--noproxy", "*", "--max-time", str(SECONDS)]
    data = json.dumps({"model": "tts-1", "voice": "alloy"} | fields)
    return ["curl", *options, f"{base_url}/audio/speech", *headers, "-d", data, "-o", str(file)]


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_becomes_a_file(base_url: str, tmp_path: Path, name: str) -> None:
    file = tmp_path / "speech"
    subprocess.run(command(base_url, file, input=TEXT, response_format=name), check=True)
    assert len(decoded(file.read_bytes(), name)) > RATE


def test_the_file_grows_while_the_speech_is_made_and_a_killed_curl_ends_it(
    base_url: str, tmp_path: Path, is_freed: Callable[[], bool]
) -> None:
    file, deadline = tmp_path / "speech", time.monotonic() + SECONDS
    with subprocess.Popen(command(base_url, file, input=LONG, response_format="wav")) as curl:
        while not file.exists() or file.stat().st_size < RATE:  # half a second of samples
            assert curl.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        curl.kill()
    assert is_freed()


def test_a_refusal_is_an_exit_code(base_url: str, tmp_path: Path) -> None:
    done = subprocess.run(command(base_url, tmp_path / "none", input=""), check=False, capture_output=True)
    assert done.returncode == 22 and b"400" in done.stderr
