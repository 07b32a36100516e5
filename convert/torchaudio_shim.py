"""Stands in for torchaudio, which transformers' codec imports for one function: resampling.

torchaudio's releases cannot be imported with the CPU build of torch that the bundle pins, and its resampler would not
export to ONNX any better than this one: a band-limited interpolation written as a single strided convolution.
"""

import importlib
import importlib.machinery
import math
import sys
from types import ModuleType
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch.nn import functional

# torchaudio's documented defaults for its "sinc_interp_hann" method.
ZERO_CROSSINGS = 6  # of the sinc on each side of its peak
ROLLOFF = 0.99  # cutoff as a part of the lower of both Nyquist frequencies
# transformers' HiggsAudioV2TokenizerModel, a class that type checkers cannot see behind transformers' lazy imports.
Codec: TypeAlias = Any
CODEC_CLASS = "HiggsAudioV2TokenizerModel"
CODEC_MODULE = "transformers.models.higgs_audio_v2_tokenizer.modeling_higgs_audio_v2_tokenizer"


def resample(waveform: torch.Tensor, orig_freq: int, new_freq: int) -> torch.Tensor:
    """`waveform` float [..., samples] at `orig_freq` Hz, resampled to `new_freq` Hz.

    Returns float [..., ceil(samples * new_freq / orig_freq)].
    """
    divisor = math.gcd(orig_freq, new_freq)
    stride, phases = orig_freq // divisor, new_freq // divisor
    if stride == phases:
        return waveform
    filters, reach = _filters(stride, phases)
    samples = waveform.shape[-1]
    rows = waveform.reshape(-1, 1, samples)
    padded = functional.pad(rows, (reach, reach + stride))
    # [rows, phases, blocks]: every block of `stride` input samples gives one output sample per phase.
    outputs = functional.conv1d(padded, filters.to(waveform), stride=stride)
    interleaved = outputs.transpose(1, 2).reshape(*waveform.shape[:-1], -1)
    return interleaved[..., : (samples * phases + stride - 1) // stride]


def install() -> None:
    """Makes transformers' codec usable without torchaudio; keeps a torchaudio that can be imported."""
    if "torchaudio" not in sys.modules and not _real_one_imports():
        functional_module = _module("torchaudio.functional")
        functional_module.__dict__["resample"] = resample
        package = _module("torchaudio")
        package.__dict__["functional"] = functional_module
        sys.modules |= {"torchaudio": package, "torchaudio.functional": functional_module}
    if "transformers" in sys.modules:
        # transformers looks for torchaudio once, at import, and hides the codec's class, from AutoProcessor too, if it
        # finds none.
        sys.modules["transformers"].__dict__[CODEC_CLASS] = codec_class()


def codec_class() -> type[Codec]:
    """The class itself, whatever was imported before; after install()."""
    return cast(type[Codec], getattr(importlib.import_module(CODEC_MODULE), CODEC_CLASS))


def _real_one_imports() -> bool:
    try:
        importlib.import_module("torchaudio")
    except (ImportError, OSError, RuntimeError):
        # A failed import may leave parts of the package behind.
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        return False
    return True


def _module(name: str) -> ModuleType:
    module = ModuleType(name, doc="A stand-in that has transformers' needs only; see convert/torchaudio_shim.py.")
    # transformers asks importlib for the spec to see whether the package is there.
    module.__spec__ = importlib.machinery.ModuleSpec(name, loader=None)
    return module


def _filters(stride: int, phases: int) -> tuple[torch.Tensor, int]:
    """One windowed sinc per output phase, float64 [phases, 1, taps], and its reach in input samples to the left."""
    # In numpy, so that an ONNX export sees a constant and not its computation.
    cutoff = ROLLOFF * min(stride, phases)  # in periods per block
    reach = math.ceil(ZERO_CROSSINGS * stride / cutoff)
    taps = np.arange(-reach, reach + stride) / stride
    centres = np.arange(phases)[:, None] / phases
    distance = np.clip((taps - centres) * cutoff, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = np.cos(distance * (math.pi / (2 * ZERO_CROSSINGS))) ** 2
    return torch.from_numpy((np.sinc(distance) * window * (cutoff / stride))[:, None]), reach
