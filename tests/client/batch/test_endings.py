"""Batches that fail, are interrupted, or lose their server."""

import re
import resource
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import soundfile
from higgs_tts.cli.command import main

from ..conftest import Command
from ..standin.server import StandInServer
from ..test_command import finish
from .conftest import Write, journal, words


def test_a_failure_is_tried_again_and_then_listed(
    settled: StandInServer,
    in_empty_folder: None,
    tmp_path: Path,
    write: Write,
    starts: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(
        {"id": "twice", "text": "seconds=0.5 error=CUDAFailureError error_after=2 failures=2"},
        {"id": "always", "text": "error=MemoryExhaustionError"},
        {"id": "busy", "text": "error=OverloadedError failures=1"},
        {"id": "wrong", "text": "error=InvalidRequestError"},
        {"id": "silent", "text": "error=AudioFormatError"},
    )
    assert main(words(settled, "--retries", "3")) == 1
    errors = capsys.readouterr().err.splitlines()
    fault = "the stand-in was told to fail."
    assert errors[:3] == [
        f"higgs-tts: m.jsonl, line 2 (always): MemoryExhaustionError: {fault}",
        f"higgs-tts: m.jsonl, line 4 (wrong): InvalidRequestError: {fault}",
        f"higgs-tts: m.jsonl, line 5 (silent): AudioFormatError: {fault}",
    ]
    assert errors[3].startswith("out: 2 of 5 items spoken, 3 failed; ")
    results = {result["id"]: result for result in journal(tmp_path)}
    assert {name: result["retries"] for name, result in results.items()} == {
        "twice": 2, "always": 3, "busy": 1, "wrong": 0, "silent": 0,
    }  # fmt: skip
    assert [results["always"][key] for key in ("error", "message")] == ["MemoryExhaustionError", fault]
    assert Counter(order["text"].split()[0] for order in starts())["error=MemoryExhaustionError"] == 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["busy.wav", "results.jsonl", "twice.wav"]

    # What failed is tried again by the next run, and nothing else.
    assert main(words(settled, "--retries", "0")) == 1
    assert sorted(result["id"] for result in journal(tmp_path)[5:]) == ["always", "silent", "wrong"]


def test_more_streams_than_the_server_takes_fail_no_item(
    settled: StandInServer, in_empty_folder: None, tmp_path: Path, write: Write
) -> None:
    write(*({"id": f"{index:02}", "text": f"seconds=0.5 pace=0.05 room=3 n={index}"} for index in range(24)))
    assert main(words(settled, "--streams", "12", "--retries", "0")) == 0
    results = journal(tmp_path)
    assert sorted(result["id"] for result in results) == [f"{index:02}" for index in range(24)]
    # The nine that are too many at first; later one refusal now and then tells that there is no more room yet.
    assert 9 <= sum(result["retries"] for result in results) < 60


def test_a_cancelled_speech_is_no_result(
    settled: StandInServer, in_empty_folder: None, tmp_path: Path, write: Write
) -> None:
    write({"id": "a", "text": "seconds=1 reason=cancelled"})
    assert main(words(settled, "--retries", "1")) == 1
    assert [(result["error"], result["retries"]) for result in journal(tmp_path)] == [("HiggsError", 1)]
    assert not (tmp_path / "out" / "a.wav").exists()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_the_streams_and_keeps_what_is_done(
    settled: StandInServer, command: Command, tmp_path: Path, write: Write, starts: Any, number: int, status: int
) -> None:
    long = [{"id": f"long{index}", "text": f"seconds=60 pace=0.05 n={index}"} for index in range(5)]
    write({"id": "short", "text": "seconds=0.3"}, *long)
    process = command(*words(settled, "--streams", "3"))
    while len(starts()) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    code, _, errors = finish(process)
    assert code == status
    assert errors == ("higgs-tts: interrupted\n" if number == signal.SIGINT else "")
    assert settled.live() == 0  # ended before the process did
    assert [result["id"] for result in journal(tmp_path)] == ["short"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.jsonl", "short.wav"]


def test_an_interrupt_during_the_back_off_does_not_wait_for_its_end(
    settled: StandInServer, command: Command, write: Write, starts: Any
) -> None:
    write({"text": "error=OverloadedError"})
    process = command(*words(settled, "--retries", "20"))
    while len(starts()) < 5:  # then it waits 4 to 8 s
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.3)  # for the refusal to arrive
    interrupted_at = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
    assert time.monotonic() - interrupted_at < 3


def test_a_server_that_dies_ends_the_batch_and_the_next_run_finishes_it(
    own_server: StandInServer, in_empty_folder: None, tmp_path: Path, write: Write, command: Command
) -> None:
    write(*({"id": f"{index:02}", "text": f"seconds=1 pace=0.05 n={index}"} for index in range(12)))
    process = command(*words(own_server, "--streams", "2", "--retries", "1"))
    while not (tmp_path / "out" / "results.jsonl").exists() or len(journal(tmp_path)) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    own_server.kill()
    status, _, errors = finish(process)
    assert status == 1
    assert re.fullmatch(r"higgs-tts: ServerUnavailableError: .*\n", errors), errors
    results = journal(tmp_path)
    # The two that were on their way; the others are not used up against a server that is gone.
    assert 1 <= sum("error" in result for result in results) <= 2
    assert len(results) < 12
    own_server.start()
    assert main(words(own_server)) == 0
    assert len(list((tmp_path / "out").glob("*.wav"))) == 12


def test_what_took_the_server_down_comes_last_in_the_next_run(
    settled: StandInServer, in_empty_folder: None, tmp_path: Path, write: Write, starts: Any
) -> None:
    write({"id": "a", "text": "seconds=0.2 error=CUDAFailureError"}, *({"text": f"seconds=0.{n}"} for n in (2, 3)))
    write_all = (tmp_path / "m.jsonl").read_text()
    (tmp_path / "m.jsonl").write_text(write_all.splitlines()[0])
    assert main(words(settled, "--retries", "0")) == 1
    (tmp_path / "m.jsonl").write_text(write_all)
    assert main(words(settled, "--retries", "0", "--streams", "1")) == 1
    assert [order["text"].split()[1] for order in starts()[1:]][-1] == "error=CUDAFailureError"


@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        ("file", "higgs-tts: file: File exists\n"),
        ("file/below", "higgs-tts: file/below: Not a directory\n"),
        ("/proc/below", "higgs-tts: /proc/below: No such file or directory\n"),
    ],
)
def test_a_folder_that_cannot_be_written_is_one_line_before_anything_is_sent(
    in_empty_folder: None,
    tmp_path: Path,
    write: Write,
    capsys: pytest.CaptureFixture[str],
    out: str,
    sentence: str,
) -> None:
    (tmp_path / "file").touch()
    write({"text": "seconds=1"})
    assert main(["batch", "m.jsonl", "--out", out, "--url", "127.0.0.1:1"]) == 1
    assert capsys.readouterr().err == sentence


def test_a_full_disk_is_one_line_and_costs_nothing_that_is_done(
    settled: StandInServer, command: Command, tmp_path: Path, write: Write
) -> None:
    write({"id": "a", "text": "seconds=0.2"}, *({"text": f"seconds=600 chunk=5 pace=0.01 n={n}"} for n in range(3)))
    process = command(*words(settled, "--streams", "1"), stdin=subprocess.DEVNULL)
    # A limit on a file's size fails the same system call as a full disk.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    status, _, errors = finish(process)
    assert status == 1
    assert re.fullmatch(r"higgs-tts: out/[0-9a-f]{16}\.wav: No space left on device\n", errors), errors
    assert [result["id"] for result in journal(tmp_path)] == ["a"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.wav", "results.jsonl"]


def test_no_server_is_one_line(in_empty_folder: None, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    write({"text": "seconds=1"}, {"text": "seconds=2"})
    assert main(["batch", "m.jsonl", "--out", "out", "--url", address, "--retries", "0"]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"higgs-tts: ServerUnavailableError: No server answers at {address}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["m.jsonl"],
        ["--out", "out"],
        ["m.jsonl", "--out", "out", "--streams", "0"],
        ["m", "--out", "o", "--retries", "x"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_a_usage_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["batch", *words])
    assert caught.value.code == 2
    assert "usage: higgs-tts batch" in capsys.readouterr().err


def test_the_word_batch_can_still_be_spoken(
    settled: StandInServer, in_empty_folder: None, tmp_path: Path, starts: Any
) -> None:
    assert main(["-o", "word.wav", "--url", settled.url, "--", "batch"]) == 0
    assert soundfile.info(tmp_path / "word.wav").duration == 1.0
