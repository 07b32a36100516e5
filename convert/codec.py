"""The audio codec on disk: Higgs Audio V2's tokenizer, in transformers' or Boson's layout, as transformers' class."""

import os
import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.utils import parametrize
from transformers import HiggsAudioV2TokenizerConfig

from convert.codec_decoder import context_frames
from convert.codec_layout import boson_codec_config, transformers_state
from convert.config import CONFIG_FILE
from convert.errors import ModelLoadingError
from convert.hub import resolve
from convert.json_values import JsonValues, read_json
from convert.shards import open_shards
from convert.torchaudio_shim import Codec, codec_class, install

BOSON_WEIGHTS = "model.pth"


@dataclass(frozen=True)
class CodecConfig:
    """What the rest of the bundle needs to know about the codec."""

    sample_rate: int  # Hz
    hop_length: int  # samples per frame
    num_codebooks: int
    codebook_size: int  # codes per codebook, without the language model's stream BOS and EOS
    context_frames: int  # how far the decoder looks back and ahead

    @classmethod
    def from_model(cls, model: Codec) -> "CodecConfig":
        config = model.config
        return cls(
            sample_rate=config.sample_rate,
            hop_length=config.hop_length,
            num_codebooks=config.num_quantizers,
            codebook_size=config.codebook_size,
            context_frames=context_frames(model),
        )


def load_codec(source: str | os.PathLike[str], revision: str | None = None) -> Codec:
    """The checkpoint's codec: float32, on the CPU, in evaluation mode.

    `source` is a local folder or a hub id, which needs a `revision`.

    Raises:
        ModelLoadingError: whatever is wrong with the checkpoint, in one sentence.
    """
    directory = resolve(source, revision)
    install()
    config = read_json(directory / CONFIG_FILE)
    if config.get("model_type") == "higgs_audio_v2_tokenizer":
        return _load_transformers(directory)
    if "n_q" in config:
        return _load_boson(directory)
    raise ModelLoadingError(
        f"{directory / CONFIG_FILE}: neither transformers' (model_type higgs_audio_v2_tokenizer, found "
        f"{config.get('model_type')}) nor Boson's description (with n_q) of the codec."
    )


def _load_transformers(directory: Path) -> Codec:
    stored = open_shards(directory)  # reports a damaged file more clearly than transformers would
    try:
        config = HiggsAudioV2TokenizerConfig.from_pretrained(directory)
        _check_quantizers(config.num_quantizers, f"{directory / CONFIG_FILE}: target_bandwidths ask for", stored)
        with torch.device("meta"):
            codec_class()(config)
    except ModelLoadingError:
        raise
    except Exception as error:  # whatever transformers or torch raises for the values
        reason = " ".join(str(error).split())
        raise ModelLoadingError(f"{directory / CONFIG_FILE} describes no codec that can be made: {reason}") from error
    # Wrong shapes are reported too, and refused below in one sentence instead of transformers' table.
    options = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    model, report = codec_class().from_pretrained(directory, dtype=torch.float32, **options)
    if report["mismatched_keys"]:
        name, found, expected = sorted(report["mismatched_keys"])[0]
        raise ModelLoadingError(f"{name} has shape {list(found)} in {directory}; {list(expected)} is needed.")
    if report["missing_keys"]:
        raise ModelLoadingError(f"{sorted(report['missing_keys'])[0]} is missing from the weights in {directory}.")
    return _finished(model, directory)


def _load_boson(directory: Path) -> Codec:
    file = directory / BOSON_WEIGHTS
    if not file.is_file():
        raise ModelLoadingError(f"{file} is missing; Boson's codec keeps its weights there.")
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelLoadingError(f"{file} is damaged or holds more than weights; download it again.") from error
    config, state = in_transformers_terms(stored, directory)
    model = codec_class()(config).eval()
    model.load_state_dict({name: state[name].float() for name in model.state_dict()})
    return _finished(model, directory)


def in_transformers_terms(
    stored: dict[str, torch.Tensor], directory: Path
) -> tuple[HiggsAudioV2TokenizerConfig, dict[str, torch.Tensor]]:
    """Boson's codec whose model.pth holds `stored`: transformers' configuration, and weights of every name and shape
    that it asks for. Only names and shapes are looked at.

    Raises:
        ModelLoadingError: the configuration is not usable, or a tensor is missing or of the wrong shape.
    """
    values, file = JsonValues(directory / CONFIG_FILE), directory / BOSON_WEIGHTS
    state = transformers_state(stored)
    _check_quantizers(values.count("n_q"), f"{values.where}: n_q is", state)
    config = HiggsAudioV2TokenizerConfig(**boson_codec_config(values, state, directory))
    with torch.device("meta"):
        expected = codec_class()(config).state_dict()
    for name, tensor in expected.items():
        if name not in state:
            raise ModelLoadingError(f"{name} is missing from the weights in {file}.")
        if state[name].shape != tensor.shape:
            raise ModelLoadingError(
                f"{name} has shape {list(state[name].shape)} in {file}; {list(tensor.shape)} is needed."
            )
    return config, state


def _check_quantizers(wanted: int, words: str, names: Iterable[str]) -> None:
    """Whether the weights hold as many quantizers as the configuration says: neither fewer nor more."""
    found = {name.split(".")[2] for name in names if name.startswith("quantizer.quantizers.")}
    if found != {str(index) for index in range(wanted)}:
        raise ModelLoadingError(f"{words} {wanted} quantizers where the weights hold {len(found)}.")


def _finished(model: Codec, directory: Path) -> Codec:
    for index, quantizer in enumerate(model.quantizer.quantizers):
        # transformers initialises codebooks to zero, so a conversion that lost them goes unnoticed otherwise.
        if not quantizer.codebook.embed.any():
            raise ModelLoadingError(f"Codebook {index} of the codec in {directory} is all zeros; it was never filled.")
    for layer in model.modules():
        # HuBERT keeps a weight norm for training; multiplied out, an export need not compute it on every run.
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return model.eval()
