"""The codes that the codec gives silence: with them the engine detects that a stream has stopped speaking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from convert.codec import CodecConfig

_FRAMES = 50
# Of full scale, as root mean square: digital silence, and noise from below 16 bits up to that of a quiet recording.
_LEVELS = (0.0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3)


def silence_codes(config: CodecConfig, encoder: Path) -> list[list[int]]:
    """For each codebook every code the exported encoder gives two seconds of silence or of very quiet white noise.

    The levels are 0 and -100 to -60 dB of full scale.
    """
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((len(_LEVELS), _FRAMES * config.hop_length)).astype(np.float32)
    session = onnxruntime.InferenceSession(encoder, providers=["CPUExecutionProvider"])
    levels = np.array(_LEVELS, np.float32)[:, None]
    codes = session.run(None, {"audio": noise * levels})[0]  # int32 [levels, num_codebooks, frames]
    return [np.unique(codes[:, codebook]).tolist() for codebook in range(config.num_codebooks)]
