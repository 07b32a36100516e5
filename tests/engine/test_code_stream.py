"""From columns to windows: exact context, early first windows, ends, guards, and no mark ever leaving."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from runtime.engine.code_stream import CodeStream
from runtime.engine.delay_pattern import delay
from runtime.engine.types import CodebookLayout, FinishReason, FrameWindow, RunawayGuard, WindowPlan
from runtime.formats.errors import InvalidRequestError

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


@pytest.mark.parametrize("limit", [False, True], ids=["by its end mark", "by its limit"])
def test_a_last_window_has_at_most_a_context_more_than_the_longest(limit: bool) -> None:
    """On which the codec's longest window rests (`longest_window` in build/engines.py)."""
    longest = []
    for frames in range(190, 220):
        codes = np.random.default_rng(frames).integers(0, 1024, (8, frames))
        stream = CodeStream(LAYOUT, WindowPlan(50, 1.0, 50), frames - 1 if limit else 1000, 10)
        windows, _ = play(stream, delay(codes, LAYOUT))
        longest.append(max(window.count for window in windows))
    assert max(longest) == 50 + 10


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


GUARD = RunawayGuard(loop_frames=50, loop_repeats=3, silence_frames=75)
SILENCE = [[7, 8, 9], [20, 21], *[[]] * 6]


def guarded(guard: RunawayGuard, codes: np.ndarray) -> tuple[list[FrameWindow], int]:
    """What leaves of these frames, and how many columns were looked at."""
    stream = CodeStream(LAYOUT, WindowPlan(5, 1.5, 20), 5000, 10, guard, SILENCE)
    windows, left_at = play(stream, delay(codes, LAYOUT))
    return windows, left_at[-1]


def random_codes(seed: int, frames: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(100, 1024, (8, frames))


@pytest.mark.parametrize("cycle", [1, 2, 7, 49, 50])
def test_a_cycle_that_goes_on_too_long_ends_the_stream(cycle: int) -> None:
    speech = random_codes(0, 120)
    codes = np.concatenate([speech, np.tile(random_codes(1, cycle), (1, 1000 // cycle))], axis=1)
    codes[4:] = np.random.default_rng(2).integers(100, 1024, codes[4:].shape)  # the finer half is noise
    windows, columns = guarded(GUARD, codes)
    assert windows[-1].finish_reason == FinishReason.RUNAWAY
    # Column 0, the speech, the first cycle, three columns until the fourth codebook is there too, and then 150.
    assert columns == 1 + 120 + cycle + 3 + 150
    said = spoken(windows)
    np.testing.assert_array_equal(said, codes[:, : said.shape[1]])
    assert said.shape[1] <= columns - 18, "nothing leaves that was not ready before"
    assert guarded(replace(GUARD, loop_frames=0), codes)[0][-1].finish_reason == FinishReason.STOP


def test_a_cycle_longer_than_is_looked_for_or_that_breaks_off_is_speech() -> None:
    for codes in (
        np.tile(random_codes(0, 51), (1, 20)),
        np.concatenate([np.tile(random_codes(n, 20), (1, 8)) for n in range(6)], axis=1),  # 140 repetitions each
    ):
        windows, _ = guarded(GUARD, codes)
        assert windows[-1].finish_reason == FinishReason.STOP
        np.testing.assert_array_equal(spoken(windows), codes)


def test_a_held_sound_may_repeat_some_codebooks_for_ever() -> None:
    codes = random_codes(0, 600)
    codes[:3] = 500
    assert guarded(GUARD, codes)[0][-1].finish_reason == FinishReason.STOP
    codes[:4] = 500
    assert guarded(GUARD, codes)[0][-1].finish_reason == FinishReason.RUNAWAY


def test_endless_silence_ends_the_stream_and_a_pause_does_not() -> None:
    rng = np.random.default_rng(0)

    def silence(frames: int) -> np.ndarray:
        codes = random_codes(1, frames)
        codes[0], codes[1] = rng.choice(SILENCE[0], frames), rng.choice(SILENCE[1], frames)
        return codes

    pauses = np.concatenate([random_codes(2, 20), silence(73)] * 4, axis=1)
    assert guarded(GUARD, pauses)[0][-1].finish_reason == FinishReason.STOP
    codes = np.concatenate([pauses, random_codes(3, 20), silence(400)], axis=1)
    windows, columns = guarded(GUARD, codes)
    assert windows[-1].finish_reason == FinishReason.RUNAWAY
    assert columns == 1 + pauses.shape[1] + 20 + 1 + 75
    half = codes.copy()
    half[1] = 500  # the second codebook hears something
    assert guarded(GUARD, half)[0][-1].finish_reason == FinishReason.STOP


def test_of_what_was_lost_and_not_said_yet_a_short_tail_leaves_with_what_follows_as_context() -> None:
    codes = random_codes(0, 300)
    codes[0, 100:], codes[1, 100:] = 7, 20
    stream = CodeStream(LAYOUT, WindowPlan(80, 1.0, 80), 5000, 10, replace(GUARD, silence_frames=40), SILENCE)
    windows, _ = play(stream, delay(codes, LAYOUT))
    assert [(w.start, w.count, w.finish_reason) for w in windows] == [(0, 80, None), (80, 25, FinishReason.RUNAWAY)]
    np.testing.assert_array_equal(spoken(windows), codes[:, :105])
    np.testing.assert_array_equal(windows[-1].codes, codes[:, 70:115])


def test_the_budget_ends_a_stream_under_its_own_name() -> None:
    codes = random_codes(0, 300)
    for budget, reason, frames in ((77, FinishReason.RUNAWAY, 77), (301, FinishReason.STOP, 300)):
        windows, _ = guarded(RunawayGuard(max_frames=budget), codes)
        assert windows[-1].finish_reason == reason
        np.testing.assert_array_equal(spoken(windows), codes[:, :frames])
    stream = CodeStream(LAYOUT, WindowPlan(5, 1.5, 20), 60, 10, RunawayGuard(max_frames=77))
    assert play(stream, delay(codes, LAYOUT))[0][-1].finish_reason == FinishReason.LENGTH, "the smaller limit's name"


def test_a_guard_out_of_range_is_refused() -> None:
    for wrong in ({"max_frames": -1}, {"loop_frames": 1001}, {"loop_repeats": 0}, {"silence_frames": -5}):
        with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
            RunawayGuard(**wrong)
