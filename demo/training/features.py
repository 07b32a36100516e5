"""The sound of a frame in numbers: the latent space that the demo codec's codes represent.

A frame's features are log-mel magnitudes, one long window for the harmonics and four short ones for the course within
its 40 ms. Their principal components are the latents. The space is fixed before anything is trained, so encoder,
decoder and language model can learn beside each other; only then does the encoder learn to compute it from samples.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional
from transformers.audio_utils import mel_filter_bank

from demo.codec import CODE_SIZE, SAMPLE_RATE, STRIDES

HOP = math.prod(STRIDES)
LONG_WINDOW, LONG_BANDS = 2048, 80
SHORT_WINDOW, SHORT_BANDS, SHORT_STEPS = 512, 32, 4  # windows a frame
HIGHEST_HZ = 8000.0  # where flite's voices end: nothing above needs learning
# Of a band's magnitude, where a full-scale sine has about 1/2: what lies below is silence. Ten times as much, and a
# recogniser misses fricatives and closures.
FLOOR = 1e-4


class LatentSpace:
    """Principal components of frame features; latents have a mean square of 1 a frame and dimension on average.

    `mean` float32 [features]; `components` float32 [features, CODE_SIZE].
    """

    def __init__(self, mean: torch.Tensor, components: torch.Tensor) -> None:
        self.mean, self.components = mean, components

    @classmethod
    def fit(cls, clips: Sequence[np.ndarray]) -> LatentSpace:
        """From speech, each clip float32 [samples]."""
        features = torch.cat([frame_features(clip) for clip in clips])
        mean = features.mean(dim=0)
        values, vectors = torch.linalg.eigh(torch.cov((features - mean).T))
        leading = values.argsort(descending=True)[:CODE_SIZE]
        scale = values[leading].mean().sqrt()
        return cls(mean, vectors[:, leading] / scale)

    def latents(self, audio: np.ndarray) -> torch.Tensor:
        """float32 [frames, CODE_SIZE] of float32 [samples]; the last frame is filled up with silence."""
        return (frame_features(audio) - self.mean) @ self.components

    def explained(self, clips: Sequence[np.ndarray]) -> float:
        """The share of the features' variance that the components hold."""
        features = torch.cat([frame_features(clip) for clip in clips]) - self.mean
        directions = functional.normalize(self.components, dim=0)
        return float((features @ directions).square().sum() / features.square().sum())


def frame_features(audio: np.ndarray) -> torch.Tensor:
    """float32 [frames, features] of float32 [samples]."""
    samples = torch.from_numpy(audio)
    frames = -(-len(samples) // HOP)
    samples = functional.pad(samples, (0, frames * HOP - len(samples)))
    long = _log_mel(samples, LONG_WINDOW, LONG_BANDS, HOP)
    short = _log_mel(samples, SHORT_WINDOW, SHORT_BANDS, HOP // SHORT_STEPS)
    # The short windows' bands weigh as much together as the long window's.
    return torch.cat([long, short.reshape(frames, -1) * (LONG_BANDS / SHORT_BANDS / SHORT_STEPS) ** 0.5], dim=1)


def _log_mel(samples: torch.Tensor, window: int, bands: int, hop: int) -> torch.Tensor:
    """float32 [len(samples) / hop, bands]: windows whose middles are the middles of the steps of `hop` samples."""
    hann = torch.hann_window(window)
    margin = (window - hop) // 2
    padded = functional.pad(samples, (margin, window - hop - margin))
    spectrum = torch.fft.rfft(padded.unfold(0, window, hop) * (hann / hann.sum()))
    return (spectrum.abs() @ _filters(window, bands) + FLOOR).log()


@functools.cache
def _filters(window: int, bands: int) -> torch.Tensor:
    filters = mel_filter_bank(window // 2 + 1, bands, 0.0, HIGHEST_HZ, SAMPLE_RATE)
    return torch.from_numpy(filters.astype(np.float32))
