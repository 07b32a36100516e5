"""What a checkpoint says about its language model, read from transformers' or Boson's config.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.errors import ModelLoadingError

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
TOKENIZER_FILE = "tokenizer.json"
# Boson's configuration does not know the token by which transformers marks the delay pattern's last columns.
DELAY_TOKEN = "<|reserved_special_token_6|>"
# Boson counts the codes only; each codebook has two more rows, for stream BOS and stream EOS.
BOSON_STREAM_ROWS = 2
# Parts of Boson's model family that Higgs Audio V2 does not use and the exports do not have.
BOSON_UNUSED = (
    "audio_embed_avg",
    "use_audio_out_embed_projector",
    "use_audio_out_self_attention",
    "use_rq_transformer",
)
LLAMA3_ROPE = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")


@dataclass(frozen=True)
class LanguageModelConfig:
    """The language model's shapes and ids. Every value is the checkpoint's; there are no defaults."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_parameters: dict[str, Any]  # transformers' form: rope_type "default" or "llama3", rope_theta, …
    max_position_embeddings: int
    num_codebooks: int
    codebook_size: int  # rows a codebook, stream BOS and EOS included: 1026 in the real model
    audio_token_id: int
    audio_bos_token_id: int
    audio_delay_token_id: int
    eos_token_id: int
    pad_token_id: int
    stream_bos_id: int
    stream_eos_id: int
    ras_win_len: int | None  # columns; None: the checkpoint asks for no repetition-aware sampling
    ras_win_max_num_repeat: int | None
    # What suits the model where a request does not say, if the checkpoint tells: the words of a part, and in view of
    # what a turn of a dialogue is spoken, "all" or "own".
    chunk_words: int | None
    dialogue_context: str | None

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ModelLoadingError(
                f"{CONFIG_FILE}: {self.num_heads} attention heads cannot share {self.num_kv_heads} KV heads evenly."
            )
        if self.chunk_words is not None and self.chunk_words < 1:
            raise ModelLoadingError(f"{GENERATION_FILE}: chunk_words is {self.chunk_words} where 1 or more is needed.")
        if self.dialogue_context not in (None, "all", "own"):
            raise ModelLoadingError(
                f"{GENERATION_FILE}: dialogue_context is {self.dialogue_context!r} where all or own is needed."
            )
        if max(self.stream_bos_id, self.stream_eos_id) >= self.codebook_size:
            raise ModelLoadingError(
                f"{CONFIG_FILE}: codebook_size {self.codebook_size} has no rows for stream BOS {self.stream_bos_id} "
                f"and stream EOS {self.stream_eos_id}; the real checkpoint says 1026, and 1024 is a default that "
                "generates noise."
            )

    @classmethod
    def from_files(cls, directory: Path) -> "LanguageModelConfig":
        """Reads `directory`'s config.json, of either layout, and generation_config.json if there is one.

        Raises:
            ModelLoadingError: a file is missing or not JSON, a value is missing or of the wrong type, or the model
                is of a kind the exports cannot express.
        """
        values = _Values(directory / CONFIG_FILE)
        model_type = values.text("model_type")
        if model_type == "higgs_audio_v2":
            fields = _transformers_fields(values)
        elif model_type == "higgs_audio":
            fields = _boson_fields(values, directory)
        else:
            raise ModelLoadingError(
                f"{values.where}: model_type is {model_type}; "
                "Higgs Audio V2 is higgs_audio_v2 (transformers) or higgs_audio (Boson)."
            )
        generation = directory / GENERATION_FILE
        asked = _Values(generation) if generation.is_file() else _Values(generation, {})
        return cls(
            **fields,
            ras_win_len=asked.optional_integer("ras_win_len"),
            ras_win_max_num_repeat=asked.optional_integer("ras_win_max_num_repeat"),
            chunk_words=asked.optional_integer("chunk_words"),
            dialogue_context=asked.values.get("dialogue_context"),
        )


class _Values:
    """A JSON object whose values are read with a type, and with an error that says where they should have been."""

    def __init__(self, file: Path, values: dict[str, Any] | None = None) -> None:
        self.where = str(file)
        self.values: dict[str, Any] = read_json(file) if values is None else values

    def _get(self, key: str, kind: type | tuple[type, ...], description: str) -> Any:
        value = self.values.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ModelLoadingError(f"{self.where}: {key} is {value!r} where {description} is needed.")
        return value

    def integer(self, key: str) -> int:
        return int(self._get(key, int, "an integer"))

    def optional_integer(self, key: str) -> int | None:
        return None if self.values.get(key) is None else self.integer(key)

    def number(self, key: str) -> float:
        return float(self._get(key, (int, float), "a number"))

    def text(self, key: str) -> str:
        return str(self._get(key, str, "a string"))

    def nested(self, key: str) -> "_Values":
        return _Values(Path(f"{self.where}: {key}"), self._get(key, dict, "an object"))

    def refuse_unless(self, key: str, expected: Any, default: Any) -> None:
        value = self.values.get(key, default)
        if value != expected:
            raise ModelLoadingError(f"{self.where}: {key} is {value!r}; only {expected!r} is supported.")


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in `file`. Raises ModelLoadingError if it is missing or holds something else."""
    if not file.is_file():
        raise ModelLoadingError(f"{file} is missing; a checkpoint folder holds it beside the weights.")
    try:
        content = json.loads(file.read_bytes())  # which also takes a byte order mark
    except (ValueError, RecursionError) as error:
        raise ModelLoadingError(f"{file} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ModelLoadingError(f"{file} holds {type(content).__name__} where a JSON object is needed.")
    return content


def _body_fields(values: _Values) -> dict[str, Any]:
    """The Llama body, which both layouts describe with the same keys."""
    values.refuse_unless("hidden_act", "silu", default="silu")
    values.refuse_unless("attention_bias", False, default=False)
    values.refuse_unless("mlp_bias", False, default=False)
    hidden_size, num_heads = values.integer("hidden_size"), values.integer("num_attention_heads")
    return {
        "vocab_size": values.integer("vocab_size"),
        "hidden_size": hidden_size,
        "intermediate_size": values.integer("intermediate_size"),
        "num_layers": values.integer("num_hidden_layers"),
        "num_heads": num_heads,
        "num_kv_heads": values.integer("num_key_value_heads"),
        # Llama's rule where the key is left out, as transformers itself leaves out what follows from the rest.
        "head_dim": values.optional_integer("head_dim") or hidden_size // num_heads,
        "rms_norm_eps": values.number("rms_norm_eps"),
        "rope_parameters": _rope_parameters(values),
        "max_position_embeddings": values.integer("max_position_embeddings"),
        "eos_token_id": _last_eos(values),
    }


def _last_eos(values: _Values) -> int:
    # Llama lists end_of_text, eom and eot; the one that ends a turn, and so a generation, stands last.
    eos = values.values.get("eos_token_id")
    if isinstance(eos, list) and eos and isinstance(eos[-1], int):
        return eos[-1]
    return values.integer("eos_token_id")


def _rope_parameters(values: _Values) -> dict[str, Any]:
    """One form for transformers 5 (`rope_parameters`) and before (`rope_theta` beside `rope_scaling`)."""
    if "rope_parameters" in values.values:
        rope = values.nested("rope_parameters")
    else:
        scaling = values.values.get("rope_scaling") or {"rope_type": "default"}
        rope = _Values(Path(f"{values.where}: rope_scaling"), {**scaling, "rope_theta": values.number("rope_theta")})
    rope_type = rope.values.get("rope_type", "default")
    if rope_type not in ("default", "llama3"):
        raise ModelLoadingError(f"{rope.where}: rope_type is {rope_type!r}; default and llama3 are supported.")
    parameters: dict[str, Any] = {"rope_type": rope_type, "rope_theta": rope.number("rope_theta")}
    if rope_type == "llama3":
        parameters |= {key: rope.number(key) for key in LLAMA3_ROPE[:-1]}
        parameters[LLAMA3_ROPE[-1]] = rope.integer(LLAMA3_ROPE[-1])
    return parameters


def _transformers_fields(values: _Values) -> dict[str, Any]:
    return _body_fields(values) | {
        "num_codebooks": values.integer("num_codebooks"),
        "codebook_size": values.integer("codebook_size"),
        "audio_token_id": values.integer("audio_token_id"),
        "audio_bos_token_id": values.integer("audio_bos_token_id"),
        "audio_delay_token_id": values.integer("audio_delay_token_id"),
        "pad_token_id": values.integer("pad_token_id"),
        "stream_bos_id": values.integer("audio_stream_bos_id"),
        "stream_eos_id": values.integer("audio_stream_eos_id"),
    }


def _boson_fields(values: _Values, directory: Path) -> dict[str, Any]:
    body = _body_fields(values.nested("text_config"))
    adapter = values.text("audio_adapter_type")
    dual_layers = values.values.get("audio_dual_ffn_layers") or []
    if not adapter.startswith("dual_ffn") or sorted(dual_layers) != list(range(body["num_layers"])):
        raise ModelLoadingError(
            f"{values.where}: audio_adapter_type {adapter} with audio_dual_ffn_layers {dual_layers} is not supported; "
            f"each of the {body['num_layers']} layers must have an audio FFN."
        )
    for key in BOSON_UNUSED:
        values.refuse_unless(key, False, default=False)
    values.refuse_unless("audio_decoder_proj_num_layers", 0, default=0)
    values.refuse_unless("use_delay_pattern", True, default=False)
    return body | {
        "num_codebooks": values.integer("audio_num_codebooks"),
        "codebook_size": values.integer("audio_codebook_size") + BOSON_STREAM_ROWS,
        "audio_token_id": values.integer("audio_out_token_idx"),
        "audio_bos_token_id": values.integer("audio_out_bos_token_id"),
        "audio_delay_token_id": _token_id(directory / TOKENIZER_FILE, DELAY_TOKEN),
        "pad_token_id": values.integer("pad_token_id"),
        "stream_bos_id": values.integer("audio_stream_bos_id"),
        "stream_eos_id": values.integer("audio_stream_eos_id"),
    }


def _token_id(tokenizer: Path, token: str) -> int:
    for added in read_json(tokenizer).get("added_tokens", []):
        if added.get("content") == token:
            return int(added["id"])
    raise ModelLoadingError(f"{tokenizer} has no token {token}, which marks the end of the delay pattern.")
