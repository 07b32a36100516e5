"""The delay pattern against transformers' own, and its inverse."""

import numpy as np
import pytest
import torch
from transformers.models.higgs_audio_v2.processing_higgs_audio_v2 import HiggsAudioV2Processor

from runtime.engine.delay_pattern import complete_frames, delay, undelay
from runtime.engine.types import CodebookLayout

LAYOUT = CodebookLayout(num_codebooks=8, codebook_size=1026, stream_bos_id=1024, stream_eos_id=1025)


@pytest.mark.parametrize("frames", [1, 7, 8, 50])
def test_a_clip_is_delayed_as_transformers_does_it(frames: int) -> None:
    codes = np.random.default_rng(frames).integers(0, 1024, (8, frames))
    processor = HiggsAudioV2Processor.__new__(HiggsAudioV2Processor)
    processor.audio_stream_bos_id, processor.audio_stream_eos_id = 1024, 1025
    framed = np.pad(codes, ((0, 0), (1, 1)))
    framed[:, 0], framed[:, -1] = 1024, 1025
    expected = processor.build_delay_pattern(torch.from_numpy(framed)[None])[0].T.numpy()
    np.testing.assert_array_equal(delay(codes, LAYOUT), expected)


@pytest.mark.parametrize("frames", [1, 9, 40])
def test_undelay_gives_the_clip_back(frames: int) -> None:
    codes = np.random.default_rng(frames).integers(0, 1024, (8, frames))
    columns = delay(codes, LAYOUT)
    np.testing.assert_array_equal(undelay(columns, 1, frames + 1), codes)


def test_the_first_frame_is_complete_with_column_eight() -> None:
    assert [complete_frames(column, 8) for column in (0, 7, 8, 9)] == [0, 0, 1, 2]
