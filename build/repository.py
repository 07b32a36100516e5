"""Assembles the Triton model repository: templates, code, exported networks and settings; self-contained."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from build.engines import longest_clip, longest_window
from build.exports import Exports
from build.files import place
from build.memory import prompt_audio_positions
from build.steps import RECORD_FILE
from build.targets import Target
from build.voices import voice_rules, write_voices
from runtime.engine.delay_pattern import delayed_columns
from runtime.engine.types import AUDIO_EMBEDDING, MAX_RAS_WINDOW, ModelDescription
from serve.manifest import sha256

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "triton_repo"
RUNTIME = ROOT / "runtime"
VERSION = "1"
ENSEMBLE = "higgs_audio_v2"
PYTHON_MODELS = ("prompt", "codec_encoder", "lm", "codec_decoder", "voices")
# The codec's networks when Triton's own backend runs them; the Python models of the same name call these.
PLAN_MODELS = ("codec_decoder_plan", "codec_encoder_plan")
PLAN_FILE = "model.plan"
# Where the checkpoint does not say: what the real model is usually given at a time.
_CHUNK_WORDS, _DIALOGUE_CONTEXT = 60, "all"
_SILENCE_PEAK = 1e-3
_FADE_SECONDS = 0.005  # at each edge where two parts join: long enough against a click, too short to be heard


def assemble(
    exports: Exports, target: Target, voices: Path | None, repository: Path, engines: Path | None = None
) -> None:
    """Write every model, those of the ensemble and `voices`, into `repository`, which must not exist yet.

    `engines` is the folder of the compiled networks (`build/engines.py`), for a target that has any.
    """
    plans = PLAN_MODELS if target.codec.in_triton else ()
    for model in (*PYTHON_MODELS, *plans, ENSEMBLE):
        version = repository / model / VERSION
        version.mkdir(parents=True)
        _write_config(model, exports, target, repository / model / "config.pbtxt")
    _place_codec(exports, target, engines, repository)
    codec = _encoder_identity(repository)
    for model in PYTHON_MODELS:
        version = repository / model / VERSION
        shutil.copyfile(TEMPLATES / model / VERSION / "model.py", version / "model.py")
        _copy_runtime(version / RUNTIME.name)
        (version / "settings.json").write_text(json.dumps(_settings(model, exports, target, codec), indent=2) + "\n")
    _place_language_model(exports, target, engines, repository / "lm" / VERSION / "weights")
    place(exports.directory / "tokenizer.json", repository / "prompt" / VERSION / "tokenizer.json")
    _place_voices(voices, repository, exports.codec["sample_rate"], target)


def _place_voices(source: Path | None, repository: Path, sample_rate: int, target: Target) -> None:
    """Write the voices into both models that read them: each is a separate program, which Triton may load anywhere."""
    first, second = (repository / model / VERSION / "voices" for model in ("prompt", "voices"))
    write_voices(source, first, sample_rate, target)
    second.mkdir()
    for file in first.iterdir():
        place(file, second / file.name)


def _place_language_model(exports: Exports, target: Target, engines: Path | None, weights: Path) -> None:
    exported = exports.directory / "lm"
    if not target.lm.compiles:
        for file in exported.iterdir():
            place(file, weights / file.name)
        return
    assert engines is not None
    compiled = engines / "lm"
    for file in compiled.rglob("*"):
        if file.is_file() and file.name != RECORD_FILE:
            place(file, weights / file.relative_to(compiled))
    for name in (ModelDescription.FILE, AUDIO_EMBEDDING):
        if (exported / name).is_file():
            place(exported / name, weights / name)


def _place_codec(exports: Exports, target: Target, engines: Path | None, repository: Path) -> None:
    folder = (engines if engines and target.codec.compiles else exports.directory) / "codec"
    for network, model in (("decoder", "codec_decoder"), ("encoder", "codec_encoder")):
        file = folder / f"{network}{target.codec.codec_suffix}"
        if target.codec.in_triton:
            place(file, repository / f"{model}_plan" / VERSION / PLAN_FILE)
        else:
            place(file, repository / model / VERSION / file.name)


def _encoder_identity(repository: Path) -> str:
    """The identity of the encoder that made some codes: the SHA-256 of its network's file."""
    (network,) = (*repository.glob("codec_encoder*/*/encoder.*"), *repository.glob(f"codec_encoder_plan/*/{PLAN_FILE}"))
    return sha256(network)


def _settings(model: str, exports: Exports, target: Target, encoder: str) -> dict[str, Any]:
    """The settings a model reads at start, each from the checkpoint or from the target. `encoder`: its identity."""
    codec, lm = exports.codec, exports.language_model
    layout = lm.layout
    frame_seconds = codec["hop_length"] / codec["sample_rate"]
    codes = {"codec": encoder, "max_bytes": target.reference_cache_mib * 2**20}
    profiles = {
        "reference": {
            "sample_rate": codec["sample_rate"],
            "hop_length": codec["hop_length"],
            "min_seconds": target.reference_min_seconds,
            "max_seconds": target.reference_max_seconds,
            "min_peak": _SILENCE_PEAK,
        },
        "voices": asdict(voice_rules(target)),
        "codes": codes,
    }
    if model == "voices":
        return {**profiles, "num_codebooks": codec["num_codebooks"]}
    audio_positions = prompt_audio_positions(target, layout.num_codebooks, 1 / frame_seconds)
    if model == "prompt":
        return {
            "max_characters": target.max_characters,
            "plan": {
                "num_codebooks": codec["num_codebooks"],
                "frame_seconds": frame_seconds,
                "hop_length": codec["hop_length"],
                "max_positions": target.max_positions,
                "max_prompt_audio_positions": audio_positions,
                "positions_beside_clip": delayed_columns(0, layout.num_codebooks),
            },
            **profiles,
            "options": {
                "codebook_size": layout.codebook_size,
                "frame_seconds": frame_seconds,
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
    if model == "lm":
        return {
            "engine": target.lm_engine,
            "threads": target.lm_threads,
            "nice": target.lm_nice,
            "frame_seconds": frame_seconds,
            "max_prompt_audio_positions": audio_positions,
            "max_window_frames": longest_window(exports),
            "max_timeout_seconds": target.max_timeout_seconds,
            "limits": {
                "max_streams": target.max_streams,
                "max_waiting": target.max_waiting,
                "max_positions": target.max_positions,
                "prefill_tokens_per_step": target.prefill_tokens_per_step,
                "context_frames": codec["context_frames"],
                "prefix_cache_bytes": target.prefix_cache_positions * _position_bytes(lm, target),
                "silence_codes": exports.silence_codes,
            },
        }
    if model == "codec_encoder":
        return {
            "threads": target.codec_threads,
            **_codec_engine(target, model, "audio", "codes"),
            "num_codebooks": codec["num_codebooks"],
            "hop_length": codec["hop_length"],
            "max_clip_frames": longest_clip(exports, target),
            "max_frames": audio_positions,
            "cache_entries": target.reference_cache_entries,
            "codes": codes,
        }
    return {
        "threads": target.codec_threads,
        **_codec_engine(target, model, "codes", "audio"),
        "max_batch": target.max_decode_batch,
        "max_frames": longest_window(exports),
        "num_codebooks": codec["num_codebooks"],
        "codebook_size": codec["codebook_size"],
        "hop_length": codec["hop_length"],
        "fade_samples": round(_FADE_SECONDS * codec["sample_rate"]),
    }


def _position_bytes(lm: ModelDescription, target: Target) -> int:
    """Keys and values of one position."""
    return 2 * lm.num_layers * lm.num_kv_heads * lm.head_dim * target.lm.cache_bytes


def _codec_engine(target: Target, model: str, input_name: str, output_name: str) -> dict[str, Any]:
    """Which engine runs a codec model's network; the names are those of the exported network's tensors."""
    if not target.codec.in_triton:
        return {"engine": target.codec_engine}
    plan = {"model": f"{model}_plan", "input_name": input_name, "output_name": output_name}
    return {"engine": target.codec_engine, "plan": plan}


def _write_config(model: str, exports: Exports, target: Target, path: Path) -> None:
    """Fill in the template with what only the build knows, and check it against Triton's own schema."""
    config = text_format.Parse((TEMPLATES / model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    if model == ENSEMBLE:
        public = {
            "sample_rate": exports.codec["sample_rate"],
            "reference_min_seconds": target.reference_min_seconds,
            "reference_max_seconds": target.reference_max_seconds,
        }
        for key, value in public.items():
            config.parameters[key].string_value = str(value)
    if model in PLAN_MODELS:
        codec = exports.codec
        config.max_batch_size = target.max_decode_batch if model == "codec_decoder_plan" else 1
        for tensor in (*config.input, *config.output):
            if tensor.name == "codes":
                tensor.dims[0] = codec["num_codebooks"]
    path.write_text(text_format.MessageToString(config))


def _copy_runtime(destination: Path) -> None:
    """Copy the code that runs inside Triton, whole, beside each model: Triton may load a model from anywhere."""
    shutil.copytree(RUNTIME, destination, ignore=shutil.ignore_patterns("__pycache__"))
