"""The sampler against transformers' own logits processors, and against the distributions it promises."""

import numpy as np
import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from runtime.engine import noise
from runtime.engine.delay_pattern import delay
from runtime.engine.sampler import Sampler
from runtime.engine.sampler_state import SamplerState
from runtime.engine.types import (
    MAX_RAS_WINDOW,
    AudioSegment,
    CodebookLayout,
    Prompt,
    SamplingParameters,
    Segment,
    TextSegment,
)

LAYOUT = CodebookLayout(num_codebooks=8, codebook_size=1026, stream_bos_id=1024, stream_eos_id=1025)
GREEDY = SamplingParameters(temperature=0.0, top_k=0, top_p=1.0, ras_window=0, ras_max_repeats=1, seed=0)


def begun(parameters: SamplingParameters, slots: int = 1, column: int = 100) -> SamplerState:
    """A state in mid-stream."""
    state = SamplerState(slots, LAYOUT, max_ras_window=16)
    for slot in range(slots):
        state.begin(slot, parameters, None)
    state.column[:] = column
    return state


def with_(parameters: SamplingParameters, **values: object) -> SamplingParameters:
    return SamplingParameters(**{**vars(parameters), **values})


def test_greedy_takes_the_largest_logit_of_each_codebook() -> None:
    logits = torch.randn(3, 8, 1026, generator=torch.Generator().manual_seed(0))
    logits[..., 1024] = 50.0  # a beginning mark is never sampled
    logits[..., 1025] = -50.0
    codes = Sampler(LAYOUT).step(begun(GREEDY, 3), logits)
    torch.testing.assert_close(codes, logits[..., :1024].argmax(-1))


def test_codebooks_begin_one_column_after_another_and_end_the_same_way() -> None:
    state, sampler = begun(GREEDY, column=0), Sampler(LAYOUT)
    logits = torch.zeros(1, 8, 1026)
    logits[..., 7] = 1.0
    columns = [sampler.step(state, logits)[0].tolist() for _ in range(9)]
    assert columns[0] == [7] + [1024] * 7 and columns[7] == [7] * 8
    ending = logits.clone()
    ending[0, 0, 1025] = 2.0
    columns = [sampler.step(state, ending if i == 0 else logits)[0].tolist() for i in range(9)]
    assert columns[0] == [1025] + [7] * 7
    assert columns[1] == [1025] + [7] * 7, "transformers forces the first codebook one column later"
    assert columns[3] == [1025] * 3 + [7] * 5 and columns[8] == [1025] * 8


@pytest.mark.slow
@pytest.mark.parametrize("temperature, top_k, top_p", [(1.0, 0, 1.0), (0.7, 50, 0.9), (1.5, 5, 1.0), (0.3, 0, 0.5)])
def test_samples_follow_the_distribution_transformers_would_sample_from(
    temperature: float, top_k: int, top_p: float
) -> None:
    generator = torch.Generator().manual_seed(3)
    row = torch.randn(1026, generator=generator) * 3
    row[1024] = float("-inf")
    scores = TemperatureLogitsWarper(temperature)(None, row[None])
    scores = TopKLogitsWarper(top_k)(None, scores) if top_k else scores
    expected = TopPLogitsWarper(top_p)(None, scores).softmax(-1)[0].numpy()
    rows, steps = 64, 80
    state = begun(SamplingParameters(temperature, top_k, top_p, 0, 1, 0), rows)
    state.noise_key[:] = noise.stream_key(torch.arange(rows))
    drawn = np.zeros(1026)
    sampler = Sampler(LAYOUT)
    for _ in range(steps):
        state.eos_age[:] = 0
        drawn += np.bincount(sampler.step(state, row.expand(rows, 8, 1026)).flatten().numpy(), minlength=1026)
    total = rows * steps * 8
    assert drawn[expected == 0].sum() == 0, "a code outside top-k or top-p was drawn"
    likely = expected * total >= 5
    chi_squared = ((drawn - expected * total)[likely] ** 2 / (expected * total)[likely]).sum()
    # 5 standard deviations of chi squared: chance alone fails one run in millions, and the noise is seeded anyway.
    assert chi_squared < likely.sum() + 5 * (2 * likely.sum()) ** 0.5


def test_the_same_seed_draws_the_same_codes_in_any_slot_and_any_company() -> None:
    parameters = SamplingParameters(1.0, 50, 0.95, 7, 2, seed=1234567890123)
    logits = torch.randn(20, 1, 8, 1026, generator=torch.Generator().manual_seed(0)) * 2
    alone, crowd, sampler = begun(parameters), begun(with_(parameters, seed=9), 6), Sampler(LAYOUT)
    crowd.begin(4, parameters, None)
    crowd.column[:] = 100
    crowd.column[0] = 3
    for step in logits:
        others = torch.randn(6, 8, 1026)
        others[4] = step[0]
        torch.testing.assert_close(sampler.step(crowd, others)[4], sampler.step(alone, step)[0])


def test_different_seeds_columns_and_codebooks_draw_independently() -> None:
    logits = torch.zeros(1, 8, 1026).expand(512, 8, 1026)
    state = begun(with_(GREEDY, temperature=1.0), 512)
    state.noise_key[:] = noise.stream_key(torch.arange(512))
    codes = Sampler(LAYOUT).step(state, logits)
    again = Sampler(LAYOUT).step(state, logits)
    everything = torch.cat([codes.flatten(), again.flatten()])
    # 8192 draws from 1025 equally likely codes repeat a given pair with probability 1/1025.
    assert (codes == again).float().mean() < 0.01
    assert (codes[:, 0] == codes[:, 1]).float().mean() < 0.02
    assert len(everything.unique()) > 1000


def test_ras_draws_again_when_a_code_repeats_and_only_then() -> None:
    logits = torch.zeros(1, 8, 1026)
    logits[..., 7] = 4.0  # greedy would say 7 for ever; the plain distribution gives it about one time in twenty
    logits[..., 1025] = float("-inf")
    repeating = with_(GREEDY, ras_window=7, ras_max_repeats=2, seed=5)
    state, sampler = begun(repeating), Sampler(LAYOUT)
    codes = torch.stack([sampler.step(state, logits)[0] for _ in range(40)])
    assert (codes[:2] == 7).all(), "two repetitions are allowed"
    for column in range(2, 40):
        seven_before = (codes[max(0, column - 7) : column] == 7).sum(dim=0)
        assert ((codes[column] == 7) | (seven_before >= 2)).all(), "a draw without a repetition"
    assert (codes[2] != 7).float().mean() > 0.5
    state = begun(with_(repeating, ras_window=0))
    assert all((sampler.step(state, logits) == 7).all() for _ in range(10)), "a window of 0 turns it off"


def test_a_sampler_that_never_waits_chooses_the_same_codes() -> None:
    """Many kinds of streams in one batch, peaked logits so that repetitions are drawn again, beginnings and ends."""
    kinds = [
        with_(GREEDY, temperature=t, top_k=k, top_p=p, ras_window=w, ras_max_repeats=2, seed=seed)
        for seed, (t, k, p, w) in enumerate(
            [(0.0, 0, 1.0, 0), (0.0, 0, 1.0, 7), (1.0, 50, 0.95, 7), (0.3, 0, 0.5, 16), (1.0, 5, 1.0, 0)]
        )
    ]
    states = [SamplerState(len(kinds), LAYOUT, max_ras_window=16) for _ in range(2)]
    for state in states:
        for slot, kind in enumerate(kinds):
            state.begin(slot, kind, None)
    waiting, never = Sampler(LAYOUT, asynchronous=False), Sampler(LAYOUT, asynchronous=True)
    generator, redrawn = torch.Generator().manual_seed(0), 0
    base = torch.randn(len(kinds), 8, 1026, generator=generator) * 3
    for _ in range(60):
        logits = base + torch.randn(len(kinds), 8, 1026, generator=generator) * 0.5
        expected, actual = waiting.step(states[0], logits), never.step(states[1], logits, 1026)
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)
        redrawn += int((expected[1, :7] != logits[1, :7, :1024].argmax(-1)).sum())
    assert redrawn > 50, "repetition-aware sampling must have had something to do"


def test_ras_remembers_the_end_of_the_reference_clip() -> None:
    logits = torch.zeros(1, 8, 1026)
    logits[..., 7] = 9.0
    state = SamplerState(1, LAYOUT, max_ras_window=16)
    state.begin(0, with_(GREEDY, ras_window=7, ras_max_repeats=2), torch.full((5, 8), 7))
    state.column[:] = 100
    before = state.history[0].clone()
    assert (before[-1] == 1024).all() and (before[-6:-1] == 7).all(), "column 0 follows the clip"
    first = Sampler(LAYOUT).step(state, logits * 0 + torch.nn.functional.one_hot(torch.tensor(7), 1026) * 1.0)
    assert (first != 7).any(), "the clip's own repetitions count"


def transformers_ras(columns: np.ndarray, code: int, codebook: int, window: int) -> int:
    """How often transformers sees a code repeated: among the newest columns of all audio, marks not counted."""
    recent = columns[-window:, codebook]
    return int(((recent == code) & (recent != LAYOUT.stream_bos_id) & (recent != LAYOUT.stream_eos_id)).sum())


@pytest.mark.slow
@pytest.mark.parametrize("window", [1, 7, 16, 30, 40, 63, MAX_RAS_WINDOW])
@pytest.mark.parametrize("clips", [[5], [3, 4], [1, 1, 1, 1], [100], [20, 6], [0], []])
@pytest.mark.parametrize("repeats", [1, 2, 5])
def test_ras_looks_back_over_clips_and_spoken_parts_as_transformers_does(
    clips: list[int], window: int, repeats: int
) -> None:
    """Clips of so many frames, in each of which code 7 is every second one; text lies between them."""
    said = [delay(np.where(np.arange(frames) % 2, 7, 9) * np.ones((8, 1), int), LAYOUT) for frames in clips]
    segments: list[Segment] = [TextSegment(np.arange(4))]
    for columns in said:
        segments += [AudioSegment(columns), TextSegment(np.arange(3))]
    tail = Prompt(tuple(segments)).tail
    state = SamplerState(1, LAYOUT, MAX_RAS_WINDOW)
    of = with_(GREEDY, ras_window=window, ras_max_repeats=repeats, seed=5)
    state.begin(0, of, None if tail is None else torch.from_numpy(tail))
    columns = np.concatenate([*said, np.full((1, 8), 1024)])
    sampler = Sampler(LAYOUT)
    logits = torch.full((1, 8, 1026), -20.0)
    logits[..., 7] = -2.0
    logits[..., :7] = -2.1  # what is drawn instead is hardly ever 7
    logits[..., 8:1024] = -2.1
    for column in range(1, 20):
        repeated = [transformers_ras(columns, 7, codebook, window) >= repeats for codebook in range(8)]
        codes = sampler.step(state, logits)[0].numpy()
        assert [code != 7 for code in codes[:column]] == repeated[:column]
        columns = np.concatenate([columns, codes[None]])


def test_a_prompts_tail_is_no_longer_than_any_window() -> None:
    clip = AudioSegment(delay(np.arange(8 * 100).reshape(8, 100), LAYOUT))
    words = TextSegment(np.arange(3))
    assert Prompt((words,)).tail is None
    for segments in [(clip,), (words, clip, clip), (clip, words, clip, words)]:
        tail = Prompt(segments).tail
        assert tail is not None
        np.testing.assert_array_equal(tail, clip.columns[-MAX_RAS_WINDOW:])


def test_a_moved_stream_goes_on_as_if_nothing_happened() -> None:
    parameters = SamplingParameters(1.0, 50, 0.95, 7, 2, seed=77)
    logits = torch.randn(30, 8, 1026, generator=torch.Generator().manual_seed(1))
    still, moving, sampler = begun(parameters, 3), begun(parameters, 3), Sampler(LAYOUT)
    moving.begin(0, with_(parameters, seed=1), None)
    for i, step in enumerate(logits):
        expected = sampler.step(still, step.expand(3, 8, 1026))[2]
        if i == 10:
            moving.move(2, 0)
        rows = 3 if i < 10 else 1
        actual = sampler.step(moving, step.expand(rows, 8, 1026))[-1]
        torch.testing.assert_close(actual, expected)
