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

    def latents(self, audio: np.ndarray, borders: np.ndarray | None = None) -> torch.Tensor:
        """float32 [frames, CODE_SIZE] of float32 [samples], of the frames that `frame_features` has."""
        return (frame_features(audio, borders) - self.mean) @ self.components

    def explained(self, clips: Sequence[np.ndarray]) -> float:
        """The share of the features' variance that the components hold."""
        features = torch.cat([frame_features(clip) for clip in clips]) - self.mean
        directions = functional.normalize(self.components, dim=0)
        return float((features @ directions).square().sum() / features.square().sum())


def frame_features(audio: np.ndarray, borders: np.ndarray | None = None) -> torch.Tensor:
    """float32 [frames, features] of float32 [samples], silence all around them.

    `borders` float64 [frames + 1] are the samples between which the frames lie; without them they are HOP long each.
    """
    samples = torch.from_numpy(audio)
    if borders is None:
        borders = np.arange(-(-len(samples) // HOP) + 1) * float(HOP)
    starts, lengths = torch.from_numpy(borders[:-1]), torch.from_numpy(np.diff(borders))
    within = (torch.arange(SHORT_STEPS) + 0.5) / SHORT_STEPS
    steps = starts[:, None] + lengths[:, None] * within
    long = _log_mel(samples, LONG_WINDOW, LONG_BANDS, starts + lengths / 2)
    short = _log_mel(samples, SHORT_WINDOW, SHORT_BANDS, steps.flatten()).reshape(len(starts), -1)
    # The short windows' bands weigh as much together as the long window's.
    return torch.cat([long, short * (LONG_BANDS / SHORT_BANDS / SHORT_STEPS) ** 0.5], dim=1)


def _log_mel(samples: torch.Tensor, window: int, bands: int, middles: torch.Tensor) -> torch.Tensor:
    """float32 [len(middles), bands] of windows around `middles`."""
    hann = torch.hann_window(window)
    padded = functional.pad(samples, (window, window + HOP))
    windows = padded[(middles.round().long() + window // 2)[:, None] + torch.arange(window)]
    spectrum = torch.fft.rfft(windows * (hann / hann.sum()))
    return (spectrum.abs() @ _filters(window, bands) + FLOOR).log()


@functools.cache
def _filters(window: int, bands: int) -> torch.Tensor:
    filters = mel_filter_bank(window // 2 + 1, bands, 0.0, HIGHEST_HZ, SAMPLE_RATE)
    return torch.from_numpy(filters.astype(np.float32))
