"""Building `vllm`: limits from any card's memory, several cards, weights that are quantised already, and refusals."""

from __future__ import annotations

import json
import shutil

import pytest

from build.errors import BuildError
from build.memory import GIB, ModelShape, fit
from build.targets import load_target
from demo.language_model import config_json
from demo.sizes import SIZES
from serve.manifest import check_bundle
from tests.build.conftest import Workshop, install


def test_vllm_takes_any_card_and_its_limits_from_the_cards_memory(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is stood in for; nothing is compiled, and the codec stays on the processor."""
    install(monkeypatch, workshop.folder / "installed", {"vllm": "0.30.0"})
    cards = "0, GPU-s, NVIDIA RTX A2000, 8.6, {0}, {0}, 1\n1, GPU-t, NVIDIA RTX A2000, 8.6, {0}, {0}, 1\n"
    workshop.gpus(cards.format(6138))
    assert workshop.build("--gpus", "2", target="vllm") == 0, capsys.readouterr().err
    manifest = json.loads((workshop.folder / "vllm" / "manifest.json").read_text())
    requires, limits = manifest["requires"], manifest["limits"]
    assert (requires["gpu_architecture"], requires["gpus"], requires["numpy_below"]) == ("sm80+", 2, "2")
    assert {"vllm", "onnxruntime", "torch"} <= requires["packages"].keys()
    assert limits["gpus"] == 2 and limits["codec_engine"] == "onnxruntime"
    repository = workshop.folder / "vllm" / "model_repository"
    settings = json.loads((repository / "lm" / "1" / "settings.json").read_text())
    assert settings["engine"] == "vllm"
    assert settings["vllm"]["tensor_parallel"] == 2 and settings["vllm"]["dtype"] == "bfloat16"
    lm = json.loads((repository / "lm" / "1" / "weights" / "lm.json").read_text())
    numbers = 2 * lm["num_layers"] * lm["num_kv_heads"] * lm["head_dim"]
    numbers *= limits["max_streams"] * limits["max_positions"]
    assert settings["vllm"]["kv_cache_bytes"] == 2 * numbers // 2, "bfloat16, half of them in each"
    assert json.loads((repository / "codec_decoder" / "1" / "settings.json").read_text())["threads"] == 0
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [gpu.uuid for gpu in check_bundle(workshop.folder / "vllm", verify=True).gpus] == ["GPU-s", "GPU-t"]

    workshop.gpus(cards.format(3500))
    assert workshop.build(target="vllm") == 0, "vLLM's estimate of what stands beside is three gibibytes"
    assert "streams fit instead of 64" in capsys.readouterr().out
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    workshop.gpus("")
    assert workshop.build(target="vllm") == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "build: target vllm cannot be built here: a GPU of compute capability 8.0 or more is needed and this machine "
        "shows none"
    )
    assert said.endswith("elsewhere, say how much memory the GPU has: GPU_MEMORY=<GiB>\n") and said.count("\n") == 1
    assert workshop.build("--gpu-memory", "24", target="vllm") == 0, "elsewhere"
    assert workshop.build("--gpu-memory", "24") == 1
    assert "target h100 is for one kind of GPU, whose memory it knows" in capsys.readouterr().err
    install(monkeypatch, workshop.folder / "installed", {})
    assert workshop.build("--gpu-memory", "24", target="vllm") == 1
    assert "vllm is not installed in" in capsys.readouterr().err


def test_weights_that_are_quantised_already_take_what_their_file_takes(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, workshop.folder / "installed", {"vllm": "0.30.0"})
    needs = {}
    for found in (None, {"method": "awq", "kinds": ["int4"]}):
        workshop.quantisation = found
        shutil.rmtree(workshop.folder / "vllm", ignore_errors=True)
        assert workshop.build("--gpu-memory", "24", target="vllm") == 0, capsys.readouterr().err
        manifest = json.loads((workshop.folder / "vllm" / "manifest.json").read_text())
        assert manifest["language_model"]["quantisation"] == found
        assert ("bf16, awq (int4) weights, " in capsys.readouterr().out) is bool(found)
        needs[bool(found)] = manifest["requires"]["gpu_memory_bytes"]
    files = (workshop.folder / "vllm" / "exports" / "lm").rglob("*")
    shape = ModelShape.from_config(json.loads((workshop.checkpoint / "config.json").read_text()))
    stored = sum(file.stat().st_size for file in files if file.is_file())
    assert needs[True] - needs[False] == stored - shape.weight_bytes("bf16")


def test_before_they_are_fetched_only_what_is_certain_not_to_fit_is_refused() -> None:
    config, target = config_json(SIZES["true"], "bfloat16"), load_target("vllm")
    with pytest.raises(BuildError, match="for a single stream in bf16"):
        fit(ModelShape.from_config(config), target, 25.0, 8 * GIB)
    quantised = ModelShape.from_config(config | {"quantization_config": {"quant_method": "awq"}})
    assert fit(quantised, target, 25.0, 8 * GIB).max_streams >= 1
    with pytest.raises(BuildError, match="for a single stream in bf16"):
        fit(quantised, target, 25.0, 4 * GIB)
