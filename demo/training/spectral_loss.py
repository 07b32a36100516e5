"""The codec's training loss: distance of log-mel spectrograms at several resolutions."""

from __future__ import annotations

import torch
from torch import nn
from transformers.audio_utils import mel_filter_bank

from demo.training.features import FLOOR, HIGHEST_HZ

# Window in samples and mel bands of each resolution.
RESOLUTIONS = ((2048, 80), (1024, 64), (512, 40), (256, 20))
# Of the plain magnitudes' distance beside the logarithms': it keeps loud output in check, where logarithms hardly pull.
LINEAR_WEIGHT = 10.0


class LogMelLoss(nn.Module):
    """Mean absolute difference of mel magnitudes and of their natural logarithms, averaged over RESOLUTIONS."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        for window, bands in RESOLUTIONS:
            filters = mel_filter_bank(
                num_frequency_bins=window // 2 + 1,
                num_mel_filters=bands,
                min_frequency=0.0,
                max_frequency=HIGHEST_HZ,
                sampling_rate=sample_rate,
            )
            hann = torch.hann_window(window)
            self.register_buffer(f"window_{window}", hann / hann.sum())
            self.register_buffer(f"filters_{window}", torch.tensor(filters.T, dtype=torch.float32))

    def forward(self, audio: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss between two float32 [batch, samples]."""
        losses = []
        for size, _ in RESOLUTIONS:
            found, expected = self._mel(audio, size), self._mel(target, size)
            logarithms = ((found + FLOOR).log() - (expected + FLOOR).log()).abs().mean()
            losses.append(logarithms + LINEAR_WEIGHT * (found - expected).abs().mean())
        return torch.stack(losses).mean()

    def _mel(self, audio: torch.Tensor, size: int) -> torch.Tensor:
        window, filters = self.get_buffer(f"window_{size}"), self.get_buffer(f"filters_{size}")
        spectrum = torch.stft(audio, size, hop_length=size // 4, window=window, return_complex=True)
        return filters @ (spectrum.real.square() + spectrum.imag.square() + 1e-8).sqrt()
