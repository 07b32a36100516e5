"""The language model as one ONNX graph in standard operators, for TensorRT-RTX.

One graph reads prompts and runs decode steps, for any batch, sequence and past length. Which feed-forward network a
position goes through is data: `text_rows` and `audio_rows` say which rows (of batch times sequence, in that order)
each network reads, and `row_order` puts the results, text rows first, back in their places. A list may be empty: a
decode step has no text rows, so the text network's weights are not read.

The KV cache belongs to the caller and is only read: `past_key_i` and `past_value_i` [batch, num_kv_heads, past,
head_dim] may be longer than the part that is filled, because the row's first position says where its past ends. The new
positions' keys and values come back in one tensor, `new_key_values`, for the caller to store. So the caller's buffers
stay bound in place. Past and new positions are scored separately and share one softmax: the cache is never copied.

inputs:  ids, modality (0 text, 1 audio), positions int64 [batch, sequence]; columns int64 [batch, sequence,
         num_codebooks]; text_rows, audio_rows int64 [any]; row_order int64 [batch * sequence]; the past
outputs: logits float32 [batch, num_codebooks, codebook_size] of each row's last position; new_key_values
         [2 * num_layers, batch, num_kv_heads, sequence, head_dim], each layer's keys before its values
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import torch
from onnx import TensorProto
from tqdm import tqdm

from convert.checkpoint import Checkpoint
from convert.config import LanguageModelConfig
from convert.lm import describe, rotary_tables
from convert.onnx_writer import GraphBuilder, WeightsFile
from runtime.engine.types import ModelDescription

GRAPH, WEIGHTS, CHECK_GRAPH = "lm.onnx", "lm.weights", "check.onnx"
_MODALITIES = (("text", ""), ("audio", "audio_"))  # in the order of `modality`; the checkpoint's prefix


@dataclass(frozen=True)
class FloatType:
    """A floating-point type in which weights are stored and, on the GPU, computed with."""

    name: str
    onnx: int
    torch: torch.dtype
    numpy: type


FLOAT_TYPES = {
    f.name: f
    for f in (
        FloatType("fp32", TensorProto.FLOAT, torch.float32, np.float32),
        FloatType("fp16", TensorProto.FLOAT16, torch.float16, np.float16),
        FloatType("bf16", TensorProto.BFLOAT16, torch.bfloat16, ml_dtypes.bfloat16),
    )
}


def export(checkpoint: Checkpoint, directory: Path, precision: str, max_positions: int) -> None:
    """Write `lm.onnx`, its weights and `lm.json` into `directory`; one weight is in memory at a time.

    Norms, rotary embedding and softmax compute in float32, everything else in `precision`, as transformers does. A
    second graph over the same weights, `check.onnx`, computes everything in float32, because ONNX Runtime has no
    bfloat16 on a CPU; the caller removes it after comparing it with transformers.
    """
    directory.mkdir(parents=True, exist_ok=True)
    stored = FLOAT_TYPES[precision]
    with WeightsFile(directory / WEIGHTS) as weights:
        _write_weights(checkpoint, weights, stored, max_positions)
    _Graph(checkpoint.config, weights, stored, computed=stored).save(directory / GRAPH)
    _Graph(checkpoint.config, weights, stored, computed=FLOAT_TYPES["fp32"]).save(directory / CHECK_GRAPH)
    describe(checkpoint.config, max_positions).write(directory / ModelDescription.FILE)


def _write_weights(checkpoint: Checkpoint, weights: WeightsFile, stored: FloatType, max_positions: int) -> None:
    config = checkpoint.config

    def rounded(name: str, matrix: torch.Tensor) -> None:
        matrix = matrix.to(stored.torch).contiguous()
        # numpy knows bfloat16 only through ml_dtypes, to which torch does not convert; the bytes are the same.
        weights.add(name, matrix.view(torch.uint8).numpy().view(stored.numpy))

    def linear(name: str, *sources: str) -> None:
        rounded(name, torch.cat([checkpoint.tensor(source) for source in sources]).T)

    cosine, sine = rotary_tables(config, max_positions)
    weights.add("rope.cos", cosine)
    weights.add("rope.sin", sine)
    rounded("text.embedding", checkpoint.tensor("model.embed_tokens.weight"))
    rounded("audio.embedding", checkpoint.tensor("model.embed_audio_tokens.embed_audio_tokens.weight"))
    for i in tqdm(range(config.num_layers), desc="language model", unit="layer", disable=config.num_layers < 16):
        source, name = f"model.layers.{i}", f"layer{i}"
        linear(f"{name}.qkv", *(f"{source}.self_attn.{p}_proj.weight" for p in "qkv"))
        linear(f"{name}.out", f"{source}.self_attn.o_proj.weight")
        for norm, part in (("norm1", "input_layernorm"), ("norm2", "post_attention_layernorm")):
            rows = [checkpoint.tensor(f"{source}.{prefix}{part}.weight") for _, prefix in _MODALITIES]
            weights.add(f"{name}.{norm}", torch.stack(rows).float().numpy())
        for modality, prefix in _MODALITIES:
            ffn = f"{source}.{prefix}mlp"
            linear(f"{name}.{modality}.gate_up", f"{ffn}.gate_proj.weight", f"{ffn}.up_proj.weight")
            linear(f"{name}.{modality}.down", f"{ffn}.down_proj.weight")
    weights.add("norm", checkpoint.tensor("model.norm.weight").float().numpy())
    linear("audio.head", "audio_lm_head.weight")


class _Graph:
    """Builds the graph. Hidden states are flat inside it: [batch * sequence, hidden_size]."""

    def __init__(
        self, config: LanguageModelConfig, weights: WeightsFile, stored: FloatType, computed: FloatType
    ) -> None:
        self._config, self._stored, self._computed = config, stored, computed
        self._graph = GraphBuilder("language_model", weights)
        self._build()

    def save(self, path: Path) -> None:
        self._graph.save(path)

    def _build(self) -> None:
        graph, config = self._graph, self._config
        for name in ("ids", "modality", "positions"):
            graph.input(name, TensorProto.INT64, ["batch", "sequence"])
        graph.input("columns", TensorProto.INT64, ["batch", "sequence", config.num_codebooks])
        graph.input("text_rows", TensorProto.INT64, ["num_text_rows"])
        graph.input("audio_rows", TensorProto.INT64, ["num_audio_rows"])
        graph.input("row_order", TensorProto.INT64, ["rows"])
        for i in range(config.num_layers):
            for kind in ("key", "value"):
                shape: list[int | str] = ["batch", config.num_kv_heads, "past", config.head_dim]
                graph.input(f"past_{kind}_{i}", self._computed.onnx, shape)
        graph.constant("minus_one", np.array([-1], dtype=np.int64))
        residual = self._embed()
        self._modality = graph.node("Reshape", ["modality", "minus_one"], ["flat_modality"])
        self._prepare_attention()
        stored: list[str] = []
        for i in range(config.num_layers):
            layer = f"layer{i}"
            attended, new = self._attention(i, self._norm(f"{layer}.norm1", residual))
            stored += new
            residual = graph.node(
                "Add", [residual, self._linear(f"{layer}.out", attended)], [f"{layer}.after_attention"]
            )
            fed = self._feed_forward(layer, self._norm(f"{layer}.norm2", residual))
            residual = graph.node("Add", [residual, fed], [f"{layer}.after_ffn"])
        graph.node("Concat", stored, ["new_key_values"], axis=0)
        graph.output(
            "new_key_values",
            self._computed.onnx,
            [2 * config.num_layers, "batch", config.num_kv_heads, "sequence", config.head_dim],
        )
        self._head(residual)

    def _embed(self) -> str:
        """Text rows and, summed over the codebooks in float32, audio rows; each position takes its modality's."""
        graph, config = self._graph, self._config
        text = self._looked_up("text.embedding", "ids")
        graph.constant("codebook_offsets", np.arange(config.num_codebooks, dtype=np.int64) * config.codebook_size)
        graph.constant("codebook_axis", np.array([2], dtype=np.int64))
        rows = graph.node("Add", ["columns", "codebook_offsets"], ["audio_ids"])
        looked_up = self._looked_up("audio.embedding", rows)
        summed = graph.node("ReduceSum", [self._float(looked_up), "codebook_axis"], ["summed"], keepdims=0)
        is_audio = graph.node("Cast", ["modality"], ["is_audio"], to=TensorProto.BOOL)
        graph.constant("last_axis", np.array([-1], dtype=np.int64))
        chosen = graph.node("Unsqueeze", [is_audio, "last_axis"], ["is_audio_position"])
        embedded = graph.node("Where", [chosen, self._rounded(summed), text], ["embedded"])
        graph.constant("flat_shape", np.array([-1, config.hidden_size], dtype=np.int64))
        return graph.node("Reshape", [embedded, "flat_shape"], ["residual"])

    def _prepare_attention(self) -> None:
        """What all layers share: rotary factors, shapes, and the bias that masks what a query must not see."""
        graph, config = self._graph, self._config
        graph.constant("head_axis", np.array([2], dtype=np.int64))
        for part in ("cos", "sin"):
            looked_up = graph.node("Gather", [graph.weight(f"rope.{part}"), "positions"], [f"{part}_at"])
            graph.node("Unsqueeze", [looked_up, "head_axis"], [part])
        shape = graph.node("Shape", ["ids"], ["batch_sequence"])
        for name, heads in (("query_shape", config.num_heads), ("key_shape", config.num_kv_heads)):
            graph.constant(f"{name}.heads", np.array([heads, config.head_dim], dtype=np.int64))
            graph.node("Concat", [shape, f"{name}.heads"], [name], axis=0)
        group = config.num_heads // config.num_kv_heads
        graph.constant("grouped_shape", np.array([0, config.num_kv_heads, -1, config.head_dim], dtype=np.int64))
        graph.constant("ungrouped_shape", np.array([0, config.num_heads, -1, config.head_dim], dtype=np.int64))
        graph.constant("joined_shape", np.array([-1, config.num_heads * config.head_dim], dtype=np.int64))
        # Queries are [batch, num_kv_heads, group * sequence, head_dim]: a KV head's keys are read once for its group.
        graph.constant("query_axes", np.array([1, 3], dtype=np.int64))
        graph.constant("key_axes", np.array([1, 2], dtype=np.int64))
        tiled = graph.node("Concat", ["positions"] * group, ["query_positions"], axis=1)
        query = graph.node("Unsqueeze", [tiled, "query_axes"], ["query_at"])
        key = graph.node("Unsqueeze", ["positions", "key_axes"], ["key_at"])
        new = graph.node("GreaterOrEqual", [query, key], ["sees_new"])
        # A row's first position is the length of its past; the rest of its buffer holds another stream's data.
        graph.constant("zero", np.array([0], dtype=np.int64))
        graph.constant("one", np.array([1], dtype=np.int64))
        graph.constant("three", np.array([3], dtype=np.int64))
        graph.constant("sequence_axis", np.array([1], dtype=np.int64))
        first = graph.node("Slice", ["positions", "zero", "one", "sequence_axis"], ["past_length"])
        first = graph.node("Unsqueeze", [first, "key_axes"], ["past_length_at"])
        past = graph.node("Shape", ["past_key_0"], ["past_size"], start=2, end=3)
        graph.constant("scalar_zero", np.int64(0))
        graph.constant("scalar_one", np.int64(1))
        end = graph.node("Squeeze", [past], ["past_end"])
        slots = graph.node("Range", ["scalar_zero", end, "scalar_one"], ["past_slots"])
        old = graph.node("Less", [slots, first], ["sees_past_once"])
        # One row of it for every query, so that both parts can be joined.
        queries = graph.node("Shape", [query], ["query_count"], start=2, end=3)
        sizes = graph.node("Concat", ["one", "one", queries, "one"], ["past_mask_shape"], axis=0)
        old = graph.node("Expand", [old, sizes], ["sees_past"])
        seen = graph.node("Concat", [old, new], ["sees"], axis=3)
        graph.constant("seen_bias", np.float32(0))
        graph.constant("hidden_bias", np.float32(-np.inf))
        graph.node("Where", [seen, "seen_bias", "hidden_bias"], ["attention_bias"])
        graph.constant("to_the_end", np.array([np.iinfo(np.int64).max], dtype=np.int64))

    def _attention(self, i: int, hidden: str) -> tuple[str, list[str]]:
        """Grouped-query attention over past and new positions; returns (flat result, new key and value to store)."""
        graph, config, layer = self._graph, self._config, f"layer{i}"
        widths = [config.num_heads * config.head_dim, *[config.num_kv_heads * config.head_dim] * 2]
        graph.constant("qkv_widths", np.array(widths, dtype=np.int64))
        parts = [f"{layer}.q", f"{layer}.k", f"{layer}.v"]
        graph.node("Split", [self._linear(f"{layer}.qkv", hidden), "qkv_widths"], parts, axis=1)
        query = graph.node("Reshape", [parts[0], "query_shape"], [f"{parts[0]}.heads"])
        key = graph.node("Reshape", [parts[1], "key_shape"], [f"{parts[1]}.heads"])
        value = graph.node("Reshape", [parts[2], "key_shape"], [f"{parts[2]}.heads"])
        graph.constant("query_scale", np.float32(config.head_dim**-0.5))
        scaled = graph.node("Mul", [self._rotated(query), "query_scale"], [f"{layer}.scaled"])
        query = graph.node("Transpose", [self._rounded(scaled)], [f"{layer}.query"], perm=[0, 2, 1, 3])
        query = graph.node("Reshape", [query, "grouped_shape"], [f"{layer}.grouped"])
        key = graph.node("Transpose", [self._rounded(self._rotated(key))], [f"{layer}.key"], perm=[0, 2, 1, 3])
        value = graph.node("Transpose", [value], [f"{layer}.value"], perm=[0, 2, 1, 3])
        scores = []
        for name, keys in (("past", f"past_key_{i}"), ("new", key)):
            turned = graph.node("Transpose", [keys], [f"{layer}.{name}_turned"], perm=[0, 1, 3, 2])
            scores.append(graph.node("MatMul", [query, turned], [f"{layer}.{name}_scores"]))
        joined = self._float(graph.node("Concat", scores, [f"{layer}.scores"], axis=3))
        biased = graph.node("Add", [joined, "attention_bias"], [f"{layer}.biased"])
        weights = self._rounded(graph.node("Softmax", [biased], [f"{layer}.weights"], axis=3))
        seen = []
        for name, values, bounds in (
            ("past", f"past_value_{i}", ["zero", "past_size"]),
            ("new", value, ["past_size", "to_the_end"]),
        ):
            part = graph.node("Slice", [weights, *bounds, "three"], [f"{layer}.{name}_weights"])
            seen.append(graph.node("MatMul", [part, values], [f"{layer}.{name}_seen"]))
        attended = graph.node("Add", seen, [f"{layer}.attended"])
        attended = graph.node("Reshape", [attended, "ungrouped_shape"], [f"{layer}.ungrouped"])
        attended = graph.node("Transpose", [attended], [f"{layer}.turned_back"], perm=[0, 2, 1, 3])
        new = [graph.node("Unsqueeze", [part, "zero"], [f"{part}.stored"]) for part in (key, value)]
        return graph.node("Reshape", [attended, "joined_shape"], [f"{layer}.joined"]), new

    def _rotated(self, heads: str) -> str:
        """Rotary embedding of [batch, sequence, heads, head_dim], in float32: the first half turns with the second."""
        graph = self._graph
        half = self._config.head_dim // 2
        graph.constant("half_widths", np.array([half, half], dtype=np.int64))
        first, second = f"{heads}.first", f"{heads}.second"
        graph.node("Split", [self._float(heads), "half_widths"], [first, second], axis=3)
        products = {
            (part, factor): graph.node("Mul", [part, factor], [f"{part}.{factor}"])
            for part in (first, second)
            for factor in ("cos", "sin")
        }
        low = graph.node("Sub", [products[first, "cos"], products[second, "sin"]], [f"{heads}.low"])
        high = graph.node("Add", [products[second, "cos"], products[first, "sin"]], [f"{heads}.high"])
        return graph.node("Concat", [low, high], [f"{heads}.rotated"], axis=3)

    def _feed_forward(self, layer: str, hidden: str) -> str:
        """Each row through the network of its modality."""
        graph = self._graph
        graph.constant("ffn_widths", np.array([self._config.intermediate_size] * 2, dtype=np.int64))
        outputs = []
        for modality, _ in _MODALITIES:
            name = f"{layer}.{modality}"
            rows = graph.node("Gather", [hidden, f"{modality}_rows"], [f"{name}.rows"], axis=0)
            halves = [f"{name}.gate", f"{name}.up"]
            graph.node("Split", [self._linear(f"{name}.gate_up", rows), "ffn_widths"], halves, axis=1)
            sigmoid = graph.node("Sigmoid", [halves[0]], [f"{name}.sigmoid"])
            silu = graph.node("Mul", [halves[0], sigmoid], [f"{name}.silu"])
            product = graph.node("Mul", [silu, halves[1]], [f"{name}.product"])
            outputs.append(self._linear(f"{name}.down", product))
        joined = graph.node("Concat", outputs, [f"{layer}.by_modality"], axis=0)
        return graph.node("Gather", [joined, "row_order"], [f"{layer}.ffn"], axis=0)

    def _norm(self, name: str, hidden: str) -> str:
        """RMSNorm with the weights of each row's modality."""
        weights = self._graph.node("Gather", [self._graph.weight(name), self._modality], [f"{name}.weights"], axis=0)
        return self._normalized(name, hidden, weights)

    def _normalized(self, name: str, hidden: str, weights: str) -> str:
        graph = self._graph
        graph.constant("epsilon", np.float32(self._config.rms_norm_eps))
        single = self._float(hidden)
        squares = graph.node("Mul", [single, single], [f"{name}.squares"])
        mean = graph.node("ReduceMean", [squares, "minus_one"], [f"{name}.mean"], keepdims=1)
        root = graph.node("Sqrt", [graph.node("Add", [mean, "epsilon"], [f"{name}.mean_epsilon"])], [f"{name}.root"])
        normalized = graph.node("Div", [single, root], [f"{name}.normalized"])
        return self._rounded(graph.node("Mul", [normalized, weights], [f"{name}.weighted"]))

    def _head(self, residual: str) -> None:
        graph, config = self._graph, self._config
        graph.constant("hidden_width", np.array([config.hidden_size], dtype=np.int64))
        shape = graph.node("Concat", ["batch_sequence", "hidden_width"], ["hidden_shape"], axis=0)
        rows = graph.node("Reshape", [residual, shape], ["hidden_rows"])
        graph.constant("last", np.int64(-1))
        last = graph.node("Gather", [rows, "last"], ["last_hidden"], axis=1)
        logits = self._linear("audio.head", self._normalized("norm", last, graph.weight("norm")))
        graph.constant("logits_shape", np.array([0, config.num_codebooks, config.codebook_size], dtype=np.int64))
        shaped = graph.node("Reshape", [logits, "logits_shape"], ["shaped_logits"])
        graph.node("Cast", [shaped], ["logits"], to=TensorProto.FLOAT)
        graph.output("logits", TensorProto.FLOAT, ["batch", config.num_codebooks, config.codebook_size])

    def _linear(self, name: str, hidden: str) -> str:
        return self._graph.node("MatMul", [hidden, self._as_computed(self._graph.weight(name))], [f"{name}.y"])

    def _looked_up(self, name: str, rows: str) -> str:
        return self._as_computed(self._graph.node("Gather", [self._graph.weight(name), rows], [f"{name}.rows"]))

    def _as_computed(self, stored: str) -> str:
        if self._stored is self._computed:
            return stored
        return self._graph.node("Cast", [stored], [f"{stored}.computed"], to=self._computed.onnx)

    def _float(self, tensor: str) -> str:
        if self._computed.onnx == TensorProto.FLOAT:
            return tensor
        return self._graph.node("Cast", [tensor], [f"{tensor}.float"], to=TensorProto.FLOAT)

    def _rounded(self, tensor: str) -> str:
        if self._computed.onnx == TensorProto.FLOAT:
            return tensor
        return self._graph.node("Cast", [tensor], [f"{tensor}.rounded"], to=self._computed.onnx)
