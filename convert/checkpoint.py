"""A Higgs Audio V2 language model on disk, in either layout, read one tensor at a time under transformers' names."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from convert.config import LanguageModelConfig
from convert.errors import ModelLoadingError
from convert.hub import NEEDED_FILES, resolve
from convert.layouts import stored_names
from convert.shards import StoredTensor, open_shards, read_tensor


@dataclass(frozen=True)
class Checkpoint:
    """A validated checkpoint: its configuration, and its tensors on demand."""

    directory: Path
    revision: str | None
    config: LanguageModelConfig
    _tensors: dict[str, StoredTensor]  # by stored name
    _parts: dict[str, tuple[str, ...]]  # transformers' name -> stored names

    @classmethod
    def open(cls, source: str | os.PathLike[str], revision: str | None = None) -> "Checkpoint":
        """Finds (or downloads) `source`, reads its configuration and headers, and validates them.

        Raises:
            ModelLoadingError: whatever is wrong with it, in one sentence.
        """
        directory = resolve(source, revision)
        config = LanguageModelConfig.from_files(directory)
        tensors = open_shards(directory)
        checkpoint = cls(directory, revision, config, tensors, stored_names(tensors))
        checkpoint.validate()
        return checkpoint

    def names(self) -> tuple[str, ...]:
        """transformers' names of the tensors the exports need, in the model's order."""
        return tuple(required_shapes(self.config))

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor transformers calls `name`, in its stored dtype. Nothing is cached: each call reads the file."""
        parts = [read_tensor(self._tensors[stored], stored) for stored in self._stored(name)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def stored_types(self) -> set[str]:
        """safetensors' names of the dtypes the needed tensors are stored in."""
        return {self._tensors[stored].dtype for name in self.names() for stored in self._stored(name)}

    def validate(self) -> None:
        """Checks that every tensor the exports need exists in the right shape, from the headers alone.

        Raises:
            ModelLoadingError: a tensor is missing or has the wrong shape (names the first), or there are more layers.
        """
        for name, expected in required_shapes(self.config).items():
            shapes = [self._tensors[stored].shape for stored in self._stored(name)]
            whole = (sum(shape[0] for shape in shapes if shape), *shapes[0][1:])
            if whole != expected or any(shape[1:] != shapes[0][1:] for shape in shapes):
                raise ModelLoadingError(
                    f"{name} has shape {' + '.join(map(str, map(list, shapes)))} in {self.directory}; "
                    f"config.json asks for {list(expected)}."
                )
        layers = self.config.num_layers
        if any(name.startswith(f"model.layers.{layers}.") for name in self._parts):
            raise ModelLoadingError(
                f"{self.directory}: config.json asks for {layers} layers where the weights hold more."
            )

    def file_hashes(self) -> dict[str, str]:
        """File name -> SHA-256 in hex, for every file of the checkpoint's folder that defines the model."""
        files = sorted({file for pattern in NEEDED_FILES for file in self.directory.glob(pattern) if file.is_file()})
        hashes = {}
        for file in files:
            with file.open("rb") as stream:
                hashes[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
        return hashes

    def _stored(self, name: str) -> tuple[str, ...]:
        if name not in self._parts:
            raise ModelLoadingError(f"{name} is missing from the weights in {self.directory}.")
        return self._parts[name]


def required_shapes(config: LanguageModelConfig) -> dict[str, tuple[int, ...]]:
    """transformers' name -> shape for every tensor that generating audio needs (the text head is not among them)."""
    hidden, ffn = config.hidden_size, config.intermediate_size
    audio_rows = config.num_codebooks * config.codebook_size
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    layer: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
    }
    for mlp in ("mlp", "audio_mlp"):
        layer |= {
            f"{mlp}.gate_proj": (ffn, hidden),
            f"{mlp}.up_proj": (ffn, hidden),
            f"{mlp}.down_proj": (hidden, ffn),
        }
    for norm in ("input_layernorm", "post_attention_layernorm"):
        layer |= {norm: (hidden,), f"audio_{norm}": (hidden,)}
    return {
        "model.embed_tokens.weight": (config.vocab_size, hidden),
        "model.embed_audio_tokens.embed_audio_tokens.weight": (audio_rows, hidden),
        **{
            f"model.layers.{index}.{part}.weight": shape
            for index in range(config.num_layers)
            for part, shape in layer.items()
        },
        "model.norm.weight": (hidden,),
        "audio_lm_head.weight": (audio_rows, hidden),
    }
