"""The target table obeys its own arithmetic, and what does not fit is refused with numbers."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from build.errors import BuildError
from build.memory import GIB, USABLE, WEIGHT_BYTES, ModelShape, fit, footprint, table_rows
from build.targets import (
    Target,
    load_target,
    target_names,
    text_threads,
    with_gpu_memory,
    with_gpus,
    with_precision,
    with_threads,
)
from convert.lm_formats import FORMATS
from demo.boson_layout import boson_config
from demo.codec import STRIDES
from demo.language_model import config_json, plan
from demo.sizes import SIZES
from runtime.engine.types import GENERATED_ROWS
from tools.bench.arithmetic import GPUS, Weights

ROOT = Path(__file__).resolve().parents[2]
FRAMES_PER_SECOND = 25.0
DATA_SHEETS = {"h100": "H100 SXM", "a100": "A100 80 GB", "l40s": "L40S", "l4": "L4", "rtx4090": "RTX 4090"}
MOST_STREAMS = 64
TRUE = ModelShape.from_config(config_json(SIZES["true"], "bfloat16"))
GPU_TARGETS = [load_target(name) for name in target_names() if load_target(name).gpu_memory_gib]  # of one kind
by_name = pytest.mark.parametrize("target", GPU_TARGETS, ids=lambda target: target.name)


def test_all_targets_are_there() -> None:
    assert target_names() == ["cpu", "vllm-cpu", "vllm", "h100", "a100", "l40s", "l4", "rtx4090"]
    assert not load_target("cpu").uses_gpu and not load_target("vllm-cpu").uses_gpu
    engines = {target.name: (target.lm_engine, target.codec_engine) for target in GPU_TARGETS}
    assert engines.pop("rtx4090") == ("tensorrt-rtx", "tensorrt-rtx")
    assert set(engines.values()) == {("tensorrt-llm", "tensorrt")}


def test_a_target_has_the_precisions_its_engine_runs_and_the_converter_writes() -> None:
    for name in target_names():
        target = load_target(name)
        written = FORMATS[target.lm.lm_format].precisions
        assert target.precision in target.lm.precisions
        assert set(target.lm.precisions) <= set(written) & set(WEIGHT_BYTES)
    assert with_precision(load_target("l40s"), "fp8").precision == "fp8"
    assert with_precision(load_target("vllm"), "fp8").compute_capability == "8.9+", "not every card that bf16 has"
    for name, precision, sentence in (
        ("h100", "fp32", "target h100 has no precision 'fp32'; it has bf16, fp8, int8, int4"),
        ("rtx4090", "int4", "target rtx4090 has no precision 'int4'; it has bf16, fp16"),
        ("cpu", "bf16", "target cpu has no precision 'bf16'; it has fp32, int8, int4"),
        ("a100", "fp8", r"target a100 has no fp8: its GPU's compute capability is 8\.0, and fp8 needs 8\.9 or more"),
    ):
        with pytest.raises(BuildError, match=sentence):
            with_precision(load_target(name), precision)


def test_only_vllm_splits_a_model_and_only_over_as_many_gpus_as_share_it_alike() -> None:
    assert with_gpus(load_target("vllm-cpu"), 2).gpus == 2
    assert with_gpus(load_target("h100"), 1) == load_target("h100")
    for name, gpus, sentence in (
        ("h100", 2, "target h100 runs on one GPU; only the engines .*vllm-cpu.* split a model over several"),
        ("vllm-cpu", 0, "--gpus is 0; a language model needs at least 1"),
    ):
        with pytest.raises(BuildError, match=sentence):
            with_gpus(load_target(name), gpus)
    for gpus in (1, 2, 4, 8):
        TRUE.check_split(gpus)
    with pytest.raises(BuildError, match=r"cannot be split over 3 GPUs: its num_kv_heads, 8, is no multiple"):
        TRUE.check_split(3)


def test_both_layouts_give_the_same_shape() -> None:
    for size in ("demo", "true"):
        config = config_json(SIZES[size], "bfloat16")
        assert ModelShape.from_config(boson_config(config)) == ModelShape.from_config(config)


def test_another_models_config_is_refused() -> None:
    with pytest.raises(BuildError, match=r"config\.json does not describe Higgs Audio V2: 'audio_codebook_size'"):
        ModelShape.from_config({"num_attention_heads": 4, "hidden_size": 8})
    config = config_json(SIZES["demo"], "bfloat16")
    with pytest.raises(BuildError, match="does not describe"):
        ModelShape.from_config(config | {"hidden_size": "wide"})
    for key in ("num_attention_heads", "num_key_value_heads", "hidden_size", "num_hidden_layers"):
        for size in (0, -1):
            with pytest.raises(BuildError, match=f"describe Higgs Audio V2: .* is {size}"):
                ModelShape.from_config(config | {"head_dim": None, key: size})


def test_every_weight_that_is_kept_is_counted_once() -> None:
    """All matrices of a true-size checkpoint but the text head, which no export has; norms are a ten-thousandth."""
    kept = [t for t in plan(SIZES["true"]) if len(t.shape) > 1 and t.name != "lm_head.weight"]
    kept = [t for t in kept if "text_lm_head" not in t.name]
    assert TRUE.layer_parameters + TRUE.table_parameters == sum(math.prod(t.shape) for t in kept)
    weights = Weights.of(SIZES["true"])
    assert TRUE.layer_parameters + TRUE.table_parameters == weights.total - weights.text_vocabulary
    assert TRUE.position_bytes == 112 * 1024


@by_name
def test_a_targets_streams_are_what_its_memory_holds(target: Target, figure: Callable[[str, str], None]) -> None:
    def fits(streams: int) -> bool:
        needs = footprint(TRUE, replace(target, max_streams=streams), FRAMES_PER_SECOND)
        return needs.total <= USABLE * target.gpu_memory_gib * GIB

    assert target.max_streams & (target.max_streams - 1) == 0
    assert fits(target.max_streams)
    assert target.max_streams == MOST_STREAMS or not fits(2 * target.max_streams)
    figure(f"GPU memory of {target.name}", str(footprint(TRUE, target, FRAMES_PER_SECOND)))


@by_name
def test_a_step_of_prompts_takes_half_a_frame_at_most(target: Target) -> None:
    (gpu,) = [gpu for gpu in GPUS if gpu.name == DATA_SHEETS[target.name]]
    weights = Weights.of(SIZES["true"])

    def seconds(tokens: int) -> float:
        return 2 * tokens * (weights.attention + weights.ffn) / gpu.bf16

    assert (
        seconds(target.prefill_tokens_per_step) <= 0.5 / FRAMES_PER_SECOND < seconds(2 * target.prefill_tokens_per_step)
    )


@by_name
def test_the_workspace_holds_what_is_known_of_it(target: Target, figure: Callable[[str, str], None]) -> None:
    """The codec at its true widths: its files' sizes, and three of its largest activations at once."""
    codec, longest = SIZES["true"].codec, 280  # frames: the longest chunk, what the last one has more, and the context
    rates = [1, *itertools.accumulate(STRIDES, operator.mul)]
    widest = max(codec.decoder_width // 2**stage * rate for stage, rate in enumerate(rates))
    decoder = 3 * target.max_decode_batch * longest * widest * 4
    networks = 86e6 + 654e6
    tokens = target.max_streams + target.prefill_tokens_per_step
    language_model = tokens * (4 * TRUE.hidden_size + 3 * TRUE.intermediate_size) * 2
    contexts = 2 * 0.5 * GIB
    known = decoder + networks + language_model + contexts
    assert known <= target.workspace_gib * GIB
    figure(f"workspace of {target.name}", f"{known / GIB:.1f} GiB accounted for, of {target.workspace_gib:.1f}")


def test_the_makefile_knows_which_targets_need_the_container() -> None:
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("CONTAINER_TARGETS")]
    assert line.split(":=")[1].split() == [target.name for target in GPU_TARGETS if target.uses_container]


def test_streams_are_fitted_to_the_memory_there_is() -> None:
    a100 = load_target("a100")
    assert fit(TRUE, a100, FRAMES_PER_SECOND, 80 * GIB) == a100, "never more than the target's own"
    small = fit(TRUE, a100, FRAMES_PER_SECOND, 40 * GIB)
    assert 32 <= small.max_streams < 64
    usable = USABLE * 40 * GIB
    assert footprint(TRUE, small, FRAMES_PER_SECOND).total <= usable
    more = replace(small, max_streams=small.max_streams + 1)
    assert footprint(TRUE, more, FRAMES_PER_SECOND).total > usable


def test_a_model_that_does_not_fit_is_refused_with_numbers() -> None:
    l4 = load_target("l4")
    with pytest.raises(BuildError) as error:
        fit(TRUE, l4, FRAMES_PER_SECOND, 12 * GIB)
    sentence = str(error.value)
    assert sentence.startswith("target l4 needs 13.5 GiB (weights 10.0, keys and values 0.4, frame table 0.0")
    assert "of the GPU's 12.0 GiB, 10.8 may be used: choose a smaller PRECISION" in sentence
    assert fit(TRUE, replace(l4, precision="int4"), FRAMES_PER_SECOND, 12 * GIB).max_streams > 8


@pytest.mark.parametrize("precision", WEIGHT_BYTES)
def test_smaller_precisions_take_less(precision: str) -> None:
    target = replace(load_target("h100"), precision=precision)
    weights = footprint(TRUE, target, FRAMES_PER_SECOND).weights
    assert weights == TRUE.layer_parameters * WEIGHT_BYTES[precision] + 2 * TRUE.table_parameters


def test_what_schedules_streams_itself_keeps_prefixes_and_in_the_hosts_memory() -> None:
    """TensorRT-LLM and vLLM reuse blocks of their own cache; the GPU's memory is divided without the prefixes."""
    for name in target_names():
        target = load_target(name)
        assert (target.prefix_cache_positions > 0) == (target.lm_engine not in ("tensorrt-llm", "vllm"))
        if target.uses_gpu:
            more = replace(target, prefix_cache_positions=2 * target.prefix_cache_positions + 1)
            assert footprint(TRUE, more, FRAMES_PER_SECOND) == footprint(TRUE, target, FRAMES_PER_SECOND)


def test_a_streams_table_holds_its_prompts_audio_and_the_columns_in_turn() -> None:
    l4 = load_target("l4")
    assert l4.prompt_audio_seconds >= l4.reference_max_seconds
    clip = l4.prompt_audio_seconds * FRAMES_PER_SECOND + 2 + 7
    assert table_rows(l4, 8, FRAMES_PER_SECOND) == clip + GENERATED_ROWS


def test_the_frame_table_is_there_twice_where_tensorrt_llm_copies_it_and_nowhere_else() -> None:
    l4, rtx4090 = load_target("l4"), load_target("rtx4090")
    rows = l4.max_streams * table_rows(l4, 8, FRAMES_PER_SECOND)
    assert footprint(TRUE, l4, FRAMES_PER_SECOND).frame_table == 2 * rows * TRUE.hidden_size * 2
    assert footprint(TRUE, rtx4090, FRAMES_PER_SECOND).frame_table == 0


def test_a_small_language_model_gets_one_thread_and_a_large_one_the_serving_machines_cores() -> None:
    cpu = load_target("cpu")
    assert cpu.lm_threads == 0
    assert with_threads(cpu, 30 * 2**20).lm_threads == 1
    assert with_threads(cpu, 400 * 2**20).lm_threads == 0
    assert with_threads(replace(cpu, lm_threads=3), 30 * 2**20).lm_threads == 3


def test_text_is_read_by_two_threads_at_least() -> None:
    cpu = load_target("cpu")
    assert [text_threads(replace(cpu, lm_threads=steps)) for steps in (1, 2, 3)] == [2, 2, 3]
    assert text_threads(cpu) == 0, "all cores"


def test_vllms_limits_come_from_the_cards_memory_and_each_of_several_holds_its_share() -> None:
    vllm = load_target("vllm")
    assert vllm.uses_gpu and not vllm.uses_container and vllm.gpu_memory_gib == 0
    small = fit(TRUE, vllm, FRAMES_PER_SECOND, 24 * GIB)
    assert 1 < small.max_streams < 64
    assert fit(TRUE, vllm, FRAMES_PER_SECOND, 80 * GIB).max_streams == 64
    two = with_gpus(vllm, 2)
    assert fit(TRUE, two, FRAMES_PER_SECOND, 24 * GIB).max_streams > 2 * small.max_streams
    whole, half = (footprint(TRUE, target, FRAMES_PER_SECOND) for target in (vllm, two))
    assert (half.weights, half.keys_and_values) == (whole.weights // 2, whole.keys_and_values // 2)
    assert half.workspace == whole.workspace, "on each"
    assert with_gpu_memory(vllm, 24).gpu_memory_gib == 24
    for name, gib, sentence in (
        ("h100", 80, "target h100 is for one kind of GPU, whose memory it knows"),
        ("cpu", 8, "--gpu-memory is 8 for target cpu; give the GiB of a GPU that it uses"),
        ("vllm", 0, "--gpu-memory is 0 for target vllm"),
    ):
        with pytest.raises(BuildError, match=sentence):
            with_gpu_memory(load_target(name), gib)
