"""Building GPU targets: steps in order, resumable, and a plain sentence for whatever is missing."""

from __future__ import annotations

import json
import os
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import GatedRepoError

from build import machine
from build.container import IMAGE
from build.errors import BuildError
from build.memory import GIB, ModelShape
from build.targets import load_target
from demo.language_model import config_json
from demo.sizes import SIZES
from serve.errors import DeviceError
from serve.manifest import check_bundle
from tests.build.conftest import H100, Workshop, install


def test_a_gpu_bundle_is_converted_compiled_and_assembled(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert workshop.build() == 0
    said = capsys.readouterr().out
    assert "step 1 of 2: language model with tensorrt-llm, 64 streams of 4096 positions: done in" in said
    assert "step 2 of 2: codec with tensorrt, 32 windows a call: done in" in said
    assert said.strip().endswith("is ready: NVIDIA H100, 80 GB: TensorRT-LLM and TensorRT, bf16, 64 streams")
    assert workshop.calls == ["trtllm", "decoder", "encoder"]
    (conversion,) = workshop.conversions
    assert "--lm-format tensorrt-llm" in conversion
    assert "--precision bf16 --max-positions 4096" in conversion
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-bbbb", "the one with most free memory"
    rows = 1500 + 9 + 2  # 60 s of clips and context, marks and delay, two that the speech's columns take in turn
    assert workshop.limits == {
        "max_batch_size": 64,
        "max_input_len": 4096,
        "max_seq_len": 4096,
        "max_num_tokens": 64 + 2048,
        "max_prompt_embedding_table_size": 64 * rows,
    }
    assert workshop.shapes["decoder.plan"] == {
        "max_batch": 32,
        "min_frames": 21,
        "typical_frames": 25,
        "max_frames": 280,  # the longest chunk, 10 s, ten frames that the last one has more, and ten on each side
    }
    assert workshop.shapes["encoder.plan"]["max_frames"] == 750

    manifest = json.loads((workshop.bundle / "manifest.json").read_text())
    assert manifest["built_on"] == "NVIDIA H100 80GB HBM3"
    assert set(manifest["compiled_in_seconds"]) == {"lm", "codec"}
    requires = manifest["requires"]
    assert (requires["gpu_architecture"], requires["tensorrt"], requires["numpy_below"]) == ("sm90", "10.14.1.48", None)
    assert requires["packages"]["tensorrt_llm"] == "1.2.1"
    assert "onnxruntime" not in requires["packages"]
    assert 6 * 2**30 < requires["gpu_memory_bytes"] < 8 * 2**30  # a small model: workspace, above all
    repository = workshop.bundle / "model_repository"
    assert (repository / "lm" / "1" / "weights" / "engine" / "rank0.engine").read_text() == "trtllm"
    assert (repository / "codec_decoder_plan" / "1" / "model.plan").read_text() == "decoder"
    assert (repository / "codec_encoder_plan" / "1" / "model.plan").read_text() == "encoder"


def test_it_is_served_where_its_gpu_is_and_refused_elsewhere(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert workshop.build() == 0
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (gpu,) = check_bundle(workshop.bundle, verify=True).gpus
    assert gpu.uuid == "GPU-bbbb"
    workshop.gpus(H100.format(0, "aaaa", 3000))
    with pytest.raises(DeviceError, match=r"GiB of free GPU memory are needed; there is GPU 0 .* 2\.9 of 79\.6 GiB"):
        check_bundle(workshop.bundle)
    workshop.gpus("0, GPU-c, NVIDIA L4, 8.9, 23034, 22563, 550.90.07")
    with pytest.raises(DeviceError, match=r"compute capability 9\.0 is needed; there is GPU 0 \(NVIDIA L4"):
        check_bundle(workshop.bundle)


def test_what_is_up_to_date_is_left_alone(
    workshop: Workshop, voices: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert workshop.build() == 0
    capsys.readouterr()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert workshop.build() == 0
    assert capsys.readouterr().out == f"{workshop.bundle} is up to date\n"
    assert workshop.build("--voices", str(voices)) == 0, "voices touch neither conversion nor engines"
    assert (workshop.bundle / "model_repository" / "prompt" / "1" / "voices" / "tone.wav").is_file()
    assert workshop.calls == ["trtllm", "decoder", "encoder"]
    assert len(workshop.conversions) == 1
    assert workshop.build("--voices", str(voices), "--streams", "8") == 0
    assert workshop.limits["max_batch_size"] == 8
    assert workshop.calls.count("trtllm") == 2
    assert workshop.calls.count("decoder") == 1, "the number of streams is not the codec's matter"
    assert len(workshop.conversions) == 1, "the number of streams is the engine's matter"
    (workshop.bundle / "engines" / "codec" / "decoder.plan").unlink()
    assert workshop.build("--voices", str(voices), "--streams", "8") == 0
    assert workshop.calls.count("trtllm") == 2
    assert workshop.calls.count("decoder") == 2


def test_a_build_that_failed_goes_on_where_it_stopped(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    workshop.fails.add("encoder")
    assert workshop.build() == 1
    assert capsys.readouterr().err == "build: encoder failed: out of memory\n"
    assert not (workshop.bundle / "manifest.json").exists()
    assert not list((workshop.bundle / "engines").glob("*.new"))
    workshop.fails.clear()
    assert workshop.build() == 0
    assert workshop.calls == ["trtllm", "decoder", "encoder", "decoder", "encoder"]
    assert len(workshop.conversions) == 1


def test_streams_follow_the_memory_there_is(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    small = "0, GPU-s, NVIDIA H100 PCIe, 9.0, {}, {}, 550.90.07\n"
    workshop.gpus(small.format(7000, 6900))
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    assert workshop.build() == 0
    said = capsys.readouterr().out
    assert "streams fit instead of 64" in said
    manifest = json.loads((workshop.bundle / "manifest.json").read_text())
    streams = manifest["limits"]["max_streams"]
    assert 1 <= streams < 64
    assert workshop.limits["max_batch_size"] == streams
    settings = json.loads((workshop.bundle / "model_repository" / "lm" / "1" / "settings.json").read_text())
    assert settings["limits"]["max_streams"] == streams
    workshop.gpus(small.format(6000, 5900))
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    assert workshop.build() == 1
    assert "target h100 needs 6." in capsys.readouterr().err


Lack = Callable[[Workshop, pytest.MonkeyPatch], None]


def no_gpu(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.gpus("")


def another_gpu(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    workshop.gpus("0, GPU-c, NVIDIA L4, 8.9, 23034, 22563, 550.90.07")


def no_compiler(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    (workshop.folder / "bin" / "trtllm-build").unlink()


def no_library(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, workshop.folder / "installed", {"tensorrt": "10.14.1.48"})


def another_library(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, workshop.folder / "installed", {"tensorrt": "10.14.1.48", "tensorrt_llm": "1.3.0rc4"})


def no_tensorrt(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, workshop.folder / "installed", {"tensorrt_llm": "1.2.1"})


def full_disk(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: usage(2**40, 2**40, 2**20))


def little_memory(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**20))


@pytest.mark.parametrize(
    "lack, sentence",
    [
        (
            no_gpu,
            "target h100 cannot be built here: a GPU of compute capability 9.0 is needed and this machine shows none",
        ),
        (another_gpu, "a GPU of compute capability 9.0 is needed; there is GPU 0 (NVIDIA L4, compute capability 8.9"),
        (no_compiler, f"trtllm-build is not on the PATH; target h100 is built in the container {IMAGE}"),
        (no_library, f"TensorRT-LLM is not installed; target h100 is built in the container {IMAGE}"),
        (another_library, "TensorRT-LLM 1.3.0rc4 is installed and 1.2.1 is needed"),
        (no_tensorrt, f"TensorRT is not installed; target h100 is built in the container {IMAGE}"),
        (full_disk, "has 0.0 GiB free; building target h100 there takes about"),
        (little_memory, "0.0 GiB of memory are free; compiling target h100 takes about"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_whatever_is_missing_is_one_plain_sentence(
    workshop: Workshop,
    lack: Lack,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lack(workshop, monkeypatch)
    assert workshop.build() == 1
    said = capsys.readouterr().err
    assert said.startswith("build: ")
    assert sentence in said
    assert said.count("\n") == 1
    assert workshop.calls == []
    assert workshop.conversions == [], "said before hours of work"


def test_a_file_in_two_places_is_counted_once(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(workshop, monkeypatch)
    workshop.bundle.mkdir()
    with (workshop.bundle / "weights").open("wb") as sparse:
        sparse.truncate(60 * 2**20)
    needed = [said_to_need(workshop, capsys)]
    for name in ("engine", "placed"):
        os.link(workshop.bundle / "weights", workshop.bundle / name)
    needed.append(said_to_need(workshop, capsys))
    assert needed[0] == needed[1]


@pytest.mark.parametrize("target, gib", [("h100", 15), ("rtx4090", 20)])
def test_the_memory_a_true_size_build_takes_is_asked_for(
    target: str, gib: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = ModelShape.from_config(config_json(SIZES["true"], "bfloat16"))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: usage(2**40, 0, 2**40))
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=gib * GIB))
    machine.check_space(load_target(target), shape, tmp_path)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=(gib - 1) * GIB))
    with pytest.raises(BuildError, match=rf"{gib - 1}\.0 GiB of memory are free; compiling target {target} takes"):
        machine.check_space(load_target(target), shape, tmp_path)


def said_to_need(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> str:
    assert workshop.build() == 1
    return capsys.readouterr().err.partition("takes about ")[2]


def test_a_licence_that_was_not_accepted_is_named_with_where_to(
    workshop: Workshop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gated(repo: str, file: str, revision: str) -> str:
        response = SimpleNamespace(headers={}, status_code=403, request=None, text="", reason="", url="")
        raise GatedRepoError("403 Client Error: access to it is restricted", response=response)

    monkeypatch.setattr(machine, "hf_hub_download", gated)
    workshop.checkpoint = Path("owner/name")
    assert workshop.build("--revision", "0" * 40) == 1
    said = capsys.readouterr().err
    assert "owner/name is given out only to those who accepted its licence" in said
    assert "https://huggingface.co/owner/name and sign in with `hf auth login`" in said


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--precision", "fp32"], "target h100 has no precision 'fp32'; it has bf16, fp8, int8, int4"),
        (["--streams", "0"], "--streams is 0; a server needs at least 1"),
        (["--device", "5"], "--device names GPU 5, which is not here"),
    ],
)
def test_nonsense_is_refused(
    workshop: Workshop, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert workshop.build(*options) == 1
    assert sentence in capsys.readouterr().err
    assert workshop.conversions == [], "said before hours of work"
