"""From columns to windows: exact context, early first windows, ends, and no mark ever leaving."""

from collections.abc import Callable

import numpy as np
import pytest

from engine.delay_pattern import delay
from engine.stream import CodeStream
from engine.types import CodebookLayout, FinishReason, FrameWindow, WindowPlan

LAYOUT = CodebookLayout(num_codebooks=8, codebook_size=1026, stream_bos_id=1024, stream_eos_id=1025)
PLANS = [WindowPlan(1, 1.0, 1), WindowPlan(5, 1.5, 20), WindowPlan(10, 2.0, 50), WindowPlan(1000, 1.0, 1000)]


def play(stream: CodeStream, columns: np.ndarray) -> tuple[list[FrameWindow], list[int]]:
    """Feed columns (the first, all beginning marks, is the stream's own); returns windows and when each left."""
    windows: list[FrameWindow] = []
    left_at: list[int] = []
    for number, column in enumerate(columns[1:], start=2):
        stream.append(column)
        for window in stream.windows():
            windows.append(window)
            left_at.append(number)
        if windows and windows[-1].finish_reason:
            break
    return windows, left_at


def spoken(windows: list[FrameWindow]) -> np.ndarray:
    return np.concatenate([w.codes[:, w.context : w.context + w.count] for w in windows], axis=1)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("frames", [1, 3, 9, 10, 11, 60, 203])
def test_windows_carry_every_frame_once_with_its_context(plan: WindowPlan, frames: int) -> None:
    codes = np.random.default_rng(frames).integers(0, 1024, (8, frames))
    windows, _ = play(CodeStream(LAYOUT, plan, 1000, 10), delay(codes, LAYOUT))
    np.testing.assert_array_equal(spoken(windows), codes)
    assert [w.finish_reason for w in windows[:-1]] == [None] * (len(windows) - 1)
    assert windows[-1].finish_reason == FinishReason.STOP
    position = 0
    for window in windows:
        assert window.start == position
        left, right = max(0, position - 10), min(frames, position + window.count + 10)
        np.testing.assert_array_equal(window.codes, codes[:, left:right])
        position += window.count


@pytest.mark.parametrize("first", [1, 5, 10, 25])
def test_the_first_window_of_n_frames_leaves_with_the_n_plus_18th_column(
    first: int, figure: Callable[[str, str], None]
) -> None:
    codes = np.random.default_rng(0).integers(0, 1024, (8, 200))
    windows, left_at = play(CodeStream(LAYOUT, WindowPlan(first, 2.0, 50), 1000, 10), delay(codes, LAYOUT))
    assert windows[0].count == first
    assert left_at[0] == first + 18
    figure(f"a first window of {first} frames leaves with", f"column {left_at[0]}")


def test_the_length_limit_keeps_every_complete_frame() -> None:
    codes = np.random.default_rng(1).integers(0, 1024, (8, 300))
    windows, left_at = play(CodeStream(LAYOUT, WindowPlan(5, 1.5, 20), 100, 10), delay(codes, LAYOUT))
    np.testing.assert_array_equal(spoken(windows), codes[:, :100])
    assert windows[-1].finish_reason == FinishReason.LENGTH
    assert left_at[-1] == 100 + 8, "no column more than the last frame needs"


def test_an_end_mark_in_any_codebook_ends_before_its_frame() -> None:
    codes = np.random.default_rng(2).integers(0, 1024, (8, 50))
    columns = delay(codes, LAYOUT)
    columns[30 + 5, 5] = 1025  # frame 29, counted from 0
    windows, _ = play(CodeStream(LAYOUT, WindowPlan(5, 1.5, 20), 1000, 10), columns)
    np.testing.assert_array_equal(spoken(windows), codes[:, :29])
    assert max(w.codes.max() for w in windows) < 1024


def test_a_stream_may_end_before_its_first_frame() -> None:
    columns = delay(np.zeros((8, 5), dtype=np.int64), LAYOUT)
    columns[1, 0] = 1025
    windows, _ = play(CodeStream(LAYOUT, WindowPlan(5, 1.5, 20), 1000, 10), columns)
    assert [(w.count, w.finish_reason) for w in windows] == [(0, FinishReason.STOP)]
