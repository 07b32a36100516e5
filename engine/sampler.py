"""Choosing the next column of codes for every live stream at once: delay masks, temperature, top-k, top-p, RAS.

The only sampler there is: every engine calls it, on whatever device the logits are. All rows go through the same
tensor operations and nothing waits for the device, so the cost of a step does not depend on the mix of parameters.

Sampling adds Gumbel noise to the log-probabilities and takes the maximum (Gumbel-max), with noise keyed by seed,
column, codebook and code: the same request and seed draw the same noise in any batch, and rounding differences of
the logits only matter for near-ties.
"""

from __future__ import annotations

import torch

from engine import noise
from engine.types import CodebookLayout, SamplingParameters

_MINUS_INFINITY = float("-inf")
_RESAMPLE = 1 << 40  # keeps the second draw's counters apart from the first's


class SamplerState:
    """What sampling remembers of each stream, one row a slot.

    `last`: int64 [slots, num_codebooks], the newest column. `column`: int64 [slots], its number. `eos_age`: int64
    [slots], columns since an end mark first appeared, 0 before. `history`: int64 [slots, max_ras_window,
    num_codebooks], the newest columns, newest last.
    """

    def __init__(
        self, slots: int, layout: CodebookLayout, max_ras_window: int, device: str | torch.device = "cpu"
    ) -> None:
        def integers(*shape: int, fill: int = 0) -> torch.Tensor:
            return torch.full(shape, fill, dtype=torch.int64, device=device)

        self.last = integers(slots, layout.num_codebooks, fill=layout.stream_bos_id)
        self.history = integers(slots, max_ras_window, layout.num_codebooks, fill=layout.stream_bos_id)
        self.column = integers(slots)
        self.eos_age = integers(slots)
        self.seed = integers(slots)
        self.top_k = integers(slots)
        self.ras_window = integers(slots)
        self.ras_max_repeats = integers(slots, fill=1)
        self.temperature = torch.zeros(slots, dtype=torch.float32, device=device)
        self.top_p = torch.ones(slots, dtype=torch.float32, device=device)
        self._candidates = [1] * slots  # known without asking the device
        self._layout = layout

    def begin(self, slot: int, parameters: SamplingParameters, tail: torch.Tensor | None) -> None:
        """Start a stream in `slot`: column 0 is all beginning marks, whatever the logits say.

        tail: int64 [columns, num_codebooks] of the reference clip, which RAS counts as already said; or None.
        """
        width = self.history.shape[1]
        self.history[slot] = self._layout.stream_bos_id
        if tail is not None and width > 1:
            recent = tail[-(width - 1) :]
            self.history[slot, width - 1 - len(recent) : width - 1] = recent.to(self.history.device)
        self.last[slot] = self._layout.stream_bos_id
        self.column[slot] = 0
        self.eos_age[slot] = 0
        for name in ("seed", "top_k", "ras_window", "ras_max_repeats", "temperature", "top_p"):
            getattr(self, name)[slot] = getattr(parameters, name)
        unlimited = self._layout.codebook_size
        self._candidates[slot] = 1 if parameters.temperature == 0 else parameters.top_k or unlimited

    def candidates(self, n: int) -> int:
        """How many of the likeliest codes the first n streams may need."""
        return min(self._layout.codebook_size, max(self._candidates[:n]))

    def move(self, source: int, target: int) -> None:
        """Give the stream in slot `source` the row `target`."""
        for tensor in vars(self).values():
            if isinstance(tensor, torch.Tensor):
                tensor[target] = tensor[source]
        self._candidates[target] = self._candidates[source]


class Sampler:
    """One decode step's sampling over the first `n` slots of a state.

    Args:
        asynchronous: never read a value back from the device, at the price of a second draw for every row; by default
            wherever the device is not the CPU. The codes are the same.
    """

    def __init__(
        self, layout: CodebookLayout, device: str | torch.device = "cpu", asynchronous: bool | None = None
    ) -> None:
        self._layout = layout
        self._asynchronous = torch.device(device).type != "cpu" if asynchronous is None else asynchronous
        self._codebook = torch.arange(layout.num_codebooks, device=device)
        self._token = torch.arange(layout.codebook_size, device=device)

    def step(self, state: SamplerState, logits: torch.Tensor, candidates: int | None = None) -> torch.Tensor:
        """Choose the next column of each of the first n streams and advance their state.

        logits: float32 [n, num_codebooks, codebook_size]. candidates: how many of the likeliest codes to look at, no
        fewer than the state asks for, which is the default. Returns int64 [n, num_codebooks].
        """
        n, layout = len(logits), self._layout
        candidates = state.candidates(n) if candidates is None else candidates
        column = state.column[:n] + 1
        not_begun = self._codebook >= column[:, None]
        ended = self._codebook < state.eos_age[:n, None]

        # A beginning mark is only ever forced: sampled in mid-stream it would be a frame nobody can decode.
        allowed = logits.masked_fill(self._token == layout.stream_bos_id, _MINUS_INFINITY)
        counter = column[:, None] * layout.num_codebooks + self._codebook
        first = again = None
        if self._asynchronous:
            # Noise for every code and both draws at once: more numbers, and half as many of the operations they cost.
            both = torch.stack([counter, counter + _RESAMPLE])
            first, again = _gumbel(state.seed[:n, None], both, self._token).unbind()
        codes = self._draw(state, allowed, counter, candidates, first)
        codes = self._avoid_repetition(state, allowed, counter, codes, again)
        codes = torch.where(not_begun, layout.stream_bos_id, torch.where(ended, layout.stream_eos_id, codes))

        has_eos = (codes == layout.stream_eos_id).any(dim=1)
        state.eos_age[:n] += (has_eos | (state.eos_age[:n] > 0)).to(torch.int64)
        state.column[:n] = column
        state.last[:n] = codes
        state.history[:n] = torch.cat([state.history[:n, 1:], codes[:, None]], dim=1)
        return codes

    def _draw(
        self,
        state: SamplerState,
        logits: torch.Tensor,
        counter: torch.Tensor,
        candidates: int,
        gumbel: torch.Tensor | None,
    ) -> torch.Tensor:
        """Temperature, then top-k, then top-p, then one draw; int64 [n, num_codebooks]. gumbel: of every code."""
        n = len(logits)
        temperature = state.temperature[:n, None, None]
        greedy = temperature == 0
        top_k = torch.where(state.top_k[:n] > 0, state.top_k[:n], logits.shape[-1])
        # Sorting every code would cost more than the rest of the step; beyond the largest top-k none can be chosen.
        scores, tokens = torch.topk(logits, candidates, dim=-1)
        scores = scores / torch.where(greedy, 1.0, temperature)
        rank = self._token[: scores.shape[-1]]
        scores = scores.masked_fill(rank >= top_k[:, None, None], _MINUS_INFINITY)
        probabilities = torch.softmax(scores, dim=-1)
        mass_before = torch.cumsum(probabilities, dim=-1) - probabilities
        cut = (mass_before >= state.top_p[:n, None, None]) & (rank > 0)
        scores = scores.masked_fill(cut, _MINUS_INFINITY)
        if gumbel is None:
            drawn = scores + _gumbel(state.seed[:n, None], counter, tokens)
        else:
            drawn = scores + torch.gather(gumbel, -1, tokens)
        choice = torch.argmax(torch.where(greedy, scores, drawn), dim=-1, keepdim=True)
        return torch.gather(tokens, -1, choice).squeeze(-1)

    def _avoid_repetition(
        self,
        state: SamplerState,
        logits: torch.Tensor,
        counter: torch.Tensor,
        codes: torch.Tensor,
        gumbel: torch.Tensor | None,
    ) -> torch.Tensor:
        """Replace codes that repeat too often by a draw from the plain distribution (RAS); int64 as `codes`."""
        n = len(codes)
        width = state.history.shape[1]
        age = torch.arange(width, 0, -1, device=codes.device)
        inside = (age <= state.ras_window[:n, None])[:, :, None]
        marks = self._layout.first_special_id
        repeats = ((state.history[:n] == codes[:, None]) & inside & (codes[:, None] < marks)).sum(dim=1)
        repeated = (repeats >= state.ras_max_repeats[:n, None]) & (state.ras_window[:n, None] > 0)
        if gumbel is not None:  # every row, since asking which ones are meant would wait for the device
            return torch.where(repeated, torch.argmax(logits + gumbel, dim=-1), codes)
        seed, counter = state.seed[:n, None].expand_as(counter)[repeated], (counter + _RESAMPLE)[repeated]
        codes[repeated] = torch.argmax(logits[repeated] + _gumbel(seed, counter, self._token), dim=-1)
        return codes


def _gumbel(seed: torch.Tensor, counter: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    return -torch.log(-torch.log(noise.uniform(seed, counter, token)))
