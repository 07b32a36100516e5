"""What a checkpoint says about its language model, read from transformers' or Boson's config.json."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.errors import ModelLoadingError
from convert.json_values import JsonValues, read_json
from runtime.engine.types import MAX_RAS_WINDOW, CodebookLayout

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
TOKENIZER_FILE = "tokenizer.json"
# Boson's configuration lacks the token with which transformers marks the delay pattern's last columns.
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
# Repetition-aware sampling for a checkpoint that does not mention it, such as Boson's own: a window of 7 columns and 2
# repeats are the defaults in Boson's code (boson_multimodal/serve/serve_engine.py), and what transformers' conversion
# script (convert_higgs_audio_v2_to_hf.py) writes into generation_config.json. Without it the model is known to loop.
RAS_WINDOW, RAS_MAX_REPEATS = 7, 2


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
    codebook_size: int  # rows per codebook, stream BOS and EOS included: 1026 in the real model
    audio_token_id: int
    audio_bos_token_id: int
    audio_delay_token_id: int
    stream_bos_id: int
    stream_eos_id: int
    ras_win_len: int  # columns; 0: the checkpoint turns repetition-aware sampling off
    ras_win_max_num_repeat: int
    # Defaults for requests, if the checkpoint has them: the words of a part, and the context of a dialogue's turn,
    # "all" or "own".
    chunk_words: int | None
    dialogue_context: str | None

    @property
    def layout(self) -> CodebookLayout:
        return CodebookLayout(self.num_codebooks, self.codebook_size, self.stream_bos_id, self.stream_eos_id)

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
        if not 0 <= min(self.stream_bos_id, self.stream_eos_id) < max(self.stream_bos_id, self.stream_eos_id):
            raise ModelLoadingError(
                f"{CONFIG_FILE}: stream BOS {self.stream_bos_id} and stream EOS {self.stream_eos_id} must be two "
                "different ids from 0 on."
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
        values = JsonValues(directory / CONFIG_FILE)
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
        asked = JsonValues(generation) if generation.is_file() else JsonValues(generation, {})
        return cls(
            **fields,
            **_repetition_fields(asked),
            chunk_words=asked.optional_integer("chunk_words"),
            dialogue_context=asked.values.get("dialogue_context"),
        )


def _body_fields(values: JsonValues) -> dict[str, Any]:
    """The Llama body, which both layouts describe with the same keys."""
    values.refuse_unless("hidden_act", "silu", default="silu")
    values.refuse_unless("attention_bias", False, default=False)
    values.refuse_unless("mlp_bias", False, default=False)
    values.refuse_unless("partial_rotary_factor", 1.0, default=1.0)
    hidden_size, num_heads = values.count("hidden_size"), values.count("num_attention_heads")
    if hidden_size % num_heads:  # transformers' own class refuses it too, even with a head_dim beside it
        raise ModelLoadingError(
            f"{values.where}: hidden_size {hidden_size} is not a multiple of num_attention_heads {num_heads}."
        )
    # Llama's rules for missing keys: transformers itself omits what follows from the others.
    head_dim = values.count("head_dim") if values.has("head_dim") else hidden_size // num_heads
    if head_dim % 2:
        raise ModelLoadingError(f"{values.where}: head_dim is {head_dim}, and rotary positions need an even one.")
    return {
        "vocab_size": values.count("vocab_size"),
        "hidden_size": hidden_size,
        "intermediate_size": values.count("intermediate_size"),
        "num_layers": values.count("num_hidden_layers"),
        "num_heads": num_heads,
        "num_kv_heads": values.count("num_key_value_heads") if values.has("num_key_value_heads") else num_heads,
        "head_dim": head_dim,
        "rms_norm_eps": values.number("rms_norm_eps"),
        "rope_parameters": _rope_parameters(values),
        "max_position_embeddings": values.count("max_position_embeddings"),
    }


def _rope_parameters(values: JsonValues) -> dict[str, Any]:
    """One form for transformers 5 (`rope_parameters`) and before (`rope_theta` beside `rope_scaling`)."""
    given = [values.nested(key) for key in ("rope_parameters", "rope_scaling") if values.values.get(key)]
    forms = [_rope_form(rope, values) for rope in given or [JsonValues(Path(values.where), {})]]
    if any(form != forms[0] for form in forms):
        raise ModelLoadingError(f"{values.where}: rope_parameters and rope_scaling contradict each other; keep one.")
    return forms[0]


def _rope_form(rope: JsonValues, beside: JsonValues) -> dict[str, Any]:
    # Before transformers 4.43 the kind was under `type`.
    kinds = [rope.text(key) for key in ("rope_type", "type") if rope.has(key)]
    if len(set(kinds)) > 1:
        raise ModelLoadingError(f"{rope.where}: rope_type is {kinds[0]!r} and type is {kinds[1]!r}; keep one.")
    kind = kinds[0] if kinds else "default"
    if kind not in ("default", "llama3"):
        raise ModelLoadingError(f"{rope.where}: rope_type is {kind!r}; default and llama3 are supported.")
    if not kinds and any(rope.has(key) for key in LLAMA3_ROPE):
        raise ModelLoadingError(f"{rope.where} scales positions without a rope_type; default and llama3 are supported.")
    rope.refuse_unless("partial_rotary_factor", 1.0, default=1.0)
    thetas = [place.number("rope_theta") for place in (rope, beside) if place.has("rope_theta")]
    if not thetas or any(theta != thetas[0] for theta in thetas):
        raise ModelLoadingError(f"{rope.where}: rope_theta is given as {thetas or None}; one number is needed.")
    parameters: dict[str, Any] = {"rope_type": kind, "rope_theta": thetas[0]}
    if kind == "llama3":
        parameters |= {key: rope.number(key) for key in LLAMA3_ROPE[:-1]}
        parameters[LLAMA3_ROPE[-1]] = rope.count(LLAMA3_ROPE[-1])
        if parameters["low_freq_factor"] >= parameters["high_freq_factor"]:
            raise rope.wrong("high_freq_factor", f"more than low_freq_factor {parameters['low_freq_factor']}")
    return parameters


def _repetition_fields(values: JsonValues) -> dict[str, Any]:
    """Missing keys mean the defaults. A window of null or 0 turns it off, as in Boson's code; any null does, as in
    transformers."""
    window, repeats = RAS_WINDOW, RAS_MAX_REPEATS
    if "ras_win_len" in values.values:
        window = max(0, values.optional_integer("ras_win_len") or 0)
    if "ras_win_max_num_repeat" in values.values and not values.has("ras_win_max_num_repeat"):
        window = 0
    elif window and "ras_win_max_num_repeat" in values.values:
        repeats = values.count("ras_win_max_num_repeat")
    if window > MAX_RAS_WINDOW:
        raise values.wrong("ras_win_len", f"{MAX_RAS_WINDOW} or less")
    return {"ras_win_len": window, "ras_win_max_num_repeat": repeats}


def _transformers_fields(values: JsonValues) -> dict[str, Any]:
    body = _body_fields(values)
    return body | {
        "num_codebooks": values.count("num_codebooks"),
        "codebook_size": values.count("codebook_size"),
        "audio_token_id": values.place("audio_token_id", body["vocab_size"]),
        "audio_bos_token_id": values.place("audio_bos_token_id", body["vocab_size"]),
        "audio_delay_token_id": values.place("audio_delay_token_id", body["vocab_size"]),
        "stream_bos_id": values.integer("audio_stream_bos_id"),
        "stream_eos_id": values.integer("audio_stream_eos_id"),
    }


def _boson_fields(values: JsonValues, directory: Path) -> dict[str, Any]:
    body = _body_fields(values.nested("text_config"))
    adapter, layers = values.text("audio_adapter_type"), values.values.get("audio_dual_ffn_layers")
    every_layer = list(range(body["num_layers"]))
    if (
        not adapter.startswith("dual_ffn")
        or not isinstance(layers, list)
        or sorted(layers, key=str) != sorted(every_layer, key=str)
    ):
        raise ModelLoadingError(
            f"{values.where}: audio_adapter_type {adapter} with audio_dual_ffn_layers {layers} is not supported; "
            f"each of the {body['num_layers']} layers must have an audio FFN."
        )
    for key in BOSON_UNUSED:
        values.refuse_unless(key, False, default=False)
    values.refuse_unless("audio_decoder_proj_num_layers", 0, default=0)
    values.refuse_unless("use_delay_pattern", True, default=False)
    return body | {
        "num_codebooks": values.count("audio_num_codebooks"),
        "codebook_size": values.count("audio_codebook_size") + BOSON_STREAM_ROWS,
        "audio_token_id": values.place("audio_out_token_idx", body["vocab_size"]),
        "audio_bos_token_id": values.place("audio_out_bos_token_id", body["vocab_size"]),
        "audio_delay_token_id": _token_id(directory / TOKENIZER_FILE, DELAY_TOKEN),
        "stream_bos_id": values.integer("audio_stream_bos_id"),
        "stream_eos_id": values.integer("audio_stream_eos_id"),
    }


def _token_id(tokenizer: Path, token: str) -> int:
    for added in read_json(tokenizer).get("added_tokens", []):
        if added.get("content") == token:
            return int(added["id"])
    raise ModelLoadingError(f"{tokenizer} has no token {token}, which marks the end of the delay pattern.")
