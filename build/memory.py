"""The GPU memory that a target needs, computed from the model's shapes; nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from build.errors import BuildError
from build.targets import Target
from runtime.engine.delay_pattern import delayed_columns
from runtime.engine.types import GENERATED_ROWS

GIB = 2**30
USABLE = 0.9  # of the memory; the rest is for the driver, fragmentation and whatever this model omits
# Of each weight of the layers; embeddings, head and norms stay in 16 bits, keys and values too.
WEIGHT_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5}
_BF16 = 2
QUANTISED = ("quantization_config", "compression_config")  # in the config.json of a checkpoint that is so already


@dataclass(frozen=True)
class ModelShape:
    """The shapes that memory depends on, all from the checkpoint's config.json.

    `stored_bytes`: of all weights, where they are quantised already and vLLM reads them as they are; None: the target's
    precision says it. From config.json alone it is the least that it can be.
    """

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    num_codebooks: int
    codebook_size: int  # stream marks included
    stored_bytes: int | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelShape:
        """From transformers' or Boson's config.json. Raises BuildError, which names the missing key."""
        body = config.get("text_config", config)
        try:
            heads = int(body["num_attention_heads"])
            # Boson counts the codes only; each codebook has two more rows, for stream BOS and stream EOS.
            rows = config["codebook_size"] if "codebook_size" in config else config["audio_codebook_size"] + 2
            shape = cls(
                hidden_size=int(body["hidden_size"]),
                intermediate_size=int(body["intermediate_size"]),
                num_layers=int(body["num_hidden_layers"]),
                num_heads=heads,
                num_kv_heads=int(body["num_key_value_heads"]),
                head_dim=int(body.get("head_dim") or body["hidden_size"] // max(1, heads)),
                vocab_size=int(body["vocab_size"]),
                num_codebooks=int(config.get("num_codebooks") or config["audio_num_codebooks"]),
                codebook_size=int(rows),
            )
            quantised = any(config.get(key) for key in QUANTISED)
            return replace(shape, stored_bytes=shape.weight_bytes("int4")) if quantised else shape
        except (KeyError, TypeError, ValueError) as error:
            raise BuildError(
                f"config.json does not describe Higgs Audio V2: {error} is missing or not a number"
            ) from error

    def __post_init__(self) -> None:
        for field, size in asdict(self).items():
            if size is not None and size < 1:
                raise BuildError(f"config.json does not describe Higgs Audio V2: {field} is {size}")

    def check_split(self, gpus: int) -> None:
        """Raises BuildError when the layers cannot be split over so many GPUs: each takes as many whole heads."""
        for field in ("num_heads", "num_kv_heads", "intermediate_size"):
            size = getattr(self, field)
            if size % gpus:
                raise BuildError(f"the model cannot be split over {gpus} GPUs: its {field}, {size}, is no multiple")

    @property
    def layer_parameters(self) -> int:
        """Of all layers: attention and both feed-forward networks."""
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        attention = 2 * self.hidden_size * (queries + keys)
        return self.num_layers * (attention + 2 * 3 * self.hidden_size * self.intermediate_size)

    @property
    def table_parameters(self) -> int:
        """Text embedding, audio embedding and audio head; the text head is not exported."""
        return (self.vocab_size + 2 * self.num_codebooks * self.codebook_size) * self.hidden_size

    def weight_bytes(self, precision: str) -> int:
        """Of all weights, when the layers' are in this precision or quantised already."""
        return self.stored_bytes or int(self.layer_parameters * WEIGHT_BYTES[precision]) + self.table_parameters * _BF16

    @property
    def position_bytes(self) -> int:
        """Keys and values of one position, in bf16."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * _BF16


@dataclass(frozen=True)
class Footprint:
    """Bytes on a GPU, on each of several, while a target serves, every stream at its longest."""

    weights: int
    keys_and_values: int
    frame_table: int
    workspace: int

    @property
    def total(self) -> int:
        return self.weights + self.keys_and_values + self.frame_table + self.workspace

    def __str__(self) -> str:
        return (
            f"{self.total / GIB:.1f} GiB (weights {self.weights / GIB:.1f}, keys and values "
            f"{self.keys_and_values / GIB:.1f}, frame table {self.frame_table / GIB:.1f}, "
            f"workspace {self.workspace / GIB:.1f})"
        )


def table_rows(target: Target, num_codebooks: int, frames_per_second: float) -> int:
    """Rows of one stream's frame table: a prompt's audio positions and the generated columns beside."""
    return prompt_audio_positions(target, num_codebooks, frames_per_second) + GENERATED_ROWS


def prompt_audio_positions(target: Target, num_codebooks: int, frames_per_second: float) -> int:
    """How many positions of a prompt may be audio: reference clips and parts in context, in delay pattern.

    One clip may be as long as `prompt_audio_seconds`, and several a little shorter together.
    """
    return delayed_columns(math.ceil(target.prompt_audio_seconds * frames_per_second), num_codebooks)


def footprint(shape: ModelShape, target: Target, frames_per_second: float) -> Footprint:
    """What the target needs with this model; `frames_per_second` is the codec's."""
    rows = table_rows(target, shape.num_codebooks, frames_per_second)
    return Footprint(
        weights=shape.weight_bytes(target.precision) // target.gpus,
        keys_and_values=target.max_streams * target.max_positions * shape.position_bytes // target.gpus,
        frame_table=target.lm.table_copies * target.max_streams * rows * shape.hidden_size * _BF16,
        workspace=int(target.workspace_gib * GIB),
    )


def fit(shape: ModelShape, target: Target, frames_per_second: float, memory_bytes: int) -> Target:
    """The target with as many streams, at most its own, as a GPU with this much memory holds.

    Raises BuildError, with the numbers, when not even one stream fits.
    """
    usable = int(USABLE * memory_bytes)
    empty = footprint(shape, replace(target, max_streams=0), frames_per_second)
    one = footprint(shape, replace(target, max_streams=1), frames_per_second)
    if one.total > usable:
        raise BuildError(
            f"target {target.name} needs {one} for a single stream in {target.precision}; "
            f"of the GPU's {memory_bytes / GIB:.1f} GiB, {usable / GIB:.1f} may be used: "
            "choose a smaller PRECISION or a larger GPU"
        )
    streams = (usable - empty.total) // (one.total - empty.total)
    return replace(target, max_streams=min(target.max_streams, streams))
