"""Checkpoints that are quantised already: what their tensors stand for, what vLLM's format keeps, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from convert import lm_vllm
from convert.__main__ import main
from convert.checkpoint import Checkpoint
from convert.errors import ExportError, ModelLoadingError
from convert.lm_formats import FORMATS
from convert.shards import SINGLE_FILE
from tests.quantised_checkpoints import KINDS, of_a_layer, packed, quantise

HEAD = "audio_lm_head.weight"


def written(few: Path, folder: Path) -> tuple[Checkpoint, dict, dict[str, torch.Tensor]]:
    """The checkpoint, and config.json and the tensors that the converter writes of it; compared as it does."""
    checkpoint = Checkpoint.open(few, quantised=True)
    lm_vllm.export(checkpoint, folder, "bf16", 4096)
    lm_vllm.compare(checkpoint, folder, "bf16")
    return checkpoint, json.loads((folder / "config.json").read_text()), load_file(folder / SINGLE_FILE)


@pytest.mark.parametrize("layout", ["transformers_checkpoint", "boson_checkpoint"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_layers_stay_as_they_are_and_mean_what_they_should(
    kind: str, layout: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    few, plain = quantise(request.getfixturevalue(layout), KINDS[kind], tmp_path)
    checkpoint, config, tensors = written(few, tmp_path / "lm")
    expected = Checkpoint.open(plain)
    for name in expected.names():
        torch.testing.assert_close(checkpoint.tensor(name).float(), expected.tensor(name).float(), rtol=1e-6, atol=0)
    stored = KINDS[kind].store(torch.zeros(64, 128).index_fill(1, torch.tensor(0), 1.0))[0]
    modules = [name.removesuffix(".weight") for name in expected.names() if of_a_layer(name)]
    layers = {f"{module}.{end}" for module in modules for end in stored}
    assert set(tensors) == layers | {name for name in expected.names() if not of_a_layer(name)}
    its = KINDS[kind].config
    assert config["quantization_config"]["quant_method"] == its["quant_method"]
    if "config_groups" in its:
        (group,) = config["quantization_config"]["config_groups"].values()
        assert sorted(group["targets"]) == sorted(modules)
        assert group == its["config_groups"]["group_0"] | {"targets": group["targets"], "format": its["format"]}
    again = Checkpoint.open(tmp_path / "lm", quantised=True)
    assert torch.equal(again.tensor(f"{modules[-1]}.weight"), checkpoint.tensor(f"{modules[-1]}.weight"))


def test_one_changed_number_is_found(transformers_checkpoint: Path, tmp_path: Path) -> None:
    few, _ = quantise(transformers_checkpoint, KINDS["awq"], tmp_path)
    checkpoint, _, tensors = written(few, tmp_path / "lm")
    tensors["model.layers.0.audio_mlp.up_proj.qweight"][:, 0] ^= 0x77777777
    save_file(tensors, tmp_path / "lm" / SINGLE_FILE)
    with pytest.raises(ExportError, match="standard deviations"):
        lm_vllm.compare(checkpoint, tmp_path / "lm", "bf16")


def head_too(name: str) -> bool:
    return of_a_layer(name) or name in (HEAD, "model.embed_audio_tokens.embed_audio_tokens.weight")


def without_a_key(name: str) -> bool:
    return of_a_layer(name) and not name.endswith("0.self_attn.k_proj.weight")


def only_speech(name: str) -> bool:
    return of_a_layer(name) and "audio_mlp" in name


@pytest.mark.parametrize(
    ("which", "kept"),
    [(head_too, 20), (without_a_key, 17), (only_speech, 6)],
    ids=["the head, too", "not what vLLM joins", "one of two feed-forwards"],
)
@pytest.mark.parametrize("kind", ["awq", "packed 4 bits, with zeros", "fp8"])
def test_whatever_cannot_stay_is_written_as_its_values(
    kind: str, which: Callable[[str], bool], kept: int, transformers_checkpoint: Path, tmp_path: Path
) -> None:
    few, plain = quantise(transformers_checkpoint, KINDS[kind], tmp_path, which)
    _, config, tensors = written(few, tmp_path / "lm")
    scales = [name for name in tensors if name.rpartition(".")[2] in ("scales", "weight_scale")]
    assert len(scales) == kept
    expected = Checkpoint.open(plain)
    floats = {
        name for name in expected.names() if tensors.get(name, torch.empty(0, dtype=torch.int8)).is_floating_point()
    }
    floats -= {f"{name.rpartition('.')[0]}.weight" for name in scales}
    assert len(floats) == len(expected.names()) - kept
    for name in floats:
        assert torch.equal(tensors[name], expected.tensor(name).bfloat16()), name
    if kind == "fp8":
        modules = {name.removesuffix(".weight") for name in floats if of_a_layer(name)}
        assert set(config["quantization_config"]["ignored_layers"]) == modules


def test_groups_of_several_forms_keep_each_its_own(transformers_checkpoint: Path, tmp_path: Path) -> None:
    """As llm-compressor mixes them: int8 in attention, four bits in the feed-forwards, by expressions over names."""
    int8, four = (KINDS[name].config["config_groups"]["group_0"] for name in ("int8", "packed 4 bits, even"))
    few, _ = quantise(transformers_checkpoint, KINDS["int8"], tmp_path, lambda name: "self_attn" in name)
    tensors = load_file(few / SINGLE_FILE)
    for name in [name for name in tensors if of_a_layer(name) and "mlp" in name]:
        parts, _ = packed(tensors.pop(name), 4, True)
        tensors |= {f"{name.removesuffix('weight')}{end}": part for end, part in parts.items()}
    save_file(tensors, few / SINGLE_FILE)
    config = json.loads((few / "config.json").read_text())
    config["quantization_config"]["config_groups"] = {
        "group_0": int8 | {"targets": [r"re:.*self_attn\..*"], "format": "int-quantized"},
        "group_1": four | {"targets": [r"re:.*mlp\..*"], "format": "pack-quantized"},
    }
    config["quantization_config"]["format"] = "mixed-precision"
    (few / "config.json").write_text(json.dumps(config))
    checkpoint, config, tensors = written(few, tmp_path / "lm")
    assert checkpoint.quantisation is not None
    assert checkpoint.quantisation.described() == {"method": "compressed-tensors", "kinds": ["int8", "int4"]}
    groups = config["quantization_config"]["config_groups"]
    assert [(len(group["targets"]), group["format"]) for group in groups.values()] == [
        (8, "int-quantized"),
        (12, "pack-quantized"),
    ]
    assert tensors["model.layers.1.self_attn.o_proj.weight"].dtype == torch.int8
    assert tensors["model.layers.1.audio_mlp.down_proj.weight_packed"].dtype == torch.int32


@pytest.mark.parametrize(
    ("kind", "changes", "complaint"),
    [
        (
            "awq",
            {"quant_method": "modelopt"},
            "quant_method is 'modelopt'; awq, gptq, compressed-tensors, fp8 can be read",
        ),
        ("awq", {"quant_method": None}, "quant_method is None; awq"),
        ("awq", {"version": "gemv"}, "version is 'gemv'; only 'gemm'"),
        ("awq", {"zero_point": False}, "zero_point is False; only True"),
        ("awq", {"bits": 3}, "bits is 3 where 4 is needed"),
        ("awq", {"group_size": 24}, r"q_proj.weight in .* cannot be int4: its sides \[64, 64\] do not divide by"),
        ("awq", {"group_size": 16}, r"q_proj.qzeros is I32 \[2, 8\] in .*; int4 asks for I32 \[4, 8\]"),
        ("gptq of 4 bits", {"sym": False}, "sym is False; only True"),
        ("gptq of 4 bits", {"desc_act": True}, "desc_act is True; only False"),
        (
            "gptq of 4 bits",
            {"bits": 8},
            r"q_proj.qweight is I32 \[8, 64\] in .*; int8 in groups asks for I32 \[16, 64\]",
        ),
        (
            "gptq of 4 bits",
            {"quant_method": "awq"},
            r"q_proj.qweight is I32 \[8, 64\] in .*; int4 asks for I32 \[64, 8\]",
        ),
        (
            "packed 4 bits, even",
            {"format": "nvfp4-pack-quantized"},
            "int weights in format 'nvfp4-pack-quantized' cannot",
        ),
        ("packed 4 bits, even", {"config_groups": None}, "config_groups is None where an object"),
        (
            "packed 4 bits, even",
            {"transform_config": {"config_groups": {}}},
            "transform_config is .* where none is needed",
        ),
        ("packed 4 bits, even", {"format": "int-quantized"}, "num_bits is 4 where 8 is needed"),
        ("fp8", {"weight_block_size": [128, 128]}, "q_proj.weight_scale_inv is missing from the weights"),
        ("fp8", {"activation_scheme": "static"}, "q_proj.input_scale is missing from the weights"),
        ("fp8", {"weight_block_size": [128]}, r"weight_block_size is \[128\] where two sides"),
    ],
)
def test_what_vllm_would_not_read_is_one_plain_sentence(
    kind: str, changes: dict, complaint: str, transformers_checkpoint: Path, tmp_path: Path
) -> None:
    few, _ = quantise(transformers_checkpoint, KINDS[kind], tmp_path, **changes)
    with pytest.raises(ModelLoadingError, match=complaint) as caught:
        Checkpoint.open(few, quantised=True)
    assert "\n" not in str(caught.value)


def test_inputs_in_the_order_of_their_activations_are_refused(transformers_checkpoint: Path, tmp_path: Path) -> None:
    few, _ = quantise(transformers_checkpoint, KINDS["gptq of 4 bits"], tmp_path)
    tensors = load_file(few / SINGLE_FILE)
    tensors["model.layers.1.mlp.up_proj.g_idx"] = tensors["model.layers.1.mlp.up_proj.g_idx"].flip(0)
    save_file(tensors, few / SINGLE_FILE)
    with pytest.raises(ModelLoadingError, match=r"1\.mlp\.up_proj\.weight in .*: its inputs are in the order of their"):
        written(few, tmp_path / "lm")


@pytest.mark.parametrize(
    ("kind", "words", "sentence"),
    [
        *(("awq", ["--lm-format", name], "quantised already (awq), which only vLLM runs (TARGET=vllm or vllm-cpu)")
          for name in FORMATS if not name.startswith("vllm")),
        ("awq", ["--lm-format", "vllm-cpu"], "vLLM computes with such in bf16, not in fp32: give --precision bf16"),
        ("awq", ["--lm-format", "vllm", "--precision", "fp8"], "not in fp8: give --precision bf16"),
        ("gptq of 8 bits", ["--lm-format", "vllm-cpu", "--precision", "bf16"], "(gptq, int8 in groups); the format"),
        ("fp8", ["--lm-format", "vllm-cpu", "--precision", "bf16"], "(fp8, e4m3 with one scale); the format vllm-cpu"),
    ],
)  # fmt: skip
def test_who_does_not_take_them_says_who_does(
    kind: str,
    words: list[str],
    sentence: str,
    transformers_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few, _ = quantise(transformers_checkpoint, KINDS[kind], tmp_path)
    if "--precision" not in words:
        words = [*words, "--precision", FORMATS[words[1]].precisions[0]]
    assert main([str(few), "--output", str(tmp_path / "out"), *words]) == 1
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
