"""Files of any format -> samples, by a decoder that is not the gateway's, and what speech is told by."""

from __future__ import annotations

import io

import av
import numpy as np
from numpy.typing import NDArray

RATE = 24_000
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
TEXT = "The speech is streamed out of Triton."
LONG = " ".join([TEXT] * 12)  # many seconds to be interrupted in
DELAY_SECONDS = 0.08  # what encoders may put in front and behind


def decoded(data: bytes, name: str) -> NDArray[np.float32]:
    """Samples [n] at RATE, of a file or, for `pcm`, of bare s16le samples."""
    if name == "pcm":
        return np.frombuffer(data, "<i2").astype(np.float32) / 32768
    with av.open(io.BytesIO(data), "r") as file:
        resampler = av.AudioResampler("flt", "mono", RATE)
        frames = [one for frame in file.decode(audio=0) for one in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([one.to_ndarray() for one in frames], axis=1)[0]


def is_alike(some: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    """Whether they are the same sound, but for an encoder's losses and the silence it puts at the ends."""
    if abs(len(some) - len(others)) > DELAY_SECONDS * RATE:
        return False
    long = len(some) + len(others)
    product = np.fft.irfft(np.fft.rfft(some, long) * np.conj(np.fft.rfft(others, long)), long)
    return float(product.max() / np.sqrt((some**2).sum() * (others**2).sum())) > 0.9
