"""Speaker recognition: GE2E speaker embeddings (Wan et al. 2018) with the weights from the Resemblyzer wheel.

Only its weights are used: its own code needs a compiler to install and cannot be imported with today's SciPy.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import nn
from torch.nn import functional
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

RATE = 16000
# The features those weights were trained on: power in 40 mel bands, 25 ms windows 10 ms apart, speech at -30 dBFS.
WINDOW, HOP, BANDS = 400, 160, 40
LOUDNESS_DBFS = -30.0
LAYERS, SIZE = 3, 256
PIECE = 160  # feature frames the net was trained on, 1.6 s


class SpeakerEncoder(nn.Module):
    """Maps speech to an embedding of its speaker; the cosine of two embeddings says how alike the voices are."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, SIZE, LAYERS, batch_first=True)
        self.linear = nn.Linear(SIZE, SIZE)
        state = torch.load(_weights_file(), map_location="cpu", weights_only=True)["model_state"]
        own = self.state_dict()
        self.load_state_dict({name: tensor for name, tensor in state.items() if name in own})
        self.eval()

    @torch.no_grad()
    def embed(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """float32 [256] of length 1 for `audio`, float32 [samples]; clips under 1.6 s are padded with silence."""
        features = _features(soxr.resample(audio, sample_rate, RATE))  # [frames, BANDS]
        features = functional.pad(features, (0, 0, 0, max(0, PIECE - len(features))))
        pieces = features.unfold(0, PIECE, PIECE // 2).transpose(1, 2)  # half overlapping
        _, (hidden, _) = self.lstm(pieces)
        embeddings = functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)
        return functional.normalize(embeddings.mean(dim=0), dim=0).numpy()


def _features(audio: np.ndarray) -> torch.Tensor:
    """float32 [frames, BANDS] of float32 [samples] at RATE."""
    power = float(np.mean(np.square(audio, dtype=np.float64))) or 1.0
    gain = max(1.0, 10 ** (LOUDNESS_DBFS / 20) / power**0.5)
    filters = mel_filter_bank(WINDOW // 2 + 1, BANDS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney")
    bands = spectrogram(
        audio * gain, window_function(WINDOW, "hann"), WINDOW, HOP, power=2.0, mel_filters=filters, pad_mode="constant",
        mel_floor=0.0,
    )  # fmt: skip
    return torch.from_numpy(bands.T.astype(np.float32))


def _weights_file() -> Path:
    package = importlib.util.find_spec("resemblyzer")
    if package is None or package.origin is None:
        raise RuntimeError("the resemblyzer wheel, which holds the speaker encoder's weights, is not installed")
    return Path(package.origin).with_name("pretrained.pt")
