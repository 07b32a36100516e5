"""The scripts of examples/ run as they stand against a server of the demo voice, and say what they show."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile
from higgs_tts import HiggsClient

from serve.triton import TritonServer
from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"
SECONDS = 300.0
Run = Callable[..., str]


@pytest.fixture(scope="module")
def keeping(voice_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server that can keep voices."""
    with TritonServer(voice_bundle, state=tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture
def run(keeping: TritonServer, tmp_path: Path) -> Run:
    """Runs an example in an empty folder and returns what it prints."""

    def example(name: str, *arguments: str) -> str:
        command = [sys.executable, str(EXAMPLES / name), *arguments]
        environment = os.environ | {"HIGGS_URL": keeping.grpc_url}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, timeout=SECONDS, stdout=subprocess.PIPE, text=True
        ).stdout

    return example


def seconds(file: Path) -> float:
    """Of audio that is none but silence."""
    samples, rate = soundfile.read(file)
    assert rate == 24000
    assert abs(samples).max() > 0.01, f"{file.name} is silent"
    return len(samples) / rate


def test_a_stream_is_written_into_a_file(run: Run, tmp_path: Path) -> None:
    lines = run("stream_to_file.py").splitlines()
    assert len(lines) > 2, "more than one chunk"
    assert lines[-1] == "finished: stop"
    assert lines[-2].split()[2] == f"{seconds(tmp_path / 'hello.wav'):.2f}"


def test_chunks_come_while_the_speech_is_made(run: Run) -> None:
    lines = run("play.py").splitlines()
    assert len(lines) > 1
    assert all(line.startswith("after ") and "audio from" in line for line in lines)
    arrivals = [float(line.split()[1]) for line in lines]
    assert arrivals == sorted(arrivals)


def test_streams_of_asyncio_run_side_by_side(run: Run) -> None:
    numbers = [line.split(":")[0] for line in run("many_streams.py").splitlines()]
    assert set(numbers) == {f"stream {number}" for number in range(4)}
    turns = sum(one != other for one, other in pairwise(numbers))
    assert turns > 3, f"one after another: {numbers}"


def test_a_recording_lends_its_voice(run: Run, tmp_path: Path) -> None:
    assert "finished: stop" in run("clone_voice.py")
    default = (tmp_path / "cloned.wav").read_bytes()
    voice = ROOT / "voices" / "slt"
    run("clone_voice.py", f"{voice}.wav", voice.with_suffix(".txt").read_text())
    assert (tmp_path / "cloned.wav").read_bytes() != default


def test_a_voice_is_kept_spoken_in_and_removed(run: Run, tmp_path: Path, keeping: TritonServer) -> None:
    said = run("add_voice.py")
    assert "voices: awb, narrator, rms, slt" in said
    assert "codes: 8 codebooks x" in said
    assert seconds(tmp_path / "narrator.wav") > 0.5
    with HiggsClient(keeping.grpc_url) as client:
        assert [voice.name for voice in client.voices()] == ["awb", "rms", "slt"]


def test_a_dialogue_tells_who_spoke_when(run: Run, tmp_path: Path) -> None:
    lines = run("dialogue.py").splitlines()
    speakers = [line.split("s  ", 1)[1].split(":")[0] for line in lines]
    assert [one for one, before in zip(speakers, ["", *speakers], strict=False) if one != before] == [
        "Anna",
        "Bob",
        "Anna",
    ]
    assert float(lines[-1].split()[2]) <= seconds(tmp_path / "dialogue.wav") + 0.01


def test_a_long_text_shows_its_progress(run: Run, tmp_path: Path) -> None:
    progress, summary = run("long_text.py").splitlines()[-2:]
    assert progress.split("\r")[-1].startswith("part ")
    parts = int(summary.split()[0])
    assert parts > 3
    assert summary.endswith("language: en")
    assert seconds(tmp_path / "long_text.wav") > parts * 0.5


def test_a_manifest_becomes_a_file_a_line(run: Run, tmp_path: Path) -> None:
    said = run("batch.py")
    assert [line.split(":")[0] for line in said.splitlines()] == ["greeting", "weather", "travel", "wish"]
    assert {file.name for file in (tmp_path / "batch").iterdir() if seconds(file) > 0.5} == {
        f"{name}.wav" for name in ("greeting", "weather", "travel", "wish")
    }


def test_a_cancelled_stream_ends_early(run: Run) -> None:
    lines = run("cancel.py").splitlines()
    assert lines[-1].endswith("cancelled")
    assert float(lines[-1].split()[4]) < 15.0, "the whole text takes half a minute"


def test_an_error_says_what_to_change(run: Run) -> None:
    refused, spoken = run("errors.py").splitlines()
    assert refused == "refused: temperature is 3.0; it must be from 0.0 to 2.0"
    assert spoken.startswith("spoken: ")


def test_curl_asks_for_readiness_and_metrics(keeping: TritonServer) -> None:
    command = [str(EXAMPLES / "health_and_metrics.sh"), keeping.http_url, keeping.metrics_url]
    said = subprocess.run(command, check=True, timeout=SECONDS, stdout=subprocess.PIPE, text=True).stdout
    assert said.startswith("ready: HTTP 200\n")
    assert "\nhiggs_live_streams " in said


def test_every_example_is_run_here_and_listed() -> None:
    names = {file.name for file in EXAMPLES.iterdir() if file.suffix in {".py", ".sh"}}
    assert len(names) == 11
    page, tests = (EXAMPLES / "README.md").read_text(), Path(__file__).read_text()
    for name in names:
        assert f"({name})" in page
        assert f'"{name}"' in tests
