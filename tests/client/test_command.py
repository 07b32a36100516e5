"""The command line as a process of its own."""

import codecs
import json
import os
import re
import resource
import signal
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from higgs_tts import InvalidRequestError
from higgs_tts.cli.arguments import generation_params, parse_arguments
from higgs_tts.cli.command import main, read_text
from higgs_tts.cli.manifest import OPTION_TYPES

from .conftest import Command
from .standin.server import StandInServer
from .test_reference import tone
from .test_stream import RATE, sine

LONG = "seconds=60 chunk=0.1 pace=0.05"


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def finish(process: "subprocess.Popen[bytes]", stdin: bytes | None = None) -> tuple[int, bytes, str]:
    """Exit status, standard output, standard error."""
    output, errors = process.communicate(stdin, timeout=15)
    return process.returncode, output, errors.decode()


def last_request(server: StandInServer) -> str:
    return str([note for note in server.events() if note["event"] == "start"][-1]["id"])


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg"])
def test_a_text_becomes_a_file(settled: StandInServer, command: Command, tmp_path: Path, extension: str) -> None:
    name = f"out.{extension}"
    status, output, errors = finish(command("seconds=1.5", "-o", name, "--url", settled.url))
    assert (status, output) == (0, b"")
    samples, rate = soundfile.read(tmp_path / name, dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, sine(1.5), atol=0.05)
    summary = r"out\.\w+: 1\.50 s of speech, first audio after \d+ ms, RTF \d+\.\d\d, finished: stop\n"
    assert re.fullmatch(summary, errors), errors
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_options_reach_the_server(settled: StandInServer, command: Command, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "me.wav", tone(16000), 16000)
    words = [
        "hi",
        "--url",
        settled.url,
        "--voice",
        "belinda",
        "--reference",
        "me.wav",
        "--reference-text",
        "la",
    ]
    words += ["--preset", "fast_generation", "--seed", "7", "--top-p", "0.9", "--scene", "A hall"]
    assert finish(command(*words))[0] == 0
    assert (tmp_path / "speech.wav").exists()
    start = settled.wait_for(last_request(settled), "start")
    assert start["reference_samples"] == 2 * RATE
    assert start["order"] == {
        "text": "hi",
        "voice": "belinda",
        "reference_text": "la",
        "options": {"preset": "fast_generation", "seed": 7, "top_p": 0.9, "scene": "A hall"},
    }


def test_every_generation_parameter_is_an_option(tmp_path: Path) -> None:
    lexicon = tmp_path / "lexicon.json"
    lexicon.write_text('\ufeff{"Higgs": "higz"}', encoding="utf-8")
    other = {
        "lexicon": (["--lexicon", str(lexicon)], {"Higgs": "higz"}),
        "speakers": (["--speaker", "Anna=slt", "--speaker", "Bob Lee=awb=2"], {"Anna": "slt", "Bob Lee": "awb=2"}),
        "runaway_guard": (["--no-runaway-guard"], False),
        "hold_parts": (["--hold-parts"], True),
        "fallback_modes": (["--no-fallback-modes"], False),
    }
    kinds = {name: kind for name, kind in OPTION_TYPES.items() if name not in other}
    values = {name: "3" if kind in (int, float) else "x" for name, kind in kinds.items()}
    words = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", value)]
    words += [word for more, _ in other.values() for word in more]
    options = generation_params(parse_arguments(["hi", *words])).to_options()
    for name, (_, value) in other.items():
        assert options.pop(name) == value
    assert {name: str(value).removesuffix(".0") for name, value in options.items()} == values


def test_an_empty_system_text_is_sent_and_one_that_is_not_given_is_not() -> None:
    assert generation_params(parse_arguments(["hi"])).to_options() == {}
    assert generation_params(parse_arguments(["hi", "--system", ""])).to_options() == {"system": ""}


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"Higgs": 1}', '"Higgs"'])
def test_a_lexicon_is_a_file_of_words_and_readings(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lexicon.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit):
        parse_arguments(["hi", "--lexicon", str(file)])
    assert "--lexicon" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["Anna", "=slt", "Anna=", " = "])
def test_a_speaker_needs_a_name_and_a_voice(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["hi", "--speaker", word])
    assert "is not NAME=VOICE" in capsys.readouterr().err


def test_a_dialogue_is_told_line_by_line(settled: StandInServer, command: Command) -> None:
    text = "seconds=0.3 speakers=Anna,Bob retries=1"
    words = [text, "--url", settled.url, "--speaker", "Anna=slt", "--json"]
    status, output, errors = finish(command(*words))
    assert status == 0, errors
    lines = errors.splitlines()
    assert lines[:2] == ["Anna speaks in the voice slt", "Bob speaks in a voice without a profile"]
    assert lines[2:5] == [
        "    0.00 - 0.10 s  Anna: words 0",
        "    0.10 - 0.20 s  Bob: words 1",
        "    0.20 - 0.30 s  Anna: words 2",
    ]
    assert ", 3 parts tried again, finished: stop" in lines[5]
    report = json.loads(output)["report"]
    assert report["voices"] == {"Anna": "slt", "Bob": None}
    assert [part["speaker"] for part in report["parts"]] == ["Anna", "Bob", "Anna"]
    order = settled.wait_for(last_request(settled), "start")["order"]
    assert order["options"]["speakers"] == {"Anna": "slt"}


@pytest.mark.parametrize("words", [["-"], []])
def test_the_text_comes_from_standard_input(settled: StandInServer, command: Command, words: list[str]) -> None:
    text = "seconds=0.3 Grüße\n"
    status, _, errors = finish(command(*words, "--url", settled.url), text.encode())
    assert status == 0, errors
    assert settled.wait_for(last_request(settled), "start")["order"]["text"] == text


def test_the_text_comes_from_a_file(settled: StandInServer, in_empty_folder: None, tmp_path: Path) -> None:
    (tmp_path / "chapter.txt").write_text("seconds=0.3 静か", "utf-8")
    assert main(["--text-file", "chapter.txt", "--url", settled.url]) == 0
    assert settled.wait_for(last_request(settled), "start")["order"]["text"] == "seconds=0.3 静か"


def test_standard_output_gets_pcm_and_nothing_else(settled: StandInServer, command: Command) -> None:
    status, output, errors = finish(command("seconds=1", "-o", "-", "--quiet", "--url", settled.url))
    assert (status, errors) == (0, "")
    np.testing.assert_array_equal(np.frombuffer(output, "<i2"), np.rint(sine(1) * 32767))


def test_pcm_flows_while_the_rest_is_made(settled: StandInServer, command: Command) -> None:
    process = command(LONG, "-o", "-", "--url", settled.url)
    assert process.stdout is not None
    assert len(process.stdout.read(4800)) == 4800
    process.send_signal(signal.SIGTERM)
    status, _, errors = finish(process)
    assert (status, errors) == (128 + signal.SIGTERM, "")
    settled.wait_for(last_request(settled), "cancel")


def test_a_reader_that_leaves_ends_the_generation_quietly(settled: StandInServer, command: Command) -> None:
    process = command(LONG, "-o", "-", "--url", settled.url)
    assert process.stdout is not None
    process.stdout.read(1000)
    process.stdout.close()
    process.stdout = None
    assert finish(process) == (128 + signal.SIGPIPE, None, "")
    settled.wait_for(last_request(settled), "cancel")


@pytest.mark.parametrize(("words", "left"), [([], []), (["--keep-partial"], ["out.wav"])])
def test_ctrl_c_ends_the_generation_and_tidies_up(
    settled: StandInServer, command: Command, tmp_path: Path, words: list[str], left: list[str]
) -> None:
    before = last_request(settled) if settled.events() else None
    process = command(LONG, "-o", "out.wav", "--url", settled.url, *words)
    while not settled.live() or last_request(settled) == before:
        assert process.poll() is None
    (partial,) = tmp_path.glob(".out.wav.*.partial")
    while partial.stat().st_size < 10_000:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, b"", "higgs-tts: interrupted\n")
    settled.wait_for(last_request(settled), "cancel")
    assert [path.name for path in tmp_path.iterdir()] == left
    for name in left:
        samples, _ = soundfile.read(tmp_path / name, dtype="float32")
        np.testing.assert_allclose(samples, sine(len(samples) / RATE), atol=1 / 32767)


def test_an_error_is_one_line_and_leaves_no_file(settled: StandInServer, command: Command, tmp_path: Path) -> None:
    status, output, errors = finish(command("seconds=1 error=CUDAFailureError error_after=3", "--url", settled.url))
    assert (status, output) == (1, b"")
    assert errors == "higgs-tts: CUDAFailureError: the stand-in was told to fail.\n"
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_survives_an_error(settled: StandInServer, in_empty_folder: None, tmp_path: Path) -> None:
    (tmp_path / "speech.wav").write_bytes(b"precious")
    assert main(["error=OverloadedError", "--url", settled.url]) == 1
    assert (tmp_path / "speech.wav").read_bytes() == b"precious"


def test_no_server_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert main(["hi", "--url", address]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"higgs-tts: ServerUnavailableError: No server answers at {address}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hi", "-o", "nowhere/out.wav"], "nowhere/out.wav: No such file or directory"),
        (["hi", "-o", "/proc/out.wav"], "/proc/out.wav: "),
        (["hi", "-o", "."], "end its name in .wav"),
        (["hi", "-o", "out.doc"], "Cannot write 'out.doc': end its name in .wav"),
        (["--text-file", "none.txt"], "none.txt: No such file"),
        ([""], "The text is empty"),
        (["hi", "--reference", "none.wav"], "Cannot read the reference audio 'none.wav': No such file"),
    ],
)
def test_what_the_user_got_wrong_is_one_line(
    settled: StandInServer,
    in_empty_folder: None,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    assert main([*words, "--url", settled.url]) == 1
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1


def test_text_that_is_not_utf8_is_refused(settled: StandInServer, command: Command) -> None:
    status, _, errors = finish(command("-", "--url", settled.url), b"caf\xe9")
    assert (status, errors.count("\n")) == (1, 1)
    assert "not UTF-8" in errors


@pytest.mark.parametrize("name", ["plain.txt", "état.txt", "声 音.txt", "caf\udce9.txt", "new\nline.txt"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_text_file_of_any_name_begins_with_its_first_letter(tmp_path: Path, name: str, encoding: str) -> None:
    file = tmp_path / name
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    file.write_bytes(mark + "Été 声音.".encode(encoding))
    assert read_text(parse_arguments(["--text-file", str(file)])) == "Été 声音."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("déjà".encode("latin-1"), r"is not UTF-8: byte 1 \(0xe9\)"),
        (b"a fine beginning, \x93quoted\x94", r"is not UTF-8: byte 18 \(0x93\)"),
        ("声音".encode("gb18030"), r"is not UTF-8: byte 0 \(0xc9\)"),
        ("声音".encode()[:-1], r"is not UTF-8: byte 3 \(0xe9\)"),
        (codecs.BOM_UTF8 + b"abc\xff", r"is not UTF-8: byte 3 \(0xff\)"),
        ("ab".encode("utf-16")[:-1], r"is not UTF-16: byte 4 \(0x62\)"),
    ],
)
def test_a_text_file_of_another_encoding_is_refused_with_its_byte(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=f"text.txt {words} cannot be read; save it as UTF-8"):
        read_text(parse_arguments(["--text-file", str(file)]))


def test_half_of_a_character_as_an_argument_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match=r"The text is not UTF-8: byte 3 \(0xe9\)"):
        read_text(parse_arguments(["caf\udce9"]))


@pytest.mark.parametrize("name", ["état.wav", "声音.flac", "a b'.ogg", "caf\udce9.wav", "new\nline.wav"])
def test_output_of_any_name_is_written(
    settled: StandInServer, in_empty_folder: None, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["seconds=0.1", "-o", name, "--url", settled.url]) == 0
    assert os.listdir() == [name]
    assert soundfile.info(os.fsencode(name)).frames
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["état.wav", "caf\udce9.wav", "new\nline.wav", "x" * 300 + ".wav", "none\udce9/a.wav"])
def test_what_is_said_of_a_reference_of_any_name_is_one_line(
    settled: StandInServer, in_empty_folder: None, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words = ["hi", "--reference", name, "--reference-text", "hi", "--url", settled.url]
    assert main(words) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert os.listdir() == []


@pytest.mark.parametrize("output", [".wav", "out.xyz", "/dev/full", "/dev/null/out.wav", "folder.wav"])
def test_an_output_that_cannot_be_is_one_line_and_leaves_nothing(
    settled: StandInServer, in_empty_folder: None, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    Path("folder.wav").mkdir()
    assert main(["seconds=0.1", "-o", output, "--url", settled.url]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert os.listdir() == ["folder.wav"]
    assert os.listdir("folder.wav") == []


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg"])
def test_a_full_disk_is_one_line(settled: StandInServer, command: Command, tmp_path: Path, extension: str) -> None:
    process = command("seconds=600 chunk=5", "-o", f"out.{extension}", "--url", settled.url, stdin=subprocess.DEVNULL)
    # A limit on the file's size fails the same system call as a full disk.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    status, _, errors = finish(process)
    assert (status, errors) == (1, f"higgs-tts: out.{extension}: No space left on device\n")
    assert list(tmp_path.iterdir()) == []


def test_json_has_the_summary(
    settled: StandInServer, in_empty_folder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["seconds=2", "--json", "--quiet", "--url", settled.url]) == 0
    output, errors = capsys.readouterr()
    summary = json.loads(output)
    assert errors == ""
    assert (summary["output"], summary["seconds"], summary["finish_reason"]) == ("speech.wav", 2.0, "stop")
    assert 0 < summary["time_to_first_audio"] <= summary["elapsed"]
    assert summary["real_time_factor"] == pytest.approx(summary["elapsed"] / 2)


@pytest.mark.parametrize(
    "words", [["hi", "--text-file", "x"], ["hi", "--reference-text", "x"], ["hi", "--json", "-o", "-"]]
)
def test_a_contradictory_command_line_is_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(words)
    assert caught.value.code == 2
    assert "usage: higgs-tts" in capsys.readouterr().err


def test_version(command: Command) -> None:
    status, output, _ = finish(command("--version"))
    assert (status, output) == (0, b"higgs-tts 0.1.0\n")
