"""Folders and buckets behind one address: the same calls, the same outcomes."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from higgs_tts import HiggsError, InvalidRequestError
from higgs_tts.storage import PIECE, AlreadyStoredError, Storage, StorageError

from tests.buckets import BUCKET, KEY_ID, SECRET, Buckets

METADATA = {"voice": "Zoë 100 %", "edges": "  two ", "seed": "7", "finish-reason": "stop"}


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return Storage(str(tmp_path / "not yet" / "made"))
    request.getfixturevalue("buckets")
    return Storage(f"s3://{BUCKET}/run 7/ü")


@pytest.fixture
def bucket(buckets: Buckets) -> Storage:
    return Storage(f"s3://{BUCKET}/run", seconds=20)


def broken(storage: Storage, pieces: int) -> None:
    """Write so many pieces of a file, and then break."""
    with suppress(KeyError), storage.growing("it") as file:
        for _ in range(9 * pieces):
            file.write(bytes(PIECE // 8))
        raise KeyError


@pytest.mark.parametrize("name", ["a.wav", "deep/er/ä ö#1%20.wav"])
def test_what_is_written_is_read_and_listed_and_removed(storage: Storage, name: str) -> None:
    assert list(storage.names()) == [] and storage.find(name) is None
    storage.write(name, b"sound", METADATA)
    found = storage.find(name)
    assert found is not None and (found.name, found.size, dict(found.metadata)) == (name, 5, METADATA)
    assert [(one.name, one.size) for one in storage.names()] == [(name, 5)]
    assert storage.read(name) == b"sound"
    storage.remove(name)
    storage.remove(name)
    assert list(storage.names()) == [] and storage.find(name) is None
    with pytest.raises(FileNotFoundError, match=r"\.wav"):
        storage.read(name)


@pytest.mark.parametrize("metadata", [{}, {"voice": "awb"}])
def test_metadata_go_with_what_they_are_of(storage: Storage, metadata: dict[str, str]) -> None:
    for write in (storage.write, written_growing(storage)):
        storage.write("a", b"1", METADATA)
        write("a", b"2", metadata)
        found = storage.find("a")
        assert found is not None and dict(found.metadata) == metadata
        assert [one.name for one in storage.names()] == ["a"]
    storage.write("b", b"3", METADATA)
    storage.copy("a", "b")
    found = storage.find("b")
    assert found is not None and dict(found.metadata) == metadata


def written_growing(storage: Storage) -> Callable[[str, bytes, dict[str, str]], None]:
    def write(name: str, data: bytes, metadata: dict[str, str]) -> None:
        with storage.growing(name, metadata) as file:
            file.write(data)

    return write


def test_a_folder_of_names_is_listed_alone(storage: Storage) -> None:
    for name in ("a/1", "a/b/2", "ab/3", "4"):
        storage.write(name, b"")
    assert {one.name for one in storage.names("a")} == {"a/1", "a/b/2"}


def test_a_local_file_goes_there_and_comes_back(storage: Storage, tmp_path: Path) -> None:
    content = bytes(range(256)) * 80_000  # three pieces
    (tmp_path / "there").write_bytes(content)
    storage.write("it", tmp_path / "there")
    storage.fetch("it", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    with pytest.raises(FileNotFoundError, match="nothing"):
        storage.write("it", tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="none"):
        storage.fetch("none", tmp_path / "back")
    assert storage.find("none") is None


def test_of_many_that_create_one_wins(storage: Storage) -> None:
    lost, barrier = [], threading.Barrier(8)

    def create(number: int) -> None:
        barrier.wait()
        try:
            storage.write("one", b"%d" % number, new=True)
        except AlreadyStoredError:
            lost.append(b"%d" % number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 7 and storage.read("one") not in lost


def test_only_what_was_looked_at_is_replaced(storage: Storage) -> None:
    storage.write("one", b"first")
    seen = storage.find("one")
    storage.write("one", b"second", replaces=seen)
    with pytest.raises(AlreadyStoredError):
        storage.write("one", b"third", replaces=seen)
    assert storage.read("one") == b"second"


@pytest.mark.parametrize("pieces", [0.001, 0.99, 2.5])
def test_a_growing_file_is_there_at_its_end(storage: Storage, pieces: float) -> None:
    block = bytes(1000)
    with storage.growing("it", {"early": "1"}) as file:
        for _ in range(round(pieces * PIECE / 1000)):
            file.write(block)
            if not file.is_on_its_way:
                file.metadata["late"] = "2"
        assert file.is_on_its_way == (pieces > 1)
        assert storage.find("it") is None
    found = storage.find("it")
    assert found is not None and found.size == 1000 * round(pieces * PIECE / 1000)
    assert dict(found.metadata) == {"early": "1", "late": "2"}


@pytest.mark.parametrize("pieces", [0, 2])
def test_a_growing_file_that_breaks_was_never_there(storage: Storage, pieces: int) -> None:
    broken(storage, pieces)
    assert list(storage.names()) == []


def test_a_broken_upload_leaves_no_pieces(buckets: Buckets, bucket: Storage) -> None:
    broken(bucket, 2)
    assert buckets.counted("POST") == 1 and buckets.unfinished_uploads == 0


def test_failing_requests_are_repeated(buckets: Buckets, bucket: Storage) -> None:
    buckets.fail_every = 2
    for number in range(4):
        bucket.write(f"new-{number}", b"sound", METADATA, new=True)
    with bucket.growing("long") as file:
        file.write(bytes(2 * PIECE))
    assert {one.name for one in bucket.names()} == {"new-0", "new-1", "new-2", "new-3", "long"}
    assert bucket.read("new-3") == b"sound"


def test_a_bucket_that_always_fails_is_told_in_a_sentence(buckets: Buckets) -> None:
    buckets.fail_every = 1
    storage = Storage(f"s3://{BUCKET}/run", seconds=0.5)
    with pytest.raises(StorageError) as caught:
        storage.write("a.wav", b"sound")
    assert str(caught.value) == f"s3://{BUCKET}/run/a.wav could not be reached or used: 500 Internal Server Error."
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (
            "403 Forbidden",
            "RequestTimeTooSkewed",
            "may not be used with these credentials: 403 Forbidden (RequestTimeTooSkewed)",
        ),
        ("401 Unauthorized", "AccessDenied", "may not be used with these credentials: 401 Unauthorized (AccessDenied)"),
        ("301 Moved Permanently", "PermanentRedirect", "could not be reached or used: the bucket is in another region"),
        ("400 Bad Request", "ExpiredToken", "could not be reached or used: 400 Bad Request (ExpiredToken)"),
        ("503 Service Unavailable", "SlowDown", "could not be reached or used: 503 Service Unavailable"),
    ],
)
def test_whatever_a_bucket_answers_is_told_in_a_sentence(buckets: Buckets, status: str, code: str, told: str) -> None:
    storage, buckets.answer = Storage(f"s3://{BUCKET}/run", seconds=0.5), (status, code)

    def grow() -> None:
        buckets.answer = None
        with storage.growing("a") as file:
            file.write(bytes(2 * PIECE))
            buckets.answer = (status, code)  # to what is still on its way, and to the end

    for call in (lambda: storage.read("a"), lambda: storage.write("a", b""), lambda: list(storage.names()), grow):
        with pytest.raises(StorageError) as caught:
            call()
        assert str(caught.value) in (f"s3://{BUCKET}/run/ {told}.", f"s3://{BUCKET}/run/a {told}.")
        assert caught.value.retryable == ("reached" in told)


def test_a_bucket_that_hangs_is_given_up(buckets: Buckets) -> None:
    buckets.open_gate.clear()
    with pytest.raises(StorageError, match="reached or used: no answer in time"):
        Storage(f"s3://{BUCKET}/run", seconds=0.5).read("a.wav")


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, buckets: Buckets) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="reached or used: Connection refused") as caught:
        Storage(f"s3://{BUCKET}/run", seconds=0.5).find("a.wav")
    assert KEY_ID not in str(caught.value) and SECRET not in str(caught.value)


def test_a_server_that_is_not_known(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://nobody.invalid:9000")
    with pytest.raises(StorageError, match="nobody knows its server's name"):
        Storage(f"s3://{BUCKET}/run", seconds=0.5).read("a.wav")


def test_a_bucket_that_is_not_there(buckets: Buckets) -> None:
    with pytest.raises(StorageError, match="There is no bucket s3://other/run") as caught:
        Storage("s3://other/run").write("a.wav", b"")
    assert not caught.value.retryable


def test_anybody_may_fetch_from_a_signed_address(bucket: Storage, tmp_path: Path) -> None:
    bucket.write("ä.wav", b"sound")
    address = bucket.presigned("ä.wav", 60)
    assert address is not None and SECRET not in address
    with urllib.request.urlopen(address) as answer:
        assert answer.read() == b"sound" and answer.headers["Content-Type"] == "audio/x-wav"
    assert Storage(str(tmp_path)).presigned("a.wav", 60) is None
    for seconds in (0, 0.5, -1, 7 * 24 * 3600 + 1, float("nan")):
        with pytest.raises(InvalidRequestError, match="signed for 1 to 604800 seconds"):
            bucket.presigned("ä.wav", seconds)


def test_a_profile_brings_keys_and_endpoint(buckets: Buckets, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in buckets.environment:
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(
        f"[profile voices]\nregion = eu-central-1\nendpoint_url = {buckets.url}\n"
        f"aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "voices")
    Storage(f"s3://{BUCKET}").write("a.wav", b"sound")
    assert list(buckets.objects) == ["a.wav"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="Connection refused"):  # the environment goes before the profile
        Storage(f"s3://{BUCKET}", seconds=0.5).read("a.wav")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InvalidRequestError, match="nobody"):
        Storage(f"s3://{BUCKET}")
    monkeypatch.setenv("AWS_PROFILE", "voices")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "config").write_text("[profile voices]\nregion = eu-central-1\n")
    with pytest.raises(InvalidRequestError, match="There are no keys for S3"):
        Storage(f"s3://{BUCKET}")
    (tmp_path / "config").write_text("[profile voices\n")
    with pytest.raises(InvalidRequestError, match="AWS's profile cannot be used: Unable to parse"):
        Storage(f"s3://{BUCKET}")


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/folder", "s3://", "s3:///a", "s3://a b/c", "http://host/bucket", "S3://speech/run", " s3://speech",
        "s3://speech:80/a", "s3://me@speech/a",
        "s3://speech/a//b", "s3://speech/../a", "s3://speech/./a", "s3://speech/a\nb", "", "file://",
    ],
)  # fmt: skip
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"address of a storage|names no bucket"):
        Storage(address)


@pytest.mark.parametrize("prefix", ["run#7", "run?x=1", "run%207", "a+b", "%2e%2e", " x ", "~*[b]{c}|^`<d>", "a\\b"])
def test_a_prefix_stands_for_itself(buckets: Buckets, prefix: str) -> None:
    Storage(f"s3://{BUCKET}/{prefix}").write("a.wav", b"sound")
    assert list(buckets.objects) == [f"{prefix}/a.wav"]
    assert Storage(f"s3://{BUCKET}").read(f"{prefix}/a.wav") == b"sound"


@pytest.mark.parametrize("address", [f"s3://{KEY_ID}:{SECRET}@speech/run", f"https://{KEY_ID}:{SECRET}@host/speech"])
def test_keys_in_an_address_are_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(InvalidRequestError, match="no keys") as caught:
        Storage(address)
    assert SECRET not in str(caught.value) and KEY_ID not in str(caught.value)


@pytest.mark.parametrize("name", ["a//b", "../a", "a/../b", ".", "a\nb", "a\0b", "\ud800"])
def test_names_that_are_none(storage: Storage, name: str) -> None:
    for call in (storage.find, storage.read, lambda name: storage.write(name, b"")):
        with pytest.raises(InvalidRequestError, match="names no file"):
            call(name)


def test_a_name_of_others_that_cannot_be_used_is_told(buckets: Buckets, bucket: Storage) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{buckets.url}/{BUCKET}/run/a//b", b"", method="PUT")).close()
    with pytest.raises(StorageError, match=r"cannot be used: .*run/a//b"):
        list(bucket.names())


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "127.0.0.1:9000",
        "localhost:9000",
        "http://",
        "http://[::",
        "http://[x]:9",
        "http://h:70000",
        "http://a b",
        f"http://me:{SECRET}@host",
    ],
)
def test_an_endpoint_that_is_none(buckets: Buckets, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(InvalidRequestError, match="AWS_ENDPOINT_URL is no address of a server") as caught:
        Storage(f"s3://{BUCKET}")
    assert SECRET not in str(caught.value)


def test_a_container_of_an_account() -> None:
    storage = Storage("abfss://speech@acc.dfs.core.windows.net/run 7")
    assert "speech" in repr(storage._store) and "acc" in repr(storage._store) and "run 7" in repr(storage._store)


def test_half_of_the_keys(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InvalidRequestError, match="provider's settings: Missing SecretAccessKey"):
        Storage(f"s3://{BUCKET}")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HiggsError, match=r"reached or used: Not a directory|File exists"):
        Storage(str(tmp_path / "file")).write("a.wav", b"")
