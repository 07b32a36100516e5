"""The language model as two ONNX graphs for ONNX Runtime, over one weights file.

`text.onnx` reads text positions of one stream: it only fills the KV cache, for the first generated column does not
depend on logits. `audio.onnx` reads audio positions and gives the logits of each row's last one: it serves a prompt's
reference clip (one row, many positions) and the decode step (one row a live stream, one position). A position's
modality chooses the graph, so neither graph carries the other's feed-forward weights; attention weights are shared.

The KV cache is the caller's: past and present are meant to be bound to the same buffers, and the attention operator
(ONNX Runtime's GroupQueryAttention) writes the new positions in place.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto
from tqdm import tqdm
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from convert.checkpoint import Checkpoint
from convert.config import LanguageModelConfig
from convert.onnx_writer import GraphBuilder, WeightsFile
from convert.quantization import PRECISIONS, Precision, quantize
from convert.reference import transformers_config
from runtime.engine.types import ModelDescription

TEXT_GRAPH, AUDIO_GRAPH, WEIGHTS = "text.onnx", "audio.onnx", "weights.bin"
_QKV = ".qkv"


def export(checkpoint: Checkpoint, directory: Path, precision: str = "fp32", max_positions: int = 4096) -> None:
    """Write both graphs, their weights and `lm.json` into `directory`; one weight is in memory at a time.

    `max_positions` bounds prompt plus generated columns of one stream (the rotary tables are that long).
    """
    directory.mkdir(parents=True, exist_ok=True)
    with WeightsFile(directory / WEIGHTS) as weights:
        _write_weights(checkpoint, weights, PRECISIONS[precision], max_positions)
    _Graph(checkpoint.config, PRECISIONS[precision], weights, audio=False).save(directory / TEXT_GRAPH)
    _Graph(checkpoint.config, PRECISIONS[precision], weights, audio=True).save(directory / AUDIO_GRAPH)
    describe(checkpoint.config, max_positions).write(directory / ModelDescription.FILE)


def describe(config: LanguageModelConfig, max_positions: int) -> ModelDescription:
    """What the engine must know of the model, and nothing else."""
    return ModelDescription(
        config.layout,
        num_layers=config.num_layers,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        vocab_size=config.vocab_size,
        max_positions=max_positions,
        reference_token_id=config.audio_token_id,
    )


def _write_weights(checkpoint: Checkpoint, weights: WeightsFile, precision: Precision, max_positions: int) -> None:
    config = checkpoint.config

    def plain(name: str, source: str) -> None:
        weights.add(name, checkpoint.tensor(source).float().numpy())

    def linear(name: str, *sources: str) -> None:
        matrix = torch.cat([checkpoint.tensor(source) for source in sources]).float().numpy()
        form = _form(name, precision)
        if form.bits is None:
            weights.add(name, matrix.T)
        else:
            levels, scales = quantize(matrix, form)
            weights.add(f"{name}.levels", levels)
            weights.add(f"{name}.scales", scales)

    cosine, sine = rotary_tables(config, max_positions)
    weights.add("rope.cos", cosine)
    weights.add("rope.sin", sine)
    plain("text.embedding", "model.embed_tokens.weight")
    plain("audio.embedding", "model.embed_audio_tokens.embed_audio_tokens.weight")
    for i in tqdm(range(config.num_layers), desc="language model", unit="layer", disable=config.num_layers < 16):
        source, name = f"model.layers.{i}", f"layer{i}"
        linear(f"{name}{_QKV}", *(f"{source}.self_attn.{p}_proj.weight" for p in "qkv"))
        linear(f"{name}.out", f"{source}.self_attn.o_proj.weight")
        for modality, prefix in (("text", ""), ("audio", "audio_")):
            plain(f"{name}.{modality}.norm1", f"{source}.{prefix}input_layernorm.weight")
            if modality == "text" and i == config.num_layers - 1:
                continue  # nothing reads a text position's last hidden state
            plain(f"{name}.{modality}.norm2", f"{source}.{prefix}post_attention_layernorm.weight")
            ffn = f"{source}.{prefix}mlp"
            linear(f"{name}.{modality}.gate_up", f"{ffn}.gate_proj.weight", f"{ffn}.up_proj.weight")
            linear(f"{name}.{modality}.down", f"{ffn}.down_proj.weight")
    plain("norm", "model.norm.weight")
    linear("audio.head", "audio_lm_head.weight")


def _form(name: str, precision: Precision) -> Precision:
    """How a linear layer's weights are stored."""
    return precision.scores or precision if name.endswith(_QKV) else precision


def rotary_tables(config: LanguageModelConfig, positions: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of the checkpoint's RoPE, float32 [positions, head_dim / 2], by transformers' own frequencies."""
    rope_type = config.rope_parameters["rope_type"]
    if rope_type == "default":
        exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float) / config.head_dim
        frequencies, scaling = 1.0 / float(config.rope_parameters["rope_theta"]) ** exponent, 1.0
    else:
        frequencies, scaling = ROPE_INIT_FUNCTIONS[rope_type](transformers_config(config), device=None)
    angles = torch.arange(positions, dtype=torch.float)[:, None] * frequencies[None, :]
    return (angles.cos() * scaling).numpy(), (angles.sin() * scaling).numpy()


class _Graph:
    """Builds one of the two graphs."""

    def __init__(self, config: LanguageModelConfig, precision: Precision, weights: WeightsFile, audio: bool) -> None:
        self._config, self._precision, self._audio = config, precision, audio
        self._modality = "audio" if audio else "text"
        self._graph = GraphBuilder(self._modality, weights)
        self._build()

    def save(self, path: Path) -> None:
        self._graph.save(path)

    def _build(self) -> None:
        graph, config = self._graph, self._config
        residual = self._embed_audio() if self._audio else self._embed_text()
        graph.input("last_positions", TensorProto.INT32, ["batch"])
        graph.input("cache_length", TensorProto.INT32, [])
        delta: str | None = None
        for i in range(config.num_layers):
            layer = f"layer{i}"
            normed, residual = self._norm(f"{layer}.{self._modality}.norm1", residual, delta)
            attended = self._attention(i, normed)
            if not self._audio and i == config.num_layers - 1:
                return
            delta = self._linear(f"{layer}.out", attended)
            normed, residual = self._norm(f"{layer}.{self._modality}.norm2", residual, delta)
            delta = self._feed_forward(f"{layer}.{self._modality}", normed)
        normed, _ = self._norm("norm", residual, delta)
        graph.constant("last", np.int64(-1))
        hidden = graph.node("Gather", [normed, "last"], ["last_hidden"], axis=1)
        logits = self._linear("audio.head", hidden)
        graph.constant("logits_shape", np.array([0, config.num_codebooks, config.codebook_size], dtype=np.int64))
        graph.node("Reshape", [logits, "logits_shape"], ["logits"])
        graph.output("logits", TensorProto.FLOAT, ["batch", config.num_codebooks, config.codebook_size])

    def _embed_text(self) -> str:
        self._graph.input("ids", TensorProto.INT64, ["batch", "positions"])
        return self._graph.node("Gather", [self._graph.weight("text.embedding"), "ids"], ["embedded"])

    def _embed_audio(self) -> str:
        """The sum of one embedding row a codebook."""
        graph, config = self._graph, self._config
        graph.input("columns", TensorProto.INT64, ["batch", "positions", config.num_codebooks])
        graph.constant("codebook_offsets", np.arange(config.num_codebooks, dtype=np.int64) * config.codebook_size)
        rows = graph.node("Add", ["columns", "codebook_offsets"], ["rows"])
        looked_up = graph.node("Gather", [graph.weight("audio.embedding"), rows], ["looked_up"])
        graph.constant("codebook_axis", np.array([2], dtype=np.int64))
        return graph.node("ReduceSum", [looked_up, "codebook_axis"], ["embedded"], keepdims=0)

    def _norm(self, name: str, residual: str, delta: str | None) -> tuple[str, str]:
        """RMSNorm of residual + delta; returns (normalised, the sum)."""
        weight, epsilon = self._graph.weight(name), self._config.rms_norm_eps
        if delta is None:
            normed = self._graph.node(
                "SimplifiedLayerNormalization", [residual, weight], [f"{name}.out"], epsilon=epsilon, axis=-1
            )
            return normed, residual
        outputs = [f"{name}.out", "", "", f"{name}.sum"]
        self._graph.contrib("SkipSimplifiedLayerNormalization", [residual, delta, weight], outputs, epsilon=epsilon)
        return outputs[0], outputs[3]

    def _attention(self, i: int, hidden: str) -> str:
        """Grouped-query attention with rotary embedding over the cache; writes the new positions into it."""
        graph, config = self._graph, self._config
        shape: list[int | str] = ["batch", config.num_kv_heads, "cache", config.head_dim]
        for kind in ("key", "value"):
            graph.input(f"past_{kind}_{i}", TensorProto.FLOAT, shape)
            graph.output(f"present_{kind}_{i}", TensorProto.FLOAT, shape)
        qkv = self._linear(f"layer{i}{_QKV}", hidden)
        cache = [f"past_key_{i}", f"past_value_{i}", "last_positions", "cache_length"]
        tables = [graph.weight("rope.cos"), graph.weight("rope.sin")]
        return graph.contrib(
            "GroupQueryAttention",
            [qkv, "", "", *cache, *tables],
            [f"layer{i}.attended", f"present_key_{i}", f"present_value_{i}"],
            num_heads=config.num_heads,
            kv_num_heads=config.num_kv_heads,
            do_rotary=1,
            scale=config.head_dim**-0.5,
        )

    def _feed_forward(self, name: str, hidden: str) -> str:
        graph = self._graph
        joined = self._linear(f"{name}.gate_up", hidden)
        graph.node("Split", [joined], [f"{name}.gate", f"{name}.up"], axis=-1, num_outputs=2)
        gated = graph.contrib("QuickGelu", [f"{name}.gate"], [f"{name}.silu"], alpha=1.0)  # alpha 1 is SiLU
        return self._linear(f"{name}.down", graph.node("Mul", [gated, f"{name}.up"], [f"{name}.product"]))

    def _linear(self, name: str, hidden: str) -> str:
        form = _form(name, self._precision)
        if form.bits is None:
            return self._graph.node("MatMul", [hidden, self._graph.weight(name)], [f"{name}.y"])
        levels = self._graph.weight(f"{name}.levels")
        scales = self._graph.weight(f"{name}.scales")
        rows, blocks, _ = self._graph.weights.shape(f"{name}.levels")
        return self._graph.contrib(
            "MatMulNBits",
            [hidden, levels, scales],
            [f"{name}.y"],
            N=rows,
            K=blocks * form.block_size,
            bits=form.bits,
            block_size=form.block_size,
            accuracy_level=4,  # int8 activations: the fast kernels
        )
