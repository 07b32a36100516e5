"""Voice profiles from Python and from the command line."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from higgs_tts import (
    AsyncHiggsClient,
    AudioFormatError,
    HiggsClient,
    HiggsError,
    InvalidRequestError,
    Reference,
    ServerUnavailableError,
    StateError,
)
from higgs_tts.cli.command import main
from higgs_tts.cli.voice_folder import read_voice_folder

from .standin.server import StandInServer
from .test_reference import tone, tone_error


@pytest.fixture
def client(server: StandInServer) -> Iterator[HiggsClient]:
    with HiggsClient(server.url) as connected:
        yield connected
        for voice in connected.voices():
            if voice.origin == "added":
                connected.remove_voice(voice.name)


def names(client: HiggsClient) -> list[str]:
    return [voice.name for voice in client.voices()]


def test_a_recording_of_any_rate_becomes_a_voice(client: HiggsClient) -> None:
    stereo = np.stack([tone(44100)] * 2, axis=1)
    added = client.add_voice("me", Reference((stereo, 44100), "la la"), metadata={"language": "日本語", "age": 7})
    assert (added.name, added.origin, added.seconds, added.samples, added.embedding) == ("me", "added", 2.0, None, None)
    voice = client.voice("me")
    assert voice.samples is not None
    assert tone_error(voice.samples) < 1e-4
    assert (voice.transcript, voice.metadata, voice.sample_rate) == ("la la", {"language": "日本語", "age": 7}, 24000)
    assert names(client) == ["me", "slt"]
    client.remove_voice("me")
    assert names(client) == ["slt"]


def test_a_voice_brings_its_clip_and_its_codes(client: HiggsClient, tmp_path: Path) -> None:
    listed = client.voices()[0]
    assert (listed.samples, listed.embedding) == (None, None)
    with pytest.raises(InvalidRequestError, match="has no audio here"):
        listed.save(str(tmp_path / "slt.wav"))
    voice = client.voice("slt")
    assert voice.embedding is not None
    np.testing.assert_array_equal(voice.embedding, np.arange(16).reshape(8, 2))
    voice.save(str(tmp_path / "slt.flac"))
    samples, rate = soundfile.read(tmp_path / "slt.flac")
    assert (rate, len(samples)) == (24000, 24000)
    assert samples == pytest.approx(0.25, abs=1e-4)


def test_what_cannot_be_a_voice_is_refused(client: HiggsClient) -> None:
    good = Reference((tone(24000), 24000), "la")
    with pytest.raises(InvalidRequestError, match="needs the words"):
        client.add_voice("me", Reference((tone(24000), 24000)))
    with pytest.raises(AudioFormatError, match="too short"):
        client.add_voice("me", Reference((tone(24000, 0.2), 24000), "la"))
    with pytest.raises(InvalidRequestError, match="'nobody' is unknown"):
        client.voice("nobody")
    with pytest.raises(InvalidRequestError, match="belongs to the bundle"):
        client.remove_voice("slt")
    client.add_voice("me", good)
    with pytest.raises(InvalidRequestError, match="'me' exists"):
        client.add_voice("me", good)
    assert client.add_voice("me", metadata={"description": "Deep."}, replace=True).audio_path is None
    with pytest.raises(StateError, match="No space left"):
        client.add_voice("full", good)


def test_a_server_that_is_gone_and_a_client_that_is_closed_say_so(server: StandInServer) -> None:
    with HiggsClient("127.0.0.1:9") as lost, pytest.raises(ServerUnavailableError, match="No server answers"):
        lost.voices()
    with HiggsClient(server.url) as client:
        client.voices()
    with pytest.raises(HiggsError, match="closed"):
        client.voices()


def test_in_asyncio_the_names_are_the_same(client: HiggsClient, server: StandInServer) -> None:
    async def manage() -> list[str]:
        async with AsyncHiggsClient(server.url) as aio:
            clips = [Reference((tone(24000), 24000), f"la {n}") for n in range(4)]
            await asyncio.gather(*(aio.add_voice(f"v{n}", clip) for n, clip in enumerate(clips)))
            assert (await aio.voice("v2")).transcript == "la 2"
            await aio.remove_voice("v0")
            return [voice.name for voice in await aio.voices()]

    assert asyncio.run(manage()) == ["slt", "v1", "v2", "v3"]


def run(server: StandInServer, *words: str) -> int:
    return main(["voices", words[0], *words[1:], "--url", server.url])


def test_the_command_line_adds_lists_shows_and_removes(
    client: HiggsClient, server: StandInServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "me.wav", tone(16000), 16000)
    (tmp_path / "more.json").write_text('{"age": 7, "language": "de"}')
    words = [
        "--reference",
        str(tmp_path / "me.wav"),
        "--reference-text",
        "la la",
        "--metadata",
        str(tmp_path / "more.json"),
    ]
    assert run(server, "add", "me", *words, "--language", "en", "--gender", "female") == 0
    assert run(server, "add", "narrator", "--description", "A calm voice.") == 0
    assert client.voice("me").metadata == {"age": 7, "language": "en", "gender": "female"}
    capsys.readouterr()
    assert run(server, "list") == 0
    assert capsys.readouterr().out.splitlines() == [
        "me        added    2.00 s  la la",
        "narrator  added   described: A calm voice.",
        "slt       bundle   1.00 s  la",
    ]
    assert run(server, "show", "slt", "--json", "-o", str(tmp_path / "slt.wav")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["transcript"], shown["embedding"][7]) == ("slt", "la", [14, 15])
    assert soundfile.info(tmp_path / "slt.wav").frames == 24000
    assert run(server, "show", "slt") == 0
    assert "codes: 8 x 2" in capsys.readouterr().out
    assert run(server, "add", "me", *words) == 1
    assert capsys.readouterr().err == "higgs-tts: InvalidRequestError: voice 'me' exists\n"
    assert run(server, "add", "me", *words, "--replace") == 0
    assert run(server, "remove", "me", "nobody", "narrator", "slt") == 1
    assert capsys.readouterr().err.count("\n") == 2
    assert names(client) == ["slt"]


def test_a_folder_is_imported_and_what_fails_of_it_is_said(
    client: HiggsClient, server: StandInServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seconds in (("good", 2.0), ("short", 0.1), ("slt", 2.0)):
        soundfile.write(tmp_path / f"{name}.wav", tone(24000, seconds), 24000)
        (tmp_path / f"{name}.txt").write_text("la")
    (tmp_path / "profile.yaml").write_text("profiles:\n  deep: A deep voice.\n")
    assert run(server, "import", str(tmp_path)) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["deep: described: A deep voice.", "good:  2.00 s  la"]
    assert captured.err.splitlines()[1] == "higgs-tts: slt already exists"
    assert captured.err.startswith("higgs-tts: short: AudioFormatError: The reference audio is too short")
    assert names(client) == ["deep", "good", "slt"]


@pytest.mark.parametrize("words", [[], ["add"], ["add", "me", "--reference", "a.wav"], ["dance"], ["remove"]])
def test_words_that_make_no_sense_end_with_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        main(["voices", *words])
    assert status.value.code == 2
    assert "usage: higgs-tts voices" in capsys.readouterr().err


def test_what_is_exported_is_imported_as_it_was(
    client: HiggsClient, server: StandInServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "not yet" / "there"
    client.add_voice("zoë", Reference((tone(24000), 24000), "la\nlü"), metadata={"language": "日本語", "age": 7})
    client.add_voice("plain", Reference((tone(24000), 24000), "la"))
    client.add_voice("deep.1", metadata={"description": "A deep: voice.", "gender": "male"})
    before = {name: client.voice(name) for name in names(client)}
    assert run(server, "export", str(folder)) == 0
    assert {file.name for file in folder.iterdir()} == {
        "deep.1.json", "plain.txt", "plain.wav", "profile.yaml", "slt.txt", "slt.wav", "zoë.json", "zoë.txt", "zoë.wav",
    }  # fmt: skip
    for name in ("zoë", "plain", "deep.1"):
        client.remove_voice(name)
    capsys.readouterr()
    assert run(server, "import", str(folder)) == 0
    assert capsys.readouterr().err == "higgs-tts: slt already exists\n"
    for name, voice in before.items():
        again = client.voice(name)
        assert (again.transcript, again.metadata) == (voice.transcript, voice.metadata)
        assert (again.samples is None) == (voice.samples is None)
        if again.samples is not None and voice.samples is not None:
            np.testing.assert_array_equal(again.samples, voice.samples)


def test_an_export_leaves_alone_what_is_there_and_says_what_it_lacks(
    client: HiggsClient, server: StandInServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client.add_voice("config", Reference((tone(24000), 24000), "la"), metadata={"age": 7})
    (tmp_path / "slt.wav").write_bytes(b"mine")
    (tmp_path / "slt.txt").write_text("my words")
    (tmp_path / "profile.yaml").write_text("profiles:\n  other: A voice.\n")
    assert run(server, "export", str(tmp_path), "slt", "nobody", "config") == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "higgs-tts: slt already exists"
    assert "'nobody' is unknown" in said[1] and "config has a name that stands for something else" in said[2]
    assert (tmp_path / "slt.wav").read_bytes() == b"mine"
    client.add_voice("deep", metadata={"description": "Deep."})
    assert run(server, "export", str(tmp_path), "slt", "deep", "--replace") == 0
    assert soundfile.info(tmp_path / "slt.wav").frames == 24000
    client.add_voice("slt.2", metadata={"description": "Once a clip."})
    (tmp_path / "slt.2.flac").write_bytes((tmp_path / "slt.wav").read_bytes())
    (tmp_path / "slt.2.txt").write_text("la")
    assert run(server, "export", str(tmp_path), "slt.2", "--replace") == 0
    assert {voice.name for voice in read_voice_folder(tmp_path)} == {"deep", "other", "slt", "slt.2"}
    client.remove_voice("slt.2")
    client.add_voice("slt.2", Reference((tone(24000), 24000), "la"))
    assert run(server, "export", str(tmp_path), "slt.2", "--replace") == 0
    assert (tmp_path / "profile.yaml").read_text() == "profiles:\n  deep: Deep.\n  other: A voice.\n"


def test_a_bucket_needs_packages_that_a_folder_does_not(
    server: StandInServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)  # as where it is not installed
    monkeypatch.delitem(sys.modules, "higgs_tts.storage", raising=False)
    for action in ("export", "import"):
        assert run(server, action, "s3://speech/voices") == 1
        said = capsys.readouterr().err
        assert said.endswith("s3://speech/voices needs: pip install 'higgs-tts-client[storage]'\n")
        assert said.count("\n") == 1
    assert run(server, "export", str(tmp_path)) == 0
