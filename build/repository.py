"""Assembles the Triton model repository: templates, code, exported networks and settings; self-contained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from build.exports import Exports
from build.model_settings import model_settings
from build.steps import RECORD_FILE
from build.targets import Target
from build.voices import write_voices
from runtime.engine.types import AUDIO_EMBEDDING, ModelDescription
from runtime.formats.exports import KNOWN_WORDS_FILE
from serve.files import place
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


def assemble(
    exports: Exports,
    target: Target,
    voices: Path | None,
    repository: Path,
    fingerprint: str,
    engines: Path | None = None,
) -> None:
    """Write every model, those of the ensemble and `voices`, into `repository`, which must not exist yet.

    `fingerprint` tells bundles apart, for clients that keep what they heard. `engines` is the folder of the compiled
    networks (`build/engines.py`), for a target that has any.
    """
    plans = PLAN_MODELS if target.codec.in_triton else ()
    for model in (*PYTHON_MODELS, *plans, ENSEMBLE):
        version = repository / model / VERSION
        version.mkdir(parents=True)
        _write_config(model, exports, target, fingerprint, repository / model / "config.pbtxt")
    (repository / ENSEMBLE / VERSION / "empty").write_text("A bucket keeps no empty folders, and Triton wants this.\n")
    _place_codec(exports, target, engines, repository)
    codec = _encoder_identity(repository)
    for model in PYTHON_MODELS:
        version = repository / model / VERSION
        shutil.copyfile(TEMPLATES / model / VERSION / "model.py", version / "model.py")
        _copy_runtime(version / RUNTIME.name)
        settings = model_settings(model, exports, target, codec)
        (version / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")
    _place_language_model(exports, target, engines, repository / "lm" / VERSION / "weights")
    for name in ("tokenizer.json", KNOWN_WORDS_FILE):
        if (exports.directory / name).is_file():
            place(exports.directory / name, repository / "prompt" / VERSION / name)
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


def _write_config(model: str, exports: Exports, target: Target, fingerprint: str, path: Path) -> None:
    """Fill in the template with what only the build knows, and check it against Triton's own schema."""
    config = text_format.Parse((TEMPLATES / model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    if model == ENSEMBLE:
        public = {
            "sample_rate": exports.codec["sample_rate"],
            "reference_min_seconds": target.reference_min_seconds,
            "reference_max_seconds": target.reference_max_seconds,
            "bundle": fingerprint,
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
