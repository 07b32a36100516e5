"""A whole bundle for a GeForce card, compiled by the real TensorRT-RTX: it needs no GPU until it is served."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serve.errors import DeviceError
from serve.gpu import query_gpus
from serve.manifest import check_bundle

pytestmark = pytest.mark.long

pytest.importorskip("tensorrt_rtx_bindings")

ROOT = Path(__file__).resolve().parents[2]


def build(checkpoint: Path, output: Path, *options: str) -> str:
    command = [sys.executable, "-m", "build", "--target", "rtx4090", "--checkpoint", str(checkpoint)]
    command += ["--output", str(output), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rtx_bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("rtx") / "rtx4090"
    said = build(checkpoint, output)
    assert "step 1 of 2: language model with tensorrt-rtx, 16 streams of 4096 positions: done in" in said
    assert "step 2 of 2: codec with tensorrt-rtx, 8 windows a call: done in" in said
    return output


def test_a_geforce_bundle_holds_engines_and_no_exports(rtx_bundle: Path, figure: Callable[[str, str], None]) -> None:
    manifest = json.loads((rtx_bundle / "manifest.json").read_text())
    files = manifest["files"]
    assert {"lm/1/weights/lm.engine", "lm/1/weights/lm.json"} <= files.keys()
    assert {"codec_decoder/1/decoder.engine", "codec_encoder/1/encoder.engine"} <= files.keys()
    assert not [name for name in files if name.endswith((".onnx", ".weights", ".bin"))]
    assert not [name for name in files if "_plan/" in name]
    for model, engine in (("lm", "tensorrt-rtx"), ("codec_decoder", "tensorrt-rtx"), ("codec_encoder", "tensorrt-rtx")):
        settings = json.loads((rtx_bundle / "model_repository" / model / "1" / "settings.json").read_text())
        assert settings["engine"] == engine
    requires = manifest["requires"]
    assert (requires["gpu_architecture"], requires["numpy_below"]) == ("sm89", "2")
    assert requires["packages"]["tensorrt-rtx-cu12-bindings"].startswith("1.")
    assert manifest["built_on"] is None, "compiled ahead of time"
    megabytes = {Path(name).name: file["bytes"] / 1e6 for name, file in files.items() if name.endswith(".engine")}
    seconds = manifest["compiled_in_seconds"]
    figure("the demo's GeForce bundle", ", ".join(f"{name} {size:.0f} MB" for name, size in megabytes.items()))
    figure("compiling it", f"language model {seconds['lm']:.0f} s, codec {seconds['codec']:.0f} s")


def test_it_is_left_alone_while_it_is_up_to_date_and_engines_survive_other_voices(
    rtx_bundle: Path, checkpoint: Path, voices: Path
) -> None:
    assert build(checkpoint, rtx_bundle) == f"{rtx_bundle} is up to date\n"
    said = build(checkpoint, rtx_bundle, "--voices", str(voices))
    assert "step" not in said
    assert (rtx_bundle / "model_repository" / "prompt" / "1" / "voices" / "tone.wav").is_file()


def test_serving_it_asks_for_its_card(rtx_bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho '0, GPU-r, NVIDIA GeForce RTX 4090, 8.9, 24564, 23800, 580.1'\n")
    smi.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert check_bundle(rtx_bundle, verify=True).gpus == tuple(query_gpus())
    smi.write_text("#!/bin/sh\necho '0, GPU-r, NVIDIA GeForce RTX 4090, 8.9, 24564, 1000, 580.1'\n")
    with pytest.raises(
        DeviceError, match=r"rtx4090 bundle cannot be served here: .* GiB of free GPU memory are needed"
    ):
        check_bundle(rtx_bundle)
