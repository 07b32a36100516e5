"""What a batch makes of its manifest, and goes on with."""

import contextlib
import fcntl
import json
import os
import re
import socket
import struct
import termios
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from higgs_tts import HiggsClient
from higgs_tts.cli.batch import Batch
from higgs_tts.cli.command import main
from higgs_tts.cli.manifest import read_manifest
from higgs_tts.cli.results import Failed, Results
from higgs_tts.cli.servers import Servers

from ..conftest import Command
from ..standin.server import StandInServer
from ..test_command import finish
from ..test_reference import tone
from ..test_stream import RATE, sine
from .conftest import Write, journal, words


def test_every_item_becomes_a_file_and_a_line(
    settled: StandInServer, command: Command, tmp_path: Path, write: Write, starts: Any
) -> None:
    soundfile.write(tmp_path / "me.wav", tone(16000), 16000)
    write(
        {"id": "eins", "text": "seconds=1.5", "voice": "belinda", "seed": 7, "scene": "A hall"},
        {"text": "seconds=0.5 reason=length"},
        {"id": "zwei", "text": "seconds=1", "reference": "me.wav", "reference_text": "la", "top_p": 0.9},
    )
    status, output, errors = finish(command(*words(settled)))
    assert (status, output) == (0, b"")
    assert re.fullmatch(
        r"out: 3 of 3 items spoken, 1 finished: length; "
        r"3\.00 s of speech in \d+\.\d\d s, \d+\.\d\d s a second\n",
        errors,
    ), errors
    results = {result["id"]: result for result in journal(tmp_path)}
    (derived,) = results.keys() - {"eins", "zwei"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["eins.wav", "zwei.wav", f"{derived}.wav", "results.jsonl"]
    )
    for name, seconds in {"eins": 1.5, "zwei": 1, derived: 0.5}.items():
        samples, rate = soundfile.read(tmp_path / "out" / f"{name}.wav", dtype="float32")
        assert rate == RATE
        np.testing.assert_allclose(samples, sine(seconds), atol=1 / 32767)
        result = results[name]
        assert (result["file"], result["seconds"], result["retries"]) == (f"{name}.wav", seconds, 0)
        assert 0 < result["time_to_first_audio"] <= result["real_time_factor"] * seconds
    assert [results[name]["seed"] for name in ("eins", derived)] == [7, None]
    assert [results[name]["finish_reason"] for name in ("eins", derived)] == ["stop", "length"]
    orders = {order["text"].split()[0]: order for order in starts()}
    assert orders["seconds=1.5"]["options"] == {"seed": 7, "scene": "A hall", "hold_parts": True}
    assert (orders["seconds=1.5"]["voice"], orders["seconds=1"]["reference_text"]) == ("belinda", "la")


def test_what_the_server_tried_again_is_in_the_result(
    settled: StandInServer, in_empty_folder: None, tmp_path: Path, write: Write
) -> None:
    write({"id": "a", "text": "seconds=0.3 speakers=Anna,Bob retries=2"}, {"id": "b", "text": "seconds=0.1"})
    assert main(words(settled)) == 0
    assert {line["id"]: (line["retries"], line["part_retries"]) for line in journal(tmp_path)} == {
        "a": (0, 6),
        "b": (0, 0),
    }


@pytest.mark.parametrize("name", ["flac", "ogg"])
def test_the_format_is_chosen(
    settled: StandInServer, in_empty_folder: None, tmp_path: Path, write: Write, name: str
) -> None:
    write({"id": "a", "text": "seconds=1"})
    assert main(words(settled, "--format", name)) == 0
    assert soundfile.info(tmp_path / "out" / f"a.{name}").duration == 1.0


def test_the_same_text_in_two_voices_becomes_two_files(
    settled: StandInServer, in_empty_folder: None, tmp_path: Path, write: Write
) -> None:
    soundfile.write(tmp_path / "me.wav", tone(16000, 2.0), 16000)
    soundfile.write(tmp_path / "you.wav", tone(16000, 3.0), 16000)
    lines: list[dict[str, Any]] = [{"text": "source=reference", "reference_text": "la"} for _ in range(2)]
    write(lines[0] | {"reference": "me.wav"}, lines[1] | {"reference": "you.wav"})
    assert main(words(settled)) == 0
    first, second = (soundfile.info(tmp_path / "out" / result["file"]) for result in journal(tmp_path))
    assert sorted([first.duration, second.duration]) == [2.0, 3.0]


def test_a_killed_batch_goes_on_exactly_where_it_was(
    settled: StandInServer, command: Command, tmp_path: Path, write: Write, starts: Any
) -> None:
    lengths = {f"item{index:02}": 0.5 + index / 10 for index in range(24)}
    write(*({"id": name, "text": f"name={name} seconds={seconds:.1f} pace=0.04"} for name, seconds in lengths.items()))
    done: dict[str, int] = {}  # name: when its file was written
    asked = 0
    for kills, least in ((1, 3), (2, 9), (2, 24)):
        process = command(*words(settled, "--streams", "4"))
        if least < 24:
            while not (tmp_path / "out" / "results.jsonl").exists() or len(journal(tmp_path)) < least:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
            process.communicate()
            assert list((tmp_path / "out").glob(".*.partial"))  # the kill did fall among running streams
        else:
            status, _, errors = finish(process)
            assert status == 0
            summary = rf"out: {24 - len(done)} of 24 items spoken, {len(done)} were done before; .*\n"
            assert re.fullmatch(summary, errors), errors
        # Nothing is done twice, and what a kill fell upon is no more than what ran. The server may meet with a stream
        # of a killed process only now: they are counted over all kills.
        names = [order["text"].split()[0].removeprefix("name=") for order in starts()[asked:]]
        asked += len(names)
        assert not done.keys() & set(names)
        results = [result["id"] for result in journal(tmp_path)]
        assert asked - len(results) <= 4 * kills
        assert results[: len(done)] == list(done)
        done = {name: (tmp_path / "out" / f"{name}.wav").stat().st_mtime_ns for name in results} | done
    assert Counter(result["id"] for result in journal(tmp_path)) == dict.fromkeys(lengths, 1)
    # Nothing is lost and nothing is left over.
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *(f"{n}.wav" for n in lengths),
        "results.jsonl",
    ]
    for name, seconds in lengths.items():
        samples, _ = soundfile.read(tmp_path / "out" / f"{name}.wav", dtype="float32")
        np.testing.assert_allclose(samples, sine(round(seconds, 1)), atol=1 / 32767)
    assert all((tmp_path / "out" / f"{name}.wav").stat().st_mtime_ns == written for name, written in done.items())


def test_a_batch_that_is_done_asks_the_server_nothing(
    settled: StandInServer, in_empty_folder: None, tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write({"id": "a", "text": "seconds=1"}, {"id": "b", "text": "seconds=0.5"})
    assert main(words(settled, "--quiet")) == 0
    before = (tmp_path / "out" / "results.jsonl").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert main(["batch", "m.jsonl", "--out", "out", "--url", address]) == 0
    assert capsys.readouterr().err == "out: 0 of 2 items spoken, 2 were done before\n"
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == before


def test_only_what_changed_or_was_damaged_is_spoken_again(
    settled: StandInServer, in_empty_folder: None, tmp_path: Path, write: Write, starts: Any
) -> None:
    items = [
        {"id": name, "text": f"seconds={length}"} for name, length in zip("abcd", (0.4, 0.5, 0.6, 0.7), strict=True)
    ]
    write(*items)
    assert main(words(settled)) == 0
    (tmp_path / "out" / "b.wav").write_bytes((tmp_path / "out" / "b.wav").read_bytes()[:-1000])
    write(items[0], items[1], items[2] | {"seed": 5}, items[3], {"id": "e", "text": "seconds=0.8"})
    assert main(words(settled)) == 0
    assert [result["id"] for result in journal(tmp_path)[:4]] != ["b", "c", "e"]
    assert sorted(result["id"] for result in journal(tmp_path)[4:]) == ["b", "c", "e"]
    assert len(starts()) == 7
    assert soundfile.info(tmp_path / "out" / "b.wav").duration == 0.5


def test_a_wrong_line_refuses_the_manifest_before_anything_is_sent(
    in_empty_folder: None, tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write({"text": "seconds=1"}, {"text": "seconds=2", "spede": 3})
    assert main(["batch", "m.jsonl", "--out", "out", "--url", "127.0.0.1:1"]) == 1
    assert re.fullmatch(
        r"higgs-tts: InvalidRequestError: m\.jsonl, line 2: the key 'spede' is unknown; .*\n", capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_items_run_in_groups_of_one_voice(
    settled: StandInServer, in_empty_folder: None, write: Write, starts: Any
) -> None:
    write(*({"text": f"seconds=0.2 n={index}", "voice": "anna" if index % 2 else "bert"} for index in range(8)))
    assert main(words(settled, "--streams", "1")) == 0
    assert [order["voice"] for order in starts()] == ["bert"] * 4 + ["anna"] * 4


def test_as_many_streams_as_allowed_are_kept_in_flight(
    settled: StandInServer, in_empty_folder: None, write: Write
) -> None:
    before = len(settled.events())
    write(*({"text": f"seconds=0.5 pace=0.05 n={index}"} for index in range(18)))
    assert main(words(settled, "--streams", "6")) == 0
    assert max(note["live"] for note in settled.events()[before:]) == 6


def test_a_recording_that_changes_under_the_batch_is_refused(
    settled: StandInServer, tmp_path: Path, write: Write
) -> None:
    soundfile.write(tmp_path / "me.wav", tone(16000), 16000)
    write({"id": "a", "text": "hi", "reference": "me.wav", "reference_text": "la"})
    (item,) = read_manifest(tmp_path / "m.jsonl")
    soundfile.write(tmp_path / "me.wav", tone(16000, level=0.1), 16000)
    with (
        Results(tmp_path / "out") as results,
        Servers([settled.url], lambda url, _: HiggsClient(url)) as servers,
    ):
        (result,) = Batch(servers, results).run([item])
    assert isinstance(result, Failed)
    assert (result.error, result.retries) == ("AudioFormatError", 0)
    assert "changed after the manifest was read" in result.message


@pytest.mark.parametrize("paces", [(0.0, 0.1), (0.1, 0.0)])
def test_the_report_is_in_the_manifest_s_order_whoever_finishes_first(
    settled: StandInServer,
    in_empty_folder: None,
    tmp_path: Path,
    write: Write,
    capsys: pytest.CaptureFixture[str],
    paces: tuple[float, float],
) -> None:
    write(*({"id": name, "text": f"seconds=1 pace={pace}"} for name, pace in zip("ab", paces, strict=True)))
    assert main(words(settled, "--json", "--quiet")) == 0
    output, errors = capsys.readouterr()
    report = [json.loads(line) for line in output.splitlines()]
    assert [result["id"] for result in report] == ["a", "b"]
    assert [result["id"] for result in journal(tmp_path)] == (["a", "b"] if paces[0] == 0 else ["b", "a"])
    assert sorted(report, key=str) == sorted(journal(tmp_path), key=str)
    assert errors == ""


def test_a_terminal_shows_items_rate_and_time_left(
    settled: StandInServer, command: Command, tmp_path: Path, write: Write
) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    write(*({"text": f"seconds=0.5 pace=0.05 n={index}"} for index in range(4)))
    process = command(*words(settled, "--streams", "1"), stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # what Linux says of a terminal whose last user is gone
        while more := os.read(ours, 4096):
            shown += more
    os.close(ours)
    assert process.wait(15) == 0
    bars = re.findall(r"(\d)/4 \|[^|]*\| +(\d\S*) items/s, (\S+) left, 1 s of speech, 0 failed", shown.decode())
    assert ("2", "00:0") in [(done, left[:4]) for done, _, left in bars], shown
