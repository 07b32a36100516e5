"""Bundles in a bucket: published whole or not at all, fetched and checked, kept for when the bucket is away."""

from __future__ import annotations

import ctypes
import json
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from higgs_tts.storage import Storage
from moto.backends import get_backend

from build import publish as publishing
from build.publish import main as publish
from serve.cache import Cache
from serve.errors import LaunchError
from serve.manifest import check_bundle
from serve.published import hold, version_of
from serve.source import Source
from tests.buckets import BUCKET, Buckets
from tests.serve.launching import MARK, ROOT, answers, command, read_until, wait_for
from tests.serve.small import make_bundle, write_manifest

ADDRESS = f"s3://{BUCKET}/bundles/small"
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1
WEIGHTS = 1 << 20  # bytes


@pytest.fixture
def buckets(buckets: Buckets, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Buckets:
    """What is started with them bears this test's mark."""
    monkeypatch.setenv(MARK, str(tmp_path))
    return buckets


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Beside its model's code it has weights, a file larger than a piece, and what is not to be published."""
    made = make_bundle(tmp_path / "bundle")
    version = made / "model_repository" / "echo" / "1"
    for number in range(6):
        (version / f"weights-{number}").write_bytes(bytes([number]) * WEIGHTS)
    (version / "large").write_bytes(bytes(range(256)) * (1 << 16))
    write_manifest(made)
    for stray in ("exports/lm/model.onnx", "model_repository/echo/1/__pycache__/model.pyc", "triton.log"):
        (made / stray).parent.mkdir(parents=True, exist_ok=True)
        (made / stray).write_text("stray")
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(ADDRESS, tmp_path / "cache")


def change(bundle: Path, number: int) -> None:
    """Another version of the bundle, which differs in one file."""
    (bundle / "model_repository" / "echo" / "1" / "weights-0").write_text(f"version {number}")
    shutil.rmtree(bundle / "model_repository" / "echo" / "1" / "__pycache__", ignore_errors=True)
    write_manifest(bundle)


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "model_repository" / name).read_bytes() for name in manifest(folder)["files"]}


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_bytes())


def run(module: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *words], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def refusal(cache: Cache) -> str:
    with pytest.raises(LaunchError) as caught:
        cache.bring()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_published_is_fetched_and_nothing_else(buckets: Buckets, bundle: Path, cache: Cache) -> None:
    assert publish([str(bundle), ADDRESS]) == 0
    assert not [name for name in buckets.objects if "stray" in name or "exports" in name or "pycache" in name]
    fetched = cache.bring()
    check_bundle(fetched, verify=True)
    assert files(fetched) == files(bundle) and manifest(fetched) == manifest(bundle)
    buckets.requests.clear()
    assert cache.bring() == fetched
    assert len(buckets.requests) == 1, "only the manifest is read again"


def test_a_folder_does_as_well_as_a_bucket(bundle: Path, tmp_path: Path) -> None:
    for number in range(3):
        change(bundle, number)
        assert publish([str(bundle), str(tmp_path / "published")]) == 0
        assert files(Cache(f"file://{tmp_path}/published", tmp_path / "cache").bring()) == files(bundle)


def test_only_what_changed_is_uploaded_and_fetched(buckets: Buckets, bundle: Path, cache: Cache) -> None:
    for number in range(2):
        change(bundle, number)
        buckets.requests.clear()
        assert publish([str(bundle), ADDRESS]) == 0
        first, received = cache.bring(), buckets.counted("GET")
    assert received < 6, "the manifests, the list and one file"
    assert files(first) == files(bundle)
    buckets.requests.clear()
    assert publish([str(bundle), ADDRESS]) == 0
    assert buckets.counted("PUT") == 1, "the time of the version"


@pytest.mark.parametrize("kept", ["0", "1"])
def test_versions_are_removed_when_asked_but_the_last_two(buckets: Buckets, bundle: Path, kept: str) -> None:
    for marked in ("bundles/small/", "bundles/small/versions/"):
        get_backend("s3")["123456789012"]["aws"].put_object(BUCKET, marked, b"")
    for number in range(4):
        change(bundle, number)
        assert publish([str(bundle), ADDRESS, "--remove-older", kept]) == 0
    versions = {name.split("versions/")[1].split("/")[0] for name in buckets.objects if "versions/" in name} - {""}
    assert len(versions) == (2 if kept == "0" else 4)


@pytest.mark.parametrize("hours", ["nan", "inf", "-1", "1e9"])
def test_hours_that_are_none_are_refused_before_anything_is_published(
    buckets: Buckets, bundle: Path, hours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        publish([str(bundle), ADDRESS, f"--remove-older={hours}"])
    assert f"{hours} is none; give hours" in capsys.readouterr().err
    assert buckets.objects == {}


def test_a_bundle_that_is_not_whole_is_not_published(
    buckets: Buckets, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "model_repository" / "echo" / "1" / "weights-1").write_bytes(bytes(WEIGHTS))
    assert publish([str(bundle), ADDRESS]) == 1
    assert "weights-1 is not the file that was built" in capsys.readouterr().err
    assert publish([str(bundle / "none"), ADDRESS]) == 1
    assert "is not a bundle" in capsys.readouterr().err
    assert publish([str(bundle), "ftp://host/folder"]) == 1
    assert "is no address of a storage" in capsys.readouterr().err
    assert buckets.objects == {}
    with pytest.raises(SystemExit):
        publish([str(bundle), ""])


def test_a_publisher_that_is_killed_leaves_the_old_bundle_in_force(
    buckets: Buckets, bundle: Path, cache: Cache
) -> None:
    change(bundle, 0)
    assert publish([str(bundle), ADDRESS]) == 0
    old = files(bundle)
    for number in range(6):
        (bundle / "model_repository" / "echo" / "1" / f"weights-{number}").write_bytes(bytes([99, number]) * WEIGHTS)
    write_manifest(bundle)
    buckets.requests.clear()
    process = run("build.publish", str(bundle), ADDRESS)
    wait_for(lambda: buckets.counted("PUT") >= 3, 60)
    buckets.open_gate.clear()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    buckets.open_gate.set()
    assert files(cache.bring()) == old
    assert publish([str(bundle), ADDRESS]) == 0
    assert files(cache.bring()) == files(bundle)


def test_of_two_publishers_one_wins_and_the_other_is_told(
    buckets: Buckets, bundle: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Both have uploaded everything before the first puts its bundle in force."""
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    change(other, 1)
    both, outcomes, upload = threading.Barrier(2), [], publishing._upload

    def uploaded(*words: object) -> None:
        upload(*words)
        both.wait(60)

    monkeypatch.setattr(publishing, "_upload", uploaded)
    threads = [
        threading.Thread(target=lambda one=one: outcomes.append((publish([str(one), ADDRESS]), one)))
        for one in (bundle, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(code for code, _ in outcomes) == [0, 1]
    assert "another bundle was published to" in capsys.readouterr().err
    (winner,) = [one for code, one in outcomes if code == 0]
    assert files(cache.bring()) == files(winner)


def damage(name: str, flip: bool = True) -> None:
    """Flip a byte of an object, or remove it."""
    backend = get_backend("s3")["123456789012"]["aws"]
    (key,) = [key for key in backend.buckets[BUCKET].keys if key.endswith(name)]
    stored = backend.get_object(BUCKET, key)
    assert stored is not None
    content = bytearray(stored.value)
    backend.delete_object(BUCKET, key)
    if flip:
        content[len(content) // 2] ^= 1
        backend.put_object(BUCKET, key, bytes(content))


def test_a_flipped_byte_is_refused_and_mended(
    buckets: Buckets, bundle: Path, cache: Cache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(bundle, 0)
    assert publish([str(bundle), ADDRESS]) == 0
    damage("/large")
    assert "large is not the file that was published: its SHA-256 differs" in refusal(cache)
    assert cache.present() is None
    process = run("serve", ADDRESS, "--cache", str(tmp_path / "other"), "--gateway", "off")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and out == ""
    assert err.startswith("serve: s3://") and err.count("\n") == 1 and "/large is not the file" in err
    assert publish([str(bundle), ADDRESS, "--all"]) == 0
    old = cache.bring()
    change(bundle, 1)
    assert publish([str(bundle), ADDRESS]) == 0
    damage(f"{version_of((bundle / 'manifest.json').read_bytes())}/model_repository/echo/1/weights-0", False)
    assert "weights-0 is missing; publish the bundle again" in refusal(cache)
    assert cache.present() == old, "the last whole one is still there"


def test_a_byte_that_flips_on_the_disk_is_found_when_asked(buckets: Buckets, bundle: Path, cache: Cache) -> None:
    assert publish([str(bundle), ADDRESS]) == 0
    fetched = cache.bring()
    (fetched / "model_repository" / "echo" / "1" / "weights-1").write_bytes(bytes(WEIGHTS))
    (fetched / "model_repository" / "echo" / "1" / "weights-2").unlink()
    buckets.requests.clear()
    check_bundle(cache.bring(verify=True), verify=True)
    assert buckets.counted("GET") == 3, "the manifest and two files"


def test_a_fetch_that_is_killed_goes_on(buckets: Buckets, bundle: Path, tmp_path: Path) -> None:
    assert publish([str(bundle), ADDRESS]) == 0
    folder = tmp_path / "cache"
    buckets.requests.clear()
    process = run("serve.cache", ADDRESS, str(folder))
    wait_for(lambda: len(list(folder.rglob("weights-*"))) >= 2, 60)
    buckets.open_gate.clear()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    buckets.open_gate.set()
    cache = Cache(ADDRESS, folder)
    assert cache.present() is None
    (part,) = folder.glob("versions/*.part")
    started = part / "model_repository" / "echo" / "1" / "large.unchecked"
    (part / "model_repository" / "echo" / "1" / "large").unlink(missing_ok=True)
    started.write_bytes((bundle / "model_repository" / "echo" / "1" / "large").read_bytes()[: 5 << 20])
    assert files(cache.bring()) == files(bundle)
    assert {path.name for path in (folder / "versions").iterdir()} == {part.stem}


def test_of_the_cache_two_versions_stay_and_what_is_served(buckets: Buckets, bundle: Path, cache: Cache) -> None:
    kept: list[Path] = []
    locks: list[Any] = []
    for number in range(5):
        change(bundle, number)
        assert publish([str(bundle), ADDRESS]) == 0
        kept.append(cache.bring())
        locks = locks or [hold(kept[0])]
    assert [folder.exists() for folder in kept] == [True, False, False, True, True]


def test_without_the_bucket_what_was_fetched_before_is_served(
    buckets: Buckets, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ["--cache", str(tmp_path / "cache"), "--state", str(tmp_path / "state")]
    assert publish([str(bundle), ADDRESS]) == 0
    with command(ADDRESS, *places, seconds=120) as (process, ports):
        read_until(process.stdout, "speak:")
        assert answers(f"127.0.0.1:{ports.http}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with command(ADDRESS, *places, seconds=120) as (process, ports):
        said = read_until(process.stdout, "serving what was fetched before")
        assert f"{ADDRESS}/manifest.json could not be reached or used: Connection refused" in said
        read_until(process.stdout, "speak:")
        assert answers(f"127.0.0.1:{ports.http}")
    with command(ADDRESS, "--cache", str(tmp_path / "none"), seconds=120) as (process, _):
        out, _ = process.communicate(timeout=100)
        assert process.returncode == 1
        assert out.startswith("serve: ") and out.count("\n") == 1 and "Connection refused" in out


def test_a_cache_that_may_only_be_read_is_served(buckets: Buckets, bundle: Path, tmp_path: Path) -> None:
    """As one in an image may be; not even root may write, without the capability to override what a mode says."""
    assert publish([str(bundle), ADDRESS]) == 0
    folder = Source(ADDRESS, tmp_path / "cache").bring()
    (folder / ".in-use").unlink()
    for part in (folder, *folder.parents[:2]):
        part.chmod(0o555)
    bring = "import sys, pathlib, serve.source as it; print(it.Source(sys.argv[1], pathlib.Path(sys.argv[2])).bring())"
    try:
        done = subprocess.run(
            [sys.executable, "-c", bring, ADDRESS, str(tmp_path / "cache")],
            cwd=ROOT, text=True, capture_output=True, check=False,
            preexec_fn=lambda: ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0),
        )  # fmt: skip
    finally:
        for part in (folder, *folder.parents[:2]):
            part.chmod(0o755)
    assert done.stdout == f"{folder}\n", done.stderr
    assert "Permission denied" in done.stderr and "serving what was fetched before" in done.stderr


def test_a_new_bundle_is_found_by_looking_and_a_bad_one_leaves_the_old(
    buckets: Buckets, bundle: Path, tmp_path: Path
) -> None:
    places = ["--cache", str(tmp_path / "cache"), "--state", str(tmp_path / "state"), "--update", "0.5"]
    change(bundle, 0)
    assert publish([str(bundle), ADDRESS]) == 0
    with command(ADDRESS, *places, seconds=200) as (process, ports):
        assert f"metrics http://127.0.0.1:{ports.metrics}/metrics" in read_until(process.stdout, "ready:")
        code = bundle / "model_repository" / "echo" / "1" / "model.py"
        good = code.read_text()
        code.write_text(good.replace("        pass", "        raise RuntimeError('bad')"))
        write_manifest(bundle)
        assert publish([str(bundle), ADDRESS]) == 0
        assert "RuntimeError: bad" in read_until(process.stdout, "still serving")
        assert answers(f"127.0.0.1:{ports.http}")
        code.write_text(good)
        change(bundle, 1)
        assert publish([str(bundle), ADDRESS]) == 0
        read_until(process.stdout, "beside the old one")
        read_until(process.stdout, "ready again")
        assert all(answers(f"127.0.0.1:{ports.http}") for _ in range(20))
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    "name",
    ["../../climbed", "/etc/climbed", "echo/../../climbed", "climbed", "echo//climbed", "echo/./climbed", "echo/\0",
     "echo/\ud800", "echo/a\n"],
)  # fmt: skip
def test_a_manifest_that_names_files_elsewhere_is_refused(
    buckets: Buckets, bundle: Path, cache: Cache, name: str
) -> None:
    content = manifest(bundle)
    content["files"][name] = {"bytes": 0, "sha256": ""}
    Storage(ADDRESS).write("manifest.json", json.dumps(content).encode())
    assert f"names {name!r}, which is no file of a model repository" in refusal(cache)
    for damaged in (b"{", b"[]", b'{"format": 1, "requires": {}, "files": []}'):
        Storage(ADDRESS).write("manifest.json", damaged)
        refusal(cache)


@pytest.mark.parametrize(
    "wrong", [{"bytes": "5"}, {"bytes": 5.0}, {"bytes": True}, {"bytes": None}, {"sha256": None}, {"sha256": 5}]
)
def test_a_damaged_manifest_leaves_what_was_fetched_before(
    buckets: Buckets, bundle: Path, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    assert publish([str(bundle), ADDRESS]) == 0
    before = Cache(ADDRESS, tmp_path / "cache").bring()
    content = manifest(bundle)
    content["files"]["echo/config.pbtxt"] |= wrong
    Storage(ADDRESS).write("manifest.json", json.dumps(content).encode())
    out, err = (process := run("serve.cache", ADDRESS, str(tmp_path / "cache"))).communicate(timeout=60)
    assert (process.returncode, out) == (0, f"{before}\n")
    assert "manifest.json is damaged" in err and err.count("\n") == 1


def test_nothing_is_published_there(buckets: Buckets, cache: Cache) -> None:
    assert refusal(cache) == f"nothing is published at {ADDRESS}: make publish BUNDLE=… TO={ADDRESS}"


def test_a_full_disk_is_said_in_one_sentence(buckets: Buckets, bundle: Path, tmp_path: Path) -> None:
    """A limit on the size of a file fails a write as a full disk does, in the middle, and needs no disk to fill."""
    assert publish([str(bundle), ADDRESS]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "serve.cache", ADDRESS, str(tmp_path / "cache")],
        cwd=ROOT, text=True, capture_output=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (WEIGHTS // 2, WEIGHTS // 2)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no room for the bundle (File too large); name another with --cache" in done.stderr
    assert done.stderr.count("\n") == 1
