"""Operations of the codec's decoder for a window, counted in the layers that are exported, without weights."""

from __future__ import annotations

import functools

import torch
from torch.utils.flop_counter import FlopCounterMode

from convert.codec_decoder import Decoder
from convert.torchaudio_shim import codec_class, install
from demo.codec import codec_config
from demo.sizes import CodecSize


@functools.cache
def _decoder(size: CodecSize) -> Decoder:
    install()
    with torch.device("meta"):
        return Decoder(codec_class()(codec_config(size)))


def context_frames(size: CodecSize) -> int:
    """Frames that the decoder must know on each side of a window."""
    return _decoder(size).window.before


@functools.cache
def window_operations(size: CodecSize, frames: int) -> int:
    """Additions and multiplications of all convolutions for one window of `frames`, its context aside."""
    decoder = _decoder(size)
    codes = torch.zeros(
        (1, len(decoder.first_rows), frames + 2 * decoder.window.before), dtype=torch.int32, device="meta"
    )
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        decoder(codes)
    return int(counted.get_total_flops())
