"""The TensorRT-LLM checkpoint: what lands where, and its files run in plain torch against transformers."""

import json
import math
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import HiggsAudioV2ForConditionalGeneration

from convert import fp8, trtllm
from convert.checkpoint import Checkpoint
from convert.errors import ExportError
from convert.trtllm_check import TOLERANCES, compare, weight_only_round_trip
from demo.make_checkpoint import make_checkpoint
from demo.sizes import SIZES
from runtime.engine.types import AudioSegment, TextSegment

ROOT = Path(__file__).resolve().parents[2]
LAYOUTS = ("transformers_checkpoint", "boson_checkpoint", "sharded_checkpoint")
TINY = SIZES["tiny"]


@pytest.fixture(scope="module")
def converted(transformers_checkpoint, tmp_path_factory):
    """A function: precision -> the folder with that conversion of the tiny checkpoint."""
    folders = {}

    def convert(precision):
        if precision not in folders:
            folders[precision] = tmp_path_factory.mktemp(precision)
            trtllm.export(Checkpoint.open(transformers_checkpoint), folders[precision], precision, max_positions=256)
        return folders[precision]

    return convert


def parts_of(directory, layers, ffn):
    """transformers' name -> tensor, taken out of the converted files again by hand, not by convert/trtllm.py's plan."""
    stored = load_file(directory / "rank0.safetensors")
    queries, keys = TINY.num_heads * TINY.head_dim, TINY.num_kv_heads * TINY.head_dim
    parts = {
        "model.embed_tokens.weight": stored.pop("transformer.vocab_embedding.weight"),
        "model.norm.weight": stored.pop("transformer.ln_f.weight"),
        "audio_lm_head.weight": stored.pop("lm_head.weight"),
        "model.embed_audio_tokens.embed_audio_tokens.weight": load_file(directory / "audio_embedding.safetensors")[
            "weight"
        ],
    }
    for i in range(layers):
        ours, theirs = f"transformer.layers.{i}", f"model.layers.{i}"
        qkv = stored.pop(f"{ours}.attention.qkv.weight")
        for name, part in zip("qkv", qkv.split([queries, keys, keys]), strict=True):
            parts[f"{theirs}.self_attn.{name}_proj.weight"] = part
        parts[f"{theirs}.self_attn.o_proj.weight"] = stored.pop(f"{ours}.attention.dense.weight")
        fc, proj = stored.pop(f"{ours}.mlp.fc.weight"), stored.pop(f"{ours}.mlp.proj.weight")
        for expert, mlp in enumerate(("mlp", "audio_mlp")):
            parts[f"{theirs}.{mlp}.up_proj.weight"] = fc[expert, :ffn]
            parts[f"{theirs}.{mlp}.gate_proj.weight"] = fc[expert, ffn:]
            parts[f"{theirs}.{mlp}.down_proj.weight"] = proj[expert]
        for e in ("", "audio_"):
            parts[f"{theirs}.{e}input_layernorm.weight"] = stored.pop(f"{ours}.{e}input_layernorm.weight")
            parts[f"{theirs}.{e}post_attention_layernorm.weight"] = stored.pop(f"{ours}.{e}post_layernorm.weight")
    assert not stored, f"nobody asked for {sorted(stored)}"
    return parts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_tensor_of_the_model_lands_once(layout, transformers_checkpoint, tmp_path, request):
    trtllm.export(Checkpoint.open(request.getfixturevalue(layout)), tmp_path, "bf16")
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(transformers_checkpoint, dtype=torch.bfloat16)
    parameters = dict(model.named_parameters())
    parts = parts_of(tmp_path, TINY.num_layers, TINY.intermediate_size)
    assert set(parts) == set(parameters)
    for name, tensor in parts.items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, parameters[name]), name


def test_the_plan_reads_every_tensor_exactly_once(transformers_checkpoint):
    checkpoint = Checkpoint.open(transformers_checkpoint)
    read = [source for weight in trtllm.plan(checkpoint.config) for source in weight.sources]
    assert sorted([*read, "model.embed_audio_tokens.embed_audio_tokens.weight"]) == sorted(checkpoint.names())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_float32_logits_are_transformers(layout, tmp_path, request, figure):
    checkpoint = Checkpoint.open(request.getfixturevalue(layout))
    trtllm.export(checkpoint, tmp_path, "fp32")
    error = compare(checkpoint, tmp_path, "fp32")
    figure(f"TensorRT-LLM checkpoint, fp32, {layout}", f"logits at most {error.maximum:.1e} deviations off")
    assert error.maximum <= 1e-5
    assert error.same_choice == 1


@pytest.mark.parametrize("precision", ["bf16", "fp8", "int8", "int4"])
def test_what_each_precision_costs(precision, checkpoint, tmp_path, figure):
    """On the four-layer demo checkpoint, whose weights are bf16: there bf16 itself costs nothing."""
    opened = Checkpoint.open(checkpoint)
    trtllm.export(opened, tmp_path, precision)
    error = compare(opened, tmp_path, precision)
    figure(
        f"TensorRT-LLM checkpoint, {precision}",
        f"logits at most {error.maximum:.1e}, on average {error.mean:.1e} deviations off; "
        f"{error.same_choice:.0%} of greedy codes the same",
    )
    if precision == "bf16":
        assert error.maximum <= 1e-5
    else:
        # Not better than rounding can be, either: a comparison that no longer sees the rounding would pass anything.
        assert error.mean > TOLERANCES[precision][1] / 20


def test_bf16_of_a_float32_checkpoint_is_rounding(tmp_path, figure):
    make_checkpoint(tmp_path / "float32", size="tiny", dtype="float32")
    opened = Checkpoint.open(tmp_path / "float32")
    trtllm.export(opened, tmp_path / "lm", "bf16")
    error = compare(opened, tmp_path / "lm", "bf16")
    figure("TensorRT-LLM checkpoint, bf16 of float32 weights", f"logits at most {error.maximum:.1e} deviations off")
    assert error.mean > 0


def swap_experts(stored):
    for name in list(stored):
        if ".mlp." in name:
            stored[name] = stored[name].flip(0).contiguous()


def swap_halves(stored):
    for name in list(stored):
        if name.endswith("mlp.fc.weight"):
            stored[name] = torch.cat(stored[name].chunk(2, dim=1)[::-1], dim=1)


def swap_norms(place):
    def damage(stored):
        for name in [name for name in stored if f".audio_{place}_layernorm" in name]:
            other = name.replace("audio_", "")
            stored[name], stored[other] = stored[other], stored[name]

    return damage


def swap_keys_and_values(stored):
    for name in [name for name in stored if name.endswith("qkv.weight")]:
        queries, keys = TINY.num_heads * TINY.head_dim, TINY.num_kv_heads * TINY.head_dim
        query, key, value = stored[name].split([queries, keys, keys])
        stored[name] = torch.cat([query, value, key])


@pytest.mark.parametrize(
    "damage", [swap_experts, swap_halves, swap_norms("input"), swap_norms("post"), swap_keys_and_values]
)
def test_the_comparison_sees_what_stands_in_the_wrong_place(damage, transformers_checkpoint, converted, tmp_path):
    for file in converted("fp32").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    stored = load_file(tmp_path / "rank0.safetensors")
    damage(stored)
    save_file(stored, tmp_path / "rank0.safetensors")
    with pytest.raises(ExportError, match="standard deviations away from transformers'"):
        compare(Checkpoint.open(transformers_checkpoint), tmp_path, "fp32")


def test_config_is_what_the_network_and_the_runtime_read(converted):
    config = json.loads((converted("bf16") / "config.json").read_text())
    assert config == {
        "architecture": "HiggsAudioV2ForCausalLM",
        "dtype": "bfloat16",
        "logits_dtype": "float32",
        "vocab_size": 8 * 1026,
        "text_vocab_size": TINY.vocab_size,
        "hidden_size": TINY.hidden_size,
        "num_hidden_layers": TINY.num_layers,
        "num_attention_heads": TINY.num_heads,
        "num_key_value_heads": TINY.num_kv_heads,
        "head_size": TINY.head_dim,
        "intermediate_size": TINY.intermediate_size,
        "hidden_act": "swiglu",
        "norm_epsilon": 1e-5,
        "position_embedding_type": "rope_gpt_neox",
        "rotary_base": 500000.0,
        "rotary_scaling": {
            "rope_type": "llama3",
            "factor": 32.0,
            "low_freq_factor": 0.125,
            "high_freq_factor": 0.5,
            "original_max_position_embeddings": 1024,
        },
        "max_position_embeddings": 256,
        "mapping": {"world_size": 1, "tp_size": 1, "pp_size": 1},
        "quantization": {"quant_algo": None, "kv_cache_quant_algo": None},
    }
    assert json.loads((converted("bf16") / "lm.json").read_text())["max_positions"] == 256


@pytest.mark.parametrize(("precision", "algorithm"), [("int8", "W8A16"), ("int4", "W4A16")])
def test_weight_only_precisions_are_left_to_the_loader(precision, algorithm, converted):
    config = json.loads((converted(precision) / "config.json").read_text())
    assert config["quantization"]["quant_algo"] == algorithm
    stored, plain = (load_file(converted(kind) / "rank0.safetensors") for kind in (precision, "bf16"))
    assert stored.keys() == plain.keys()
    assert all(torch.equal(stored[name], plain[name]) for name in plain)


def test_weight_only_rounding_keeps_within_half_a_step():
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    for bits in (8, 4):
        step = weight.abs().amax(dim=1, keepdim=True) / (1 << (bits - 1))
        # The largest of a channel is one step out of reach when it is positive; the scale itself is rounded to bf16.
        inside = weight < weight.abs().amax(dim=1, keepdim=True) - step / 2
        error = (weight_only_round_trip(weight, bits) - weight).abs()
        assert (error <= 0.51 * step + weight.abs() * 2**-8)[inside].all()
        assert (error[3] == 0).all()


def test_fp8_matrices_have_the_loaders_shapes_and_scales(converted):
    stored, plain = (load_file(converted(precision) / "rank0.safetensors") for precision in ("fp8", "bf16"))
    for name, tensor in plain.items():
        linear = name.removesuffix(".weight")
        if not linear.endswith(("qkv", "dense", "fc", "proj")):
            assert torch.equal(stored.pop(name), tensor)
            continue
        levels, scales = stored.pop(name), stored.pop(f"{linear}.weights_scaling_factor")
        assert levels.dtype == torch.float8_e4m3fn
        assert levels.shape == tensor.shape
        assert scales.dtype == torch.float32
        assert scales.shape == ((1,) if tensor.dim() == 2 else (2, 1))
        inputs = stored.pop(f"{linear}.activation_scaling_factor")
        assert inputs.dtype == torch.float32
        assert inputs.shape == (1,)
        for scale in (*scales.flatten().tolist(), inputs.item()):
            assert math.frexp(scale)[0] == 0.5, "a power of two"
        restored = levels.float() * (scales if tensor.dim() == 2 else scales[..., None])
        # e4m3 has three bits of mantissa: half a step is a sixteenth, and below 2^-6 steps no longer shrink.
        bound = tensor.float().abs() / 16 + scales.max() * 2**-10
        assert ((restored - tensor.float()).abs() <= bound).all()
    assert not stored


def test_fp8_scales_hold_what_went_through_the_layers(transformers_checkpoint):
    """Against transformers' whole model over the same prompt: nothing it multiplies leaves a calibrated range."""
    checkpoint = Checkpoint.open(transformers_checkpoint)
    scales = fp8.calibrate(checkpoint)
    assert len(scales) == 4 * TINY.num_layers
    text, clip, *_ = fp8._calibration_prompt(checkpoint)
    assert isinstance(text, TextSegment) and isinstance(clip, AudioSegment)
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(transformers_checkpoint, dtype=torch.float32)
    seen: dict[str, list[float]] = {}
    for i, layer in enumerate(model.model.layers):
        for module, linear in fp8._LINEARS.items():
            name = f"transformer.layers.{i}.{linear}"
            layer.get_submodule(module).register_forward_pre_hook(
                lambda _, inputs, name=name: seen.setdefault(name, []).append(inputs[0].abs().max().item())
            )
    placeholder = torch.full((len(clip),), checkpoint.config.audio_token_id)
    ids = torch.cat([torch.from_numpy(text.ids), placeholder])[None]
    with torch.no_grad():
        model(input_ids=ids, audio_input_ids=torch.from_numpy(clip.columns)[None])
    for name, values in seen.items():
        largest = scales[name].item() * fp8.LARGEST
        assert max(values) <= largest <= 4 * fp8.ROOM * max(values), name


def test_a_matrix_of_zeros_survives_fp8():
    levels, scales = fp8.quantize(torch.zeros(2, 4, 4))
    assert scales.tolist() == [[1.0], [1.0]]
    assert (levels.float() == 0).all()


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_conversion_holds_one_tensor_at_a_time(precision, sharded_checkpoint, tmp_path, monkeypatch):
    """What has been read is forgotten before the next is; the whole model would be twice the largest tensor."""
    checkpoint = Checkpoint.open(sharded_checkpoint)
    alive, most = {}, 0
    read = Checkpoint.tensor

    def watched(self, name):
        nonlocal most
        tensor = read(self, name)
        alive[id(tensor)] = tensor.nbytes
        weakref.finalize(tensor, alive.pop, id(tensor))
        most = max(most, sum(alive.values()))
        return tensor

    monkeypatch.setattr(Checkpoint, "tensor", watched)
    fp8_scales = {
        weight.linear: torch.ones(1) for weight in trtllm.plan(checkpoint.config) if weight.name.endswith(".weight")
    }
    monkeypatch.setattr(fp8, "calibrate", lambda _: fp8_scales)
    trtllm.export(checkpoint, tmp_path, precision)
    largest = max(2 * math.prod(weight.shape) for weight in trtllm.plan(checkpoint.config))
    assert most <= largest


@pytest.mark.long
def test_the_command_writes_it_and_records_the_error(transformers_checkpoint, tmp_path):
    output = tmp_path / "exports"
    command = [sys.executable, "-B", "-m", "convert", str(transformers_checkpoint), "--output", str(output)]
    command += ["--lm-format", "tensorrt-llm", "--precision", "fp8", "--max-positions", "512"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in (output / "lm").iterdir()} == {
        "config.json",
        "rank0.safetensors",
        "audio_embedding.safetensors",
        "lm.json",
    }
    record = json.loads((output / "export.json").read_text())["language_model"]
    assert (record["format"], record["precision"]) == ("tensorrt-llm", "fp8")
    assert 0 < record["logits_error"]["mean"] < 0.4


def test_a_precision_the_format_lacks_is_refused(transformers_checkpoint, tmp_path):
    command = [sys.executable, "-m", "convert", str(transformers_checkpoint), "--output", str(tmp_path / "exports")]
    refused = subprocess.run(
        [*command, "--lm-format", "onnx", "--precision", "fp8"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "the format onnx has no precision fp8; it has fp32, int8, int4" in refused.stderr
    assert not (tmp_path / "exports").exists()
