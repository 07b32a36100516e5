"""`build_engine`: what it asks trtllm-build for, and what it says when something is missing.

trtllm-build itself needs a GPU; a script that records its arguments stands in its place. That the arguments are ones
trtllm-build takes is checked against the options its source lists.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from build.errors import BuildError
from build.trtllm import NETWORK, EngineShapes, build_engine

SHAPES = EngineShapes(
    max_batch_size=4,
    max_input_len=512,
    max_seq_len=1024,
    max_num_tokens=2048,
    max_prompt_embedding_table_size=4 * 300,
)
FACTS = json.loads((Path(__file__).parent / "trtllm_standin" / "signatures.json").read_text())
CONFIG = {
    "architecture": "HiggsAudioV2ForCausalLM",
    "dtype": "bfloat16",
    "vocab_size": 8208,
    "max_position_embeddings": 1024,
    "quantization": {"quant_algo": None},
}
TRTLLM_BUILD = """#!/bin/sh
echo "$@" >> "$CALLS"
while [ $# -gt 0 ]; do [ "$1" = --output_dir ] && out="$2"; [ "$1" = --output_timing_cache ] && cache="$2"; shift; done
echo timings > "$cache"
[ -n "$FAIL" ] && exit 3
[ -z "$EMPTY" ] && echo engine > "$out/rank0.engine"
echo "{\\"version\\": \\"${VERSION:-1.2.1}\\"}" > "$out/config.json"
"""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "lm"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "rank0.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but trtllm-build and nvidia-smi; returns where the former writes its arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in (
        ("trtllm-build", TRTLLM_BUILD),
        ("nvidia-smi", "#!/bin/sh\necho ${GPU:-8.0}\nexit ${NO_GPU:-0}\n"),
    ):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def build(checkpoint: Path, engine: Path) -> None:
    build_engine(checkpoint, engine, SHAPES, engine.with_name("times"))


def calls(file: Path) -> list[dict[str, str]]:
    """The options of each call, as a dictionary."""
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [dict(zip(words[::2], words[1::2], strict=True)) for words in lines]


def test_it_asks_for_what_the_network_definition_needs(checkpoint: Path, tools: Path, tmp_path: Path) -> None:
    build(checkpoint, tmp_path / "engine")
    (call,) = calls(tools)
    assert set(call) <= set(FACTS["trtllm_build"]["options"])
    wanted = {
        "--checkpoint_dir": str(checkpoint),
        "--output_dir": str(tmp_path / "engine"),
        "--model_cls_file": str(NETWORK),
        "--model_cls_name": "HiggsAudioV2ForCausalLM",
        "--max_batch_size": "4",
        "--max_input_len": "512",
        "--max_seq_len": "1024",
        "--max_num_tokens": "2048",
        "--max_prompt_embedding_table_size": "1200",
        "--max_beam_width": "1",
        "--gpt_attention_plugin": "auto",
        "--moe_plugin": "auto",
        "--remove_input_padding": "enable",
        "--kv_cache_type": "paged",
        "--use_paged_context_fmha": "enable",
        "--multiple_profiles": "disable",
    }
    assert wanted.items() <= call.items()
    assert (tmp_path / "engine" / "rank0.engine").is_file()


def test_the_network_definition_has_the_class_it_names() -> None:
    assert "class HiggsAudioV2ForCausalLM(" in NETWORK.read_text()


def test_a_failed_build_leaves_the_measured_times(
    checkpoint: Path, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(BuildError, match="trtllm-build ended with code 3; its messages are above"):
        build(checkpoint, tmp_path / "engine")
    assert (tmp_path / "times").is_file()
    assert calls(tools)[0]["--input_timing_cache"] == str(tmp_path / "times")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"EMPTY": "1"}, "without rank0.engine"),
        ({"VERSION": "1.3.0"}, "TensorRT-LLM is 1.3.0, and the engine needs 1.2.1; build inside NVIDIA's"),
        ({"NO_GPU": "9"}, "no NVIDIA GPU is visible"),
        ({"PATH": "/nowhere"}, "trtllm-build is not on the PATH; build inside NVIDIA's Triton container"),
    ],
)
def test_what_the_machine_lacks_is_one_sentence(
    setting: dict[str, str],
    complaint: str,
    checkpoint: Path,
    tools: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BuildError, match=complaint) as raised:
        build(checkpoint, tmp_path / "engine")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"architecture": "LlamaForCausalLM"}, "is a LlamaForCausalLM; the network definition is HiggsAudioV2"),
        ({"dtype": "float32"}, "is float32, .* convert with --precision bf16"),
        ({"max_position_embeddings": 512}, "1024 positions are longer .* of 512; convert with --max-positions 1024"),
        ({"vocab_size": 300}, "300 frame-table rows a stream need more than the 299 ids"),
        ({"dtype": None}, "is not a TensorRT-LLM checkpoint's"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    changes: dict[str, object], complaint: str, checkpoint: Path, tools: Path, tmp_path: Path
) -> None:
    config = {name: value for name, value in (CONFIG | changes).items() if value is not None}
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(BuildError, match=complaint):
        build(checkpoint, tmp_path / "engine")
    assert not calls(tools)


def test_fp8_needs_a_gpu_that_has_it(
    checkpoint: Path, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG | {"quantization": {"quant_algo": "FP8"}}
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(BuildError, match=r"fp8 needs a GPU of compute capability 8\.9 or more, and this one has 8\.0"):
        build(checkpoint, tmp_path / "engine")
    monkeypatch.setenv("GPU", "12.0")
    build(checkpoint, tmp_path / "engine")
    assert len(calls(tools)) == 1


def test_a_missing_checkpoint_says_how_to_make_it(tools: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"config\.json is missing; convert with --lm-format tensorrt-llm first"):
        build(tmp_path / "nothing", tmp_path / "engine")


def test_of_several_gpus_the_one_that_compiles_is_asked(
    checkpoint: Path, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkpoint / "config.json").write_text(json.dumps(CONFIG | {"quantization": {"quant_algo": "FP8"}}))
    (tmp_path / "bin" / "nvidia-smi").write_text('#!/bin/sh\n[ "$1$2" = -iGPU-b ] && echo 9.0 || echo 8.0\n')
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(BuildError, match=r"this one has 8\.0"):
        build(checkpoint, tmp_path / "engine")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    build(checkpoint, tmp_path / "engine")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"max_batch_size": 0}, "max_batch_size is 0; it must be at least 1"),
        ({"max_input_len": 2000}, "a prompt of 2000 positions does not fit into 1024"),
        ({"max_num_tokens": 3}, "max_num_tokens is 3; a step reads one position of each of 4 streams"),
        ({"max_prompt_embedding_table_size": 1201}, "1201 frame-table rows are not the same for each of 4 streams"),
    ],
)
def test_shapes_that_contradict_each_other_are_refused(changes: dict[str, int], complaint: str) -> None:
    with pytest.raises(BuildError, match=complaint):
        replace(SHAPES, **changes)


def test_rows_are_counted_for_all_streams() -> None:
    assert SHAPES.rows_per_request == 300
