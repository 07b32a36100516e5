"""A Higgs Audio V2 language model on disk, in either layout, read one tensor at a time under transformers' names."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from convert.config import CONFIG_FILE, LanguageModelConfig
from convert.errors import ModelLoadingError
from convert.hub import NEEDED_FILES, resolve
from convert.json_values import JsonValues
from convert.layouts import stored_names
from convert.quantised import Group, Quantisation, configured
from convert.quantised_forms import FLOATS, WEIGHT
from convert.shards import StoredTensor, open_shards, read_tensor


@dataclass(frozen=True)
class Checkpoint:
    """A validated checkpoint: its configuration, and its tensors on demand."""

    directory: Path
    revision: str | None
    config: LanguageModelConfig
    _tensors: dict[str, StoredTensor]  # by stored name
    _parts: dict[str, tuple[str, ...]]  # transformers' name -> stored names
    quantisation: Quantisation | None

    @classmethod
    def open(cls, source: str | os.PathLike[str], revision: str | None = None, quantised: bool = False) -> "Checkpoint":
        """Finds (or downloads) `source`, reads its configuration and headers, and validates them.

        `quantised`: whether it may be quantised already; `tensor` then returns what its numbers stand for.

        Raises:
            ModelLoadingError: whatever is wrong with it, in one sentence.
        """
        directory = resolve(source, revision)
        config = LanguageModelConfig.from_files(directory)
        found = configured(JsonValues(directory / CONFIG_FILE))
        if found and not quantised:
            method = found.values.get("quant_method")
            raise ModelLoadingError(
                f"{found.where}: the weights are quantised already ({method}), which only vLLM runs "
                "(TARGET=vllm or vllm-cpu); for another target give the checkpoint they were made of, and a "
                "--precision of fewer bits."
            )
        quantisation = Quantisation.read(found) if found else None
        tensors = open_shards(directory)
        checkpoint = cls(directory, revision, config, tensors, stored_names(tensors), quantisation)
        checkpoint.validate()
        return checkpoint

    def names(self) -> tuple[str, ...]:
        """transformers' names of the tensors the exports need, in the model's order."""
        return tuple(required_shapes(self.config))

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor transformers calls `name`, in its stored dtype; in float32 when it is quantised. Nothing is
        cached: each call reads the file."""
        group = self.group(name)
        if group is None:
            return self.stored(name)
        try:
            return group.form.values(self.quantised_parts(name))
        except ValueError as error:
            raise ModelLoadingError(f"{name} in {self.directory}: {error}.") from error

    def stored(self, name: str) -> torch.Tensor:
        """The tensor as it is stored under transformers' `name`."""
        parts = [read_tensor(self._tensors[stored], stored) for stored in self._stored(name)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def held(self, name: str) -> StoredTensor | None:
        """Shape and dtype of what is stored in one piece under transformers' `name`; None: nothing is."""
        return self._tensors[self._parts[name][0]] if name in self._parts else None

    def group(self, name: str) -> Group | None:
        """How the tensor transformers calls `name` is quantised; None: it is stored as it is."""
        module, _, end = name.rpartition(".")
        if self.quantisation is None or end != WEIGHT:
            return None
        stored = self._parts.get(name, ())
        if stored and all(self._tensors[part].dtype in FLOATS for part in stored):
            return None
        # Boson's name of the module, too: the configuration speaks of the names that it was made with.
        others = next((names for other, names in self._parts.items() if other.startswith(f"{module}.")), ())
        return self.quantisation.group([module, *(other.rpartition(".")[0] for other in others)])

    def quantised_parts(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors that stand for a quantised one, by the ends of their names."""
        module, group = name.removesuffix(WEIGHT), self.group(name)
        assert group is not None
        ends = group.form.parts(required_shapes(self.config)[name])
        return {end: self.stored(module + end) for end in ends if module + end in self._parts}

    def stored_types(self) -> set[str]:
        """safetensors' names of the dtypes the needed tensors are stored in; F32 for what quantised ones stand for."""
        return {dtype for name in self.names() for dtype in self.dtypes(name)}

    def dtypes(self, name: str) -> set[str]:
        """Those of one tensor."""
        return {"F32"} if self.group(name) else {self._tensors[stored].dtype for stored in self._stored(name)}

    def validate(self) -> None:
        """Checks that every tensor the exports need exists in the right shape, from the headers alone.

        Raises:
            ModelLoadingError: a tensor is missing or has the wrong shape (names the first), or there are more layers.
        """
        for name, expected in required_shapes(self.config).items():
            if group := self.group(name):
                self._validate_quantised(name, expected, group)
                continue
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

    def _validate_quantised(self, name: str, expected: tuple[int, ...], group: Group) -> None:
        try:
            parts = group.form.parts(expected)
        except ValueError as error:
            raise ModelLoadingError(f"{name} in {self.directory} cannot be {group.form.kind}: {error}.") from error
        for end, part in parts.items():
            stored = name.removesuffix(WEIGHT) + end
            if part.optional and stored not in self._parts:
                continue
            for tensor in (self._tensors[one] for one in self._stored(stored)):
                if tensor.shape not in part.shapes or tensor.dtype not in part.dtypes:
                    shapes = " or ".join(str(list(shape)) for shape in part.shapes)
                    raise ModelLoadingError(
                        f"{stored} is {tensor.dtype} {list(tensor.shape)} in {self.directory}; {group.form.kind} asks "
                        f"for {' or '.join(part.dtypes)} {shapes}."
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
