"""Consents over HTTP, in OpenAI's shapes; they need no Triton."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import consent_folder
from gateway.clips import MAX_BYTES
from gateway.consent_folder import ConsentFolder
from gateway.settings import Settings
from tests.gateway import bombs
from tests.gateway.running import caller, running

PATH = "/v1/audio/voice_consents"
NOBODY = "127.0.0.1:9"  # no Triton
RECORDING = bombs.silence("wav", "pcm_s16le", 1)


@pytest.fixture(scope="module")
def kept_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "consents"


@pytest.fixture(scope="module")
def gateway(kept_in: Path) -> Iterator[str]:
    with running(Settings(triton=NOBODY, consents=kept_in)) as url:
        yield url


@pytest.fixture
def folder(kept_in: Path) -> Path:
    """Missing, as at the very first."""
    shutil.rmtree(kept_in, ignore_errors=True)
    return kept_in


@pytest.fixture
def keeper(gateway: str, folder: Path) -> Iterator[httpx.Client]:
    with caller(gateway) as client:
        yield client


def give(http: httpx.Client, recording: bytes = RECORDING, **fields: Any) -> httpx.Response:
    data = {"name": "Ann", "language": "en-GB"} | fields
    return http.post(PATH, data=data, files={"recording": ("a.mp3", recording, "audio/mpeg")})


def fault(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return answer.status_code, error["param"], error["message"]


def test_a_consent_lives_as_openai_says(keeper: httpx.Client, folder: Path) -> None:
    made = give(keeper).json()
    assert made == {"object": "audio.voice_consent", "name": "Ann", "language": "en-GB"} | {
        key: made[key] for key in ("id", "created_at")
    }
    assert re.fullmatch(r"cons_[0-9a-f]{24}", made["id"]) and made["created_at"] > 1_700_000_000
    path = f"{PATH}/{made['id']}"
    assert keeper.get(path).json() == made
    assert keeper.post(path, json={"name": "Anne"}).json() == made | {"name": "Anne"}
    assert keeper.get(path).json() == made | {"name": "Anne"}
    kept = {file.suffix: file for file in folder.iterdir() if file.stem == made["id"]}
    assert kept[".recording"].read_bytes() == RECORDING
    record = json.loads(kept[".json"].read_text())
    assert record["sha256"] == hashlib.sha256(RECORDING).hexdigest()
    assert record["media_type"] == "audio/wav", "whatever was declared"
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert keeper.delete(path).json() == {"id": made["id"], "object": "audio.voice_consent", "deleted": True}
    assert [file.name for file in folder.iterdir()] == [".lock"]
    for answer in (keeper.get(path), keeper.delete(path), keeper.post(path, json={"name": "x"})):
        assert fault(answer) == (404, "consent", f"There is no consent '{made['id']}'.")


def test_pages_go_from_the_newest_to_the_oldest(keeper: httpx.Client) -> None:
    assert keeper.get(PATH).json() == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False
    }  # fmt: skip
    made = [give(keeper, name=name).json() for name in ("first", "second", "third")][::-1]
    page = keeper.get(PATH, params={"limit": 2}).json()
    assert page["data"] == made[:2] and page["has_more"] is True
    assert (page["first_id"], page["last_id"]) == (made[0]["id"], made[1]["id"])
    keeper.delete(f"{PATH}/{page['last_id']}")
    rest = keeper.get(PATH, params={"limit": 2, "after": page["last_id"]}).json()
    assert rest["data"] == made[2:] and rest["has_more"] is False
    for limit in (0, 101, "x"):
        assert keeper.get(PATH, params={"limit": limit}).status_code == 400


@pytest.mark.parametrize(
    "fields, status, param",
    [
        ({"name": ""}, 400, "name"),
        ({"name": "x" * 201}, 400, "name"),
        ({"language": "../en"}, 400, "language"),
        ({"recording": b"no sound"}, 400, "recording"),
        ({"recording": bombs.table(50_000_000, 1)}, 400, "recording"),
        ({"recording": bombs.wav(48_000, 1, 0, b"")}, 400, "recording"),
        ({"recording": bytes(MAX_BYTES + 1)}, 413, "recording"),
        ({"name": "x" * 70_000}, 400, None),
        ({f"field{n}": "x" for n in range(40)}, 400, None),
        ({"recording": bytes(17 * 2**20)}, 413, None),
    ],
    ids=range(10),
)
def test_forms_that_are_wrong_leave_nothing(
    keeper: httpx.Client, folder: Path, fields: dict[str, Any], status: int, param: str | None
) -> None:
    told = fault(give(keeper, **fields))
    assert told[:2] == (status, param) and len(told[2]) < 400
    assert list(folder.glob("cons_*")) == []
    assert give(keeper).status_code == 200


def test_bodies_that_are_no_such_form(keeper: httpx.Client) -> None:
    assert fault(keeper.post(PATH, json={"name": "Ann"}))[::2] == (
        415, "The body is not a form; send it as multipart/form-data."
    )  # fmt: skip
    broken = {"content-type": "multipart/form-data"}
    assert "boundary" in fault(keeper.post(PATH, content=b"x", headers=broken))[2]
    torn = {"content-type": "multipart/form-data; boundary=x"}
    assert fault(keeper.post(PATH, content=b"no boundary here", headers=torn))[0] == 400
    text = keeper.post(PATH, files={"recording": (None, "text"), "name": (None, "a"), "language": (None, "en")})
    assert fault(text)[:2] == (400, "recording")
    two = [("recording", ("a", RECORDING)), ("recording", ("b", RECORDING))]
    assert "Maximum number of files is 1" in fault(keeper.post(PATH, files=two))[2]


def test_large_forms_touch_no_disk_and_odd_ones_no_time(
    keeper: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "missing"))
    large = bombs.wav(48_000, 1, 2_400_000, b"\1\2" * 1_200_000)
    made = give(keeper, large).json()
    assert (folder / f"{made['id']}.recording").read_bytes() == large
    head = b'--x\r\nContent-Disposition: form-data; name="a"; filename="'
    began = time.monotonic()
    for body in (head + b"a" * 15 * 2**20, b"--x\r\n" + b"a: b\r\n" * 2**21, (head + b'"\r\n\r\n\r\n') * 2**17):
        answer = keeper.post(PATH, content=body, headers={"content-type": "multipart/form-data; boundary=x"})
        assert fault(answer)[0] == 400
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("number", ["cons_x", "..%2F..%2Fetc%2Fpasswd", "cons_" + "0" * 24, "cons_" + "0" * 24 + "%0A"])
def test_ids_lead_nowhere_else(keeper: httpx.Client, number: str) -> None:
    assert keeper.get(f"{PATH}/{number}").status_code == 404
    assert keeper.delete(f"{PATH}/{number}").status_code == 404


def test_without_a_folder_there_are_none() -> None:
    with running(Settings(triton=NOBODY)) as url, caller(url) as http:
        for answer in (give(http), http.get(PATH), http.get(f"{PATH}/cons_x"), http.delete(f"{PATH}/cons_x")):
            assert answer.status_code == 403 and answer.json()["error"]["code"] == "no_consents"


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(triton=NOBODY, consents=tmp_path / "file" / "consents")
    with running(settings) as url, caller(url) as http:
        status, _, sentence = fault(give(http))
        assert status == 403 and sentence.startswith("The gateway cannot use its folder of consents")
        assert str(tmp_path) not in sentence


def test_what_a_killed_writer_left_goes_and_what_others_put_there_stays(folder: Path) -> None:
    kept = ConsentFolder(folder)
    kept.add("first", "en", b"1", "audio/wav")
    left = [folder / f".cons_{'0' * 24}.json", folder / f"cons_{'0' * 24}.recording"]
    others = [folder / ".gitkeep", folder / "notes.recording", folder / f"cons_{'1' * 24}.json"]
    for file in (*left, *others):
        file.write_text("{")
    kept.add("second", "en", b"2", "audio/wav")
    assert not any(file.exists() for file in left) and all(file.exists() for file in others)
    assert [one.name for one in kept.page(None, 10)[0]] == ["second", "first"]


def test_several_gateways_share_a_folder(folder: Path) -> None:
    """Each with its own idea of it, as processes have."""
    number = ConsentFolder(folder).add("shared", "en", b"0", "audio/wav").id

    def work(name: str) -> None:
        mine = ConsentFolder(folder)
        for turn in range(10):
            made = mine.add(name, "en", name.encode(), "audio/wav")
            assert mine.rename(number, f"{name} {turn}") is not None
            if turn % 2:
                assert mine.remove(made.id)

    threads = [threading.Thread(target=work, args=(f"gateway {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found, more = ConsentFolder(folder).page(None, 100)
    assert len(found) == 1 + 4 * 5 and not more
    for one in found[:-1]:
        assert (folder / f"{one.id}.recording").read_bytes() == one.name.encode()
    assert len(list(folder.iterdir())) == 2 * len(found) + 1


def test_the_folder_is_not_filled_without_end(keeper: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent_folder, "MOST", 1)
    assert give(keeper).status_code == 200
    assert give(keeper).status_code == 403
