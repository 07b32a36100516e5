"""A bundle that does not fit this machine is refused in one sentence, before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serve.errors import DeviceError, LaunchError
from serve.gpu import parse
from serve.manifest import Servable, check_bundle
from tests.serve.small import driver, make_bundle, write_manifest


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
    assert check_bundle(bundle, verify=True) == Servable(bundle / "model_repository", gpus=())


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


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Call with what nvidia-smi shall print."""
    folder = tmp_path / "driver"
    folder.mkdir()
    driver(folder, monkeypatch, f"cat {folder}/lines")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return (folder / "lines").write_text


def test_a_gpu_bundle_where_no_gpu_is_visible(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest(bundle, {"target": "h100"}, gpu_architecture="sm90")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(bundle).startswith(
        "the h100 bundle cannot be served here: a GPU of compute capability 9.0 is needed and this machine shows none"
    )


def test_a_gpu_bundle_on_another_gpu(bundle: Path, gpus: Callable[[str], object]) -> None:
    write_manifest(bundle, gpu_architecture="sm90")
    gpus("0, GPU-1f, NVIDIA L4, 8.9, 23034, 22563, 550.90.07")
    with pytest.raises(DeviceError):
        check_bundle(bundle)
    assert "9.0 is needed; there is GPU 0 (NVIDIA L4, compute capability 8.9, 22.0 of 22.5 GiB free)" in refusal(bundle)
    gpus("0, GPU-2f, NVIDIA H100 80GB HBM3, 9.0, 81559, 81008, 550.90.07")
    (chosen,) = check_bundle(bundle).gpus
    assert chosen.uuid == "GPU-2f"
    write_manifest(bundle, gpu_architecture="sm80+", gpus=2)
    gpus("0, GPU-1f, NVIDIA L4, 8.9, 23034, 22563, 1\n1, GPU-2f, NVIDIA H100 80GB HBM3, 9.0, 81559, 81008, 1")
    assert [gpu.uuid for gpu in check_bundle(bundle).gpus] == ["GPU-2f", "GPU-1f"]


def test_a_gpu_bundle_where_others_hold_the_memory(bundle: Path, gpus: Callable[[str], object]) -> None:
    write_manifest(bundle, gpu_architecture="sm90", gpu_memory_bytes=40 * 2**30)
    gpus("0, GPU-2f, NVIDIA H100 80GB HBM3, 9.0, 81559, 20480, 550.90.07")
    assert "40.0 GiB of free GPU memory are needed; there is GPU 0" in refusal(bundle)
    assert "20.0 of 79.6 GiB free" in refusal(bundle)
    mine = tuple(parse("0, GPU-2f, NVIDIA H100 80GB HBM3, 9.0, 81559, 20480, 550.90.07"))
    assert check_bundle(bundle, gpus=mine).gpus == mine, "a restart keeps the GPU, whose memory may not be free yet"


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
