"""Voices of one server go to another by way of a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from higgs_tts import HiggsClient, Reference
from higgs_tts.cli.command import main
from higgs_tts.storage import Storage

from tests.buckets import BUCKET, Buckets
from tests.client.standin.server import StandInServer

PLACE = f"s3://{BUCKET}/our voices"
CLIP = Reference((np.sin(np.arange(48000, dtype=np.float32) / 10), 24000), "la")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInServer]:
    standin = StandInServer(tmp_path_factory.mktemp("triton"))
    yield standin
    standin.kill()


def test_voices_are_exported_to_a_bucket_and_imported_from_it(
    server: StandInServer, buckets: Buckets, capsys: pytest.CaptureFixture[str]
) -> None:
    with HiggsClient(server.url) as client:
        client.add_voice("zoë", CLIP, metadata={"language": "日本語"})
        client.add_voice("deep", metadata={"description": "Deep.", "gender": "male"})
        words = ["--url", server.url]
        assert main(["voices", "export", PLACE, "zoë", *words]) == 0
        assert main(["voices", "export", PLACE, "deep", "zoë", *words]) == 0
        assert capsys.readouterr().err == "higgs-tts: zoë already exists\n"
        assert {stored.name for stored in Storage(PLACE).names()} == {
            "profile.yaml", "deep.json", "zoë.json", "zoë.txt", "zoë.wav"
        }  # fmt: skip
        before = client.voice("zoë")
        for name in ("zoë", "deep"):
            client.remove_voice(name)
        assert main(["voices", "import", PLACE, *words]) == 0
        after, deep = client.voice("zoë"), client.voice("deep")
        assert (after.transcript, after.metadata) == ("la", {"language": "日本語"})
        assert deep.metadata == {"description": "Deep.", "gender": "male"}
        np.testing.assert_array_equal(after.samples, before.samples)
        client.add_voice("zoë", metadata={"description": "Bright."}, replace=True)
        assert main(["voices", "export", PLACE, "zoë", "--replace", *words]) == 0
        assert {stored.name for stored in Storage(PLACE).names()} == {"profile.yaml", "deep.json"}


def test_a_voice_is_there_where_import_would_find_it(
    server: StandInServer, buckets: Buckets, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(PLACE)
    storage.write("old/anna.wav", b"of another folder")
    storage.write("config.json", b'{"bob": {"transcript": "la", "audio_file": "clips/b.wav"}}')
    with HiggsClient(server.url) as client:
        for name in ("anna", "bob"):
            client.add_voice(name, CLIP)
        assert main(["voices", "export", PLACE, "anna", "bob", "--url", server.url]) == 0
        for name in ("anna", "bob"):
            client.remove_voice(name)
    assert capsys.readouterr().err == "higgs-tts: bob already exists\n"
    assert {stored.name for stored in storage.names()} == {"old/anna.wav", "config.json", "anna.wav", "anna.txt"}


def test_a_place_without_voices_is_said(
    server: StandInServer, buckets: Buckets, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["voices", "import", f"s3://{BUCKET}/none", "--url", server.url]) == 1
    assert capsys.readouterr().err == f"higgs-tts: InvalidRequestError: There are no voices at s3://{BUCKET}/none.\n"


def test_a_key_that_climbs_out_of_the_folder_is_not_followed(
    server: StandInServer, buckets: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    from moto.backends import get_backend  # noqa: PLC0415

    get_backend("s3")["123456789012"]["aws"].put_object(BUCKET, "evil/../../climbed.txt", b"no")
    get_backend("s3")["123456789012"]["aws"].put_object(BUCKET, "evil/a.txt", b"no")
    assert main(["voices", "import", f"s3://{BUCKET}/evil", "--url", server.url]) in (0, 1)
    assert list(tmp_path.rglob("climbed*")) == []
