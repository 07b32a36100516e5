"""Codes that are equally likely, as bfloat16 makes many: what is taken does not depend on company, engine or luck."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from runtime.engine import noise
from runtime.engine.sampler import Sampler
from runtime.engine.sampler_state import SamplerState
from runtime.engine.types import CodebookLayout, SamplingParameters

pytestmark = pytest.mark.slow

LAYOUT = CodebookLayout(num_codebooks=8, codebook_size=1026, stream_bos_id=1024, stream_eos_id=1025)
SMALL = CodebookLayout(num_codebooks=4, codebook_size=34, stream_bos_id=32, stream_eos_id=33)
PLAIN = SamplingParameters(temperature=1.0, top_k=0, top_p=1.0, ras_window=0, ras_max_repeats=1, seed=0)

parameters = st.builds(
    SamplingParameters,
    temperature=st.sampled_from([0.0, 0.0, 0.3, 0.7, 1.0, 1.5]),
    top_k=st.sampled_from([0, 1, 2, 3, 5, 20, 33, 34, 50]),
    top_p=st.sampled_from([0.05, 0.3, 0.5, 0.9, 0.95, 1.0]),
    ras_window=st.sampled_from([0, 1, 7, 16]),
    ras_max_repeats=st.integers(1, 3),
    seed=st.integers(0, 2**63 - 1),
)


def state(of: list[SamplingParameters], layout: CodebookLayout = LAYOUT) -> SamplerState:
    """Streams in mid-stream, each in the slot of its place in the list."""
    made = SamplerState(len(of), layout, max_ras_window=16)
    for slot, each in enumerate(of):
        made.begin(slot, each, None)
    made.column[:] = 100
    return made


def tied_logits(seed: int, rows: int, layout: CodebookLayout = LAYOUT, step: float = 0.5) -> torch.Tensor:
    """Logits on a grid so coarse that most places are shared."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, layout.num_codebooks, layout.codebook_size, generator=generator) * 2
    return ((logits / step).round() * step).to(torch.bfloat16).to(torch.float32)


def kept(row: np.ndarray, of: SamplingParameters) -> list[int]:
    """The codes of one row that may be drawn, likeliest first, in plain terms."""
    order = sorted((code for code in range(len(row)) if row[code] > -np.inf), key=lambda code: (-row[code], code))
    if of.temperature == 0:
        return order[:1]
    scores = row / np.float32(of.temperature)
    if 0 < of.top_k <= len(order):
        order = [code for code in order if scores[code] >= scores[order[of.top_k - 1]]]
    weights = np.exp(scores[order].astype(np.float64) - float(scores[order[0]]))
    before = np.cumsum(weights) - weights
    return [code for code, mass in zip(order, before, strict=True) if mass < of.top_p * weights.sum() * (1 - 1e-7)]


class PlainSampler:
    """One stream, a row at a time, in numpy."""

    def __init__(self, of: SamplingParameters, layout: CodebookLayout) -> None:
        self._of, self._layout = of, layout
        self._history: list[np.ndarray] = []

    def step(self, logits: np.ndarray, column: int) -> list[int]:
        codes = [self._code(logits[codebook].copy(), column, codebook) for codebook in range(len(logits))]
        self._history.append(np.array(codes))
        return codes

    def _code(self, row: np.ndarray, column: int, codebook: int) -> int:
        of, layout = self._of, self._layout
        row[layout.stream_bos_id] = -np.inf
        counter = column * layout.num_codebooks + codebook
        choice = self._draw(row, kept(row, of), counter) if of.temperature else kept(row, of)[0]
        recent = self._history[-of.ras_window :] if of.ras_window else []
        if choice < layout.first_special_id and sum(c[codebook] == choice for c in recent) >= of.ras_max_repeats:
            return self._draw(row, list(range(len(row))), counter + (1 << 40), np.float32(1))
        return choice

    def _draw(self, row: np.ndarray, codes: list[int], counter: int, temperature: np.float32 | None = None) -> int:
        stream, key = noise.stream_key(torch.tensor([self._of.seed])), torch.tensor([counter])
        uniform = noise.uniform(stream, key, torch.arange(len(row)))[0].numpy()
        scores = row / (np.float32(self._of.temperature) if temperature is None else temperature)
        drawn = scores - np.log(-np.log(uniform))
        best = max(drawn[codes])
        return next(code for code in sorted(codes, key=lambda code: (-row[code], code)) if drawn[code] == best)


@settings(max_examples=40, deadline=None)
@given(st.lists(parameters, min_size=1, max_size=6), st.integers(0, 10**6), st.sampled_from([0.5, 1.0, 4.0, 100.0]))
def test_each_stream_alone_equals_itself_in_any_company_and_the_plain_definition(
    company: list[SamplingParameters], seed: int, step: float
) -> None:
    together, never = state(company, SMALL), state(company, SMALL)
    alone = [state([each], SMALL) for each in company]
    plain = [PlainSampler(each, SMALL) for each in company]
    sampler, waits_never = Sampler(SMALL), Sampler(SMALL, asynchronous=True)
    for column in range(101, 109):
        logits = tied_logits(seed + column, len(company), SMALL, step)
        logits[:, :, SMALL.stream_eos_id] -= 50.0  # an end would force what follows
        codes = sampler.step(together, logits)
        assert torch.equal(waits_never.step(never, logits), codes)
        for slot, single in enumerate(alone):
            assert torch.equal(sampler.step(single, logits[slot : slot + 1])[0], codes[slot])
            assert plain[slot].step(logits[slot].numpy(), column) == codes[slot].tolist()


@pytest.mark.parametrize("beside", [{"top_k": k} for k in (0, 1, 5, 50, 64, 1026)] + [{"temperature": 0.0}])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_greedy_takes_the_lowest_of_equals_alone_and_beside_any_top_k(
    beside: dict[str, float], asynchronous: bool
) -> None:
    greedy = dataclasses.replace(PLAIN, temperature=0.0)
    other = dataclasses.replace(PLAIN, seed=3, **beside)
    sampler = Sampler(LAYOUT, asynchronous=asynchronous)
    for seed in range(10):
        logits = tied_logits(seed, 2)
        logits[..., 1024:] = -9.0
        assert ((logits[0] == logits[0].amax(-1, keepdim=True)).sum(-1) > 1).any(), "nothing ties"
        expected = [int(np.flatnonzero(row == row.max())[0]) for row in logits[0].numpy()]
        assert sampler.step(state([greedy, other]), logits)[0].tolist() == expected
        assert sampler.step(state([other, greedy]), logits.flip(0))[1].tolist() == expected
        assert sampler.step(state([greedy]), logits[:1])[0].tolist() == expected


def test_rows_of_equals_everywhere_give_the_lowest_code() -> None:
    for value in (0.0, -0.0, 7.25, -300.0):
        logits = torch.full((2, 8, 1026), value)
        logits[:, :, :5] -= 1
        streams = state([dataclasses.replace(PLAIN, temperature=0.0), dataclasses.replace(PLAIN, top_k=50)])
        assert (Sampler(LAYOUT).step(streams, logits)[0] == 5).all()


@pytest.mark.parametrize("temperature, top_k, top_p", [(1.0, 50, 1.0), (0.7, 5, 1.0), (1.5, 1, 1.0), (1.0, 50, 0.9)])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_can_be_drawn_is_what_transformers_leaves(
    temperature: float, top_k: int, top_p: float, asynchronous: bool
) -> None:
    """Top-k keeps exactly its set, ties at the k-th place included; of top-p's ties as many as it keeps."""
    row = tied_logits(4, 1, step=0.5)[0, 0]
    row[1024:] = float("-inf")
    row[row[:1024].argsort()[:3]] = row.sort(descending=True).values[top_k - 1]
    scores = TopKLogitsWarper(top_k)(None, TemperatureLogitsWarper(temperature)(None, row[None]))
    limited = TopPLogitsWarper(top_p)(None, scores) if top_p < 1 else scores
    possible = set(np.flatnonzero(limited[0].numpy() > -np.inf).tolist())
    assert top_p < 1 or len(possible) > top_k, "nothing ties at the k-th place"
    of = dataclasses.replace(PLAIN, temperature=temperature, top_k=top_k, top_p=top_p)
    expected = set(kept(row.numpy(), of))
    assert len(expected) == len(possible)
    assert top_p < 1 or expected == possible
    rows = 200
    streams = state([of] * rows)
    streams.noise_key[:] = noise.stream_key(torch.arange(rows))
    sampler, drawn = Sampler(LAYOUT, asynchronous=asynchronous), set()
    for _ in range(8):
        drawn |= set(sampler.step(streams, row.expand(rows, 8, 1026)).flatten().tolist())
    assert drawn == expected, "each is likely enough to be drawn once in 12,800 times"


def test_ties_beyond_any_width_are_all_kept() -> None:
    """Every code ties: top-k of 1 still draws among all of them, and top-p keeps the lowest."""
    streams = state([dataclasses.replace(PLAIN, top_k=1)] * 100)
    streams.noise_key[:] = noise.stream_key(torch.arange(100))
    logits = torch.zeros(100, 8, 1026)
    codes = Sampler(LAYOUT).step(streams, logits)
    assert len(codes.unique()) > 300
    streams.top_p[:] = 0.1
    streams.eos_age[:] = 0
    codes = Sampler(LAYOUT).step(streams, logits)
    assert codes.max() == 102 and codes.min() == 0, "a tenth of the 1025 that can be drawn"
