"""A bundle that does not fit this machine is refused in one sentence, before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve.errors import LaunchError
from serve.manifest import check_bundle
from tests.serve.small import make_bundle, write_manifest


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def refusal(bundle: Path, verify: bool = False) -> str:
    with pytest.raises(LaunchError) as error:
        check_bundle(bundle, verify)
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


def test_a_fitting_bundle_gives_its_repository(bundle: Path) -> None:
    assert check_bundle(bundle, verify=True) == bundle / "model_repository"


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert "is not a bundle (no manifest.json)" in refusal(tmp_path)
    assert "is not a bundle (no manifest.json)" in refusal(tmp_path / "missing")


@pytest.mark.parametrize(
    "text, words", [("{", "is not valid JSON"), ("[]", "format None"), ('{"format": 2}', "format 2")]
)
def test_a_manifest_of_another_kind(bundle: Path, text: str, words: str) -> None:
    (bundle / "manifest.json").write_text(text)
    assert words in refusal(bundle)


@pytest.mark.parametrize(
    "requires, words",
    [
        ({"python": "3.9"}, "built with Python 3.9, this is Python 3."),
        ({"numpy_below": "1"}, "is installed; Triton needs one below 1"),
        ({"packages": {"onnxruntime": "0.1.0"}}, "built with onnxruntime 0.1.0, 1."),
        ({"packages": {"no-such-package": "1.0"}}, "no-such-package is not installed"),
        ({"tensorrt": "10.0.0.0"}, "tensorrt is not installed"),
    ],
)
def test_a_bundle_built_for_another_installation(bundle: Path, requires: dict[str, Any], words: str) -> None:
    write_manifest(bundle, **requires)
    assert words in refusal(bundle)


def test_a_patch_version_makes_no_difference(bundle: Path) -> None:
    from importlib.metadata import version  # noqa: PLC0415

    major, minor, *_ = version("onnxruntime").split(".")
    write_manifest(bundle, packages={"onnxruntime": f"{major}.{minor}.999"})
    check_bundle(bundle)


def test_a_gpu_bundle_where_no_gpu_is_visible(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest(bundle, gpu_architecture="sm90")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(bundle) == "the bundle needs an sm90 GPU; none is visible"


def test_a_gpu_bundle_on_another_gpu(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest(bundle, gpu_architecture="sm90")
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 8.9\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert refusal(bundle) == "the bundle needs an sm90 GPU; there is sm89"
    fake.write_text("#!/bin/sh\necho 9.0\n")
    check_bundle(bundle)


def test_missing_and_changed_files(bundle: Path) -> None:
    model = bundle / "model_repository" / "echo" / "1" / "model.py"
    original = model.read_text()
    model.write_text(original + "#")
    assert "bytes, the manifest says" in refusal(bundle)
    model.write_text(original.replace("print", "PRINT"))
    check_bundle(bundle)  # same size: only the hash tells, and hashing gigabytes at every start is too slow
    assert "SHA-256 differs" in refusal(bundle, verify=True)
    model.unlink()
    assert "model.py is missing" in refusal(bundle)
