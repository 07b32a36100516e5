"""What each Python model reads at its start, `settings.json`: values of the checkpoint and of the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from build.engines import longest_chunk, longest_clip, longest_window
from build.exports import Exports
from build.memory import prompt_audio_positions
from build.targets import Target, text_threads
from build.voices import voice_rules
from runtime.engine.delay_pattern import delayed_columns
from runtime.engine.types import MAX_RAS_WINDOW, ModelDescription

# Where the checkpoint does not say: what the real model is usually given at a time.
_CHUNK_WORDS, _DIALOGUE_CONTEXT = 60, "all"
_SILENCE_PEAK = 1e-3
_FADE_SECONDS = 0.005  # at each edge where two parts join: long enough against a click, too short to be heard


def model_settings(model: str, exports: Exports, target: Target, encoder: str) -> dict[str, Any]:
    """The settings of a Python model. `encoder`: the identity of the network that turns clips into codes."""
    return _SETTINGS[model](exports, target, encoder)


def _prompt(exports: Exports, target: Target, encoder: str) -> dict[str, Any]:
    codec, layout = exports.codec, exports.language_model.layout
    return {
        "max_characters": target.max_characters,
        "plan": {
            "num_codebooks": codec["num_codebooks"],
            "frame_seconds": _frame_seconds(exports),
            "hop_length": codec["hop_length"],
            "max_positions": target.max_positions,
            "max_prompt_audio_positions": _audio_positions(exports, target),
            "positions_beside_clip": delayed_columns(0, layout.num_codebooks),
        },
        **_profiles(exports, target, encoder),
        "options": {
            "codebook_size": layout.codebook_size,
            "frame_seconds": _frame_seconds(exports),
            "max_seconds": target.max_seconds,
            "max_part_seconds": target.max_part_seconds,
            "max_timeout_seconds": target.max_timeout_seconds,
            "ras_window": exports.generation["ras_win_len"],
            "ras_max_repeats": exports.generation["ras_win_max_num_repeat"],
            "max_ras_window": MAX_RAS_WINDOW,
            "chunk_words": exports.generation["chunk_words"] or _CHUNK_WORDS,
            "dialogue_context": exports.generation["dialogue_context"] or _DIALOGUE_CONTEXT,
            "max_scene_characters": target.max_scene_characters,
        },
    }


def _voices(exports: Exports, target: Target, encoder: str) -> dict[str, Any]:
    return {**_profiles(exports, target, encoder), "num_codebooks": exports.codec["num_codebooks"]}


def _lm(exports: Exports, target: Target, encoder: str) -> dict[str, Any]:
    lm = exports.language_model
    return {
        "engine": target.lm_engine,
        **_vllm(lm, target),
        "threads": target.lm_threads,
        "text_threads": text_threads(target),
        "nice": target.lm_nice,
        "frame_seconds": _frame_seconds(exports),
        "max_prompt_audio_positions": _audio_positions(exports, target),
        "max_window_frames": longest_chunk(exports),
        "max_timeout_seconds": target.max_timeout_seconds,
        "limits": {
            "max_streams": target.max_streams,
            "max_waiting": target.max_waiting,
            "max_positions": target.max_positions,
            "prefill_tokens_per_step": target.prefill_tokens_per_step,
            "context_frames": exports.codec["context_frames"],
            "prefix_cache_bytes": target.prefix_cache_positions * _position_bytes(lm, target),
            "silence_codes": exports.silence_codes,
        },
    }


def _codec_encoder(exports: Exports, target: Target, encoder: str) -> dict[str, Any]:
    codec = exports.codec
    return {
        "threads": target.codec_threads,
        **_codec_engine(target, "codec_encoder", "audio", "codes"),
        "num_codebooks": codec["num_codebooks"],
        "hop_length": codec["hop_length"],
        "max_clip_frames": longest_clip(exports, target),
        "max_frames": _audio_positions(exports, target),
        "cache_entries": target.reference_cache_entries,
        "codes": _code_files(target, encoder),
    }


def _codec_decoder(exports: Exports, target: Target, encoder: str) -> dict[str, Any]:
    codec = exports.codec
    return {
        "threads": target.codec_threads,
        **_codec_engine(target, "codec_decoder", "codes", "audio"),
        "max_batch": target.max_decode_batch,
        "max_frames": longest_window(exports),
        "context_frames": codec["context_frames"],
        "num_codebooks": codec["num_codebooks"],
        "codebook_size": codec["codebook_size"],
        "hop_length": codec["hop_length"],
        "frame_seconds": _frame_seconds(exports),
        "fade_samples": round(_FADE_SECONDS * codec["sample_rate"]),
    }


_SETTINGS: dict[str, Callable[[Exports, Target, str], dict[str, Any]]] = {
    "prompt": _prompt,
    "codec_encoder": _codec_encoder,
    "lm": _lm,
    "codec_decoder": _codec_decoder,
    "voices": _voices,
}


def _profiles(exports: Exports, target: Target, encoder: str) -> dict[str, Any]:
    """What `prompt` and `voices` know of voice profiles."""
    return {
        "reference": {
            "sample_rate": exports.codec["sample_rate"],
            "hop_length": exports.codec["hop_length"],
            "min_seconds": target.reference_min_seconds,
            "max_seconds": target.reference_max_seconds,
            "min_peak": _SILENCE_PEAK,
        },
        "voices": asdict(voice_rules(target)),
        "codes": _code_files(target, encoder),
    }


def _code_files(target: Target, encoder: str) -> dict[str, Any]:
    return {"codec": encoder, "max_bytes": target.reference_cache_mib * 2**20}


def _frame_seconds(exports: Exports) -> float:
    return exports.codec["hop_length"] / exports.codec["sample_rate"]


def _audio_positions(exports: Exports, target: Target) -> int:
    return prompt_audio_positions(target, exports.language_model.layout.num_codebooks, 1 / _frame_seconds(exports))


def _position_bytes(lm: ModelDescription, target: Target) -> int:
    """Keys and values of one position."""
    return 2 * lm.num_layers * lm.num_kv_heads * lm.head_dim * target.lm.cache_bytes


def _vllm(lm: ModelDescription, target: Target) -> dict[str, Any]:
    """How vLLM is started (`runtime/engine/vllm/options.py`); nothing for another engine.

    Its cache holds every stream at its longest, and beside them what the target keeps for later prompts.
    """
    if not target.lm.lm_format.startswith("vllm"):
        return {}
    positions = target.max_streams * target.max_positions + target.prefix_cache_positions
    dtype = "float32" if target.precision == "fp32" else "bfloat16"
    quantization = "fp8" if target.precision == "fp8" else None
    cache = positions * _position_bytes(lm, target) // target.gpus
    options = {"dtype": dtype, "quantization": quantization, "kv_cache_bytes": cache, "tensor_parallel": target.gpus}
    return {"vllm": options}


def _codec_engine(target: Target, model: str, input_name: str, output_name: str) -> dict[str, Any]:
    """Which engine runs a codec model's network; the names are those of the exported network's tensors."""
    if not target.codec.in_triton:
        return {"engine": target.codec_engine}
    plan = {"model": f"{model}_plan", "input_name": input_name, "output_name": output_name}
    return {"engine": target.codec_engine, "plan": plan}
