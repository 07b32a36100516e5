"""Chooses the next column of codes for every live stream at once: delay masks, temperature, top-k, top-p, RAS.

This is the only sampler: every engine calls it, on whatever device holds the logits. All rows go through the same
tensor operations. Off the CPU nothing waits for the device, and a step costs the same for any parameters.

Sampling adds Gumbel noise to the log-probabilities and takes the maximum (Gumbel-max), with noise keyed by seed,
column, codebook and code: the same request and seed draw the same noise in any batch, and rounding differences of
the logits only matter for near-ties.
"""

from __future__ import annotations

import torch

from runtime.engine import noise
from runtime.engine.sampler_state import Rows, SamplerState
from runtime.engine.types import CodebookLayout

_MINUS_INFINITY = float("-inf")
_RESAMPLE = 1 << 40  # keeps the second draw's counters apart from the first's
_ONE = noise.number(1)
_UNIT = 2.0**30  # the likeliest code's weight; one that weighs less than 1 is too unlikely for any noise to choose it


class Sampler:
    """One decode step's sampling over the first `n` slots of a state.

    Args:
        asynchronous: never read a value back from the device, at the cost of a second draw for every row; the default
            unless the device is the CPU. The codes are the same either way.
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

        logits: float32 [n, num_codebooks, codebook_size]; the beginning mark's are overwritten. candidates: how many of
        the likeliest codes to consider, at least as many as the state asks for, which is the default; more if needed.
        Returns int64 [n, num_codebooks].
        """
        n, layout = logits.shape[0], self._layout  # len() of a tensor goes through Python
        candidates, rows = state.candidates(n) if candidates is None else candidates, state.rows(n)
        column, eos_age = rows.column + _ONE, rows.eos_age
        not_begun, ended = self._codebook >= column, self._codebook < eos_age

        # A beginning mark is only ever forced: sampled in mid-stream it would be a frame nobody can decode.
        logits[..., layout.stream_bos_id].fill_(_MINUS_INFINITY)
        counter = torch.add(self._codebook, column, alpha=layout.num_codebooks)
        first = again = None
        if self._asynchronous:
            # Noise for every code and both draws at once: more numbers, but half as many operations.
            both = torch.stack([counter, counter + _RESAMPLE])
            first, again = _minus_gumbel(rows.noise_key, both, self._token).unbind()
        codes = self._draw(rows, logits, counter, candidates, first)
        codes = self._avoid_repetition(rows, logits, counter, codes, again)
        codes.masked_fill_(ended, layout.stream_eos_id).masked_fill_(not_begun, layout.stream_bos_id)

        eos_age += (codes == layout.stream_eos_id).any(dim=1, keepdim=True) | (eos_age > 0)
        rows.column.copy_(column)
        rows.last.copy_(codes)
        rows.history.copy_(torch.cat([rows.later, codes[:, None]], dim=1))
        return codes

    def _draw(
        self,
        rows: Rows,
        logits: torch.Tensor,
        counter: torch.Tensor,
        candidates: int,
        minus_gumbel: torch.Tensor | None,
    ) -> torch.Tensor:
        """Temperature, then top-k, then top-p, then one draw; int64 [n, num_codebooks]. minus_gumbel: of every code.

        Of equally likely codes, which are common in bfloat16, the lowest goes first: greedy takes it and top-p keeps
        it. Top-k keeps all codes that tie at the k-th place, as transformers does.
        """
        if candidates == 1:
            return torch.argmax(logits, dim=-1)  # the first among equals, as torch guarantees
        # On a CPU, sorting every code would cost more than the rest of the step. On a GPU it is cheap, and counting the
        # codes that tie would mean waiting for the device.
        width = logits.shape[-1] if self._asynchronous else candidates
        scores, tokens = self._likeliest(logits, width)
        scores = scores.div_(rows.temperature)
        kth = torch.gather(scores, -1, rows.kth)
        if width < logits.shape[-1] and bool((scores[..., -1:] >= kth).any()):  # codes that tie may be outside
            scores, tokens = self._likeliest(logits, int((logits / rows.temperature >= kth).sum(dim=-1).max()))
            scores = scores.div_(rows.temperature)
        scores = scores.masked_fill_(scores < kth, _MINUS_INFINITY)

        # An integer sum depends neither on the order of addition nor on how many weightless codes follow.
        weights = (scores - scores[..., :1]).exp_().mul_(_UNIT).to(torch.int64)
        mass = torch.cumsum(weights, dim=-1)
        limit = torch.ceil(rows.top_p * mass[..., -1:]).to(torch.int64)
        scores = scores.masked_fill_(mass.sub_(weights) >= limit, _MINUS_INFINITY)
        if minus_gumbel is None:
            drawn = scores - _minus_gumbel(rows.noise_key, counter, tokens)
        else:
            drawn = scores - torch.gather(minus_gumbel, -1, tokens)
        choice = torch.argmax(drawn, dim=-1, keepdim=True).masked_fill_(rows.greedy, 0)
        return torch.gather(tokens, -1, choice).squeeze(-1)

    @staticmethod
    def _likeliest(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The `count` highest logits of each row and their codes, likeliest first; among equals, lowest code first.

        Which codes that tie at the last place are included is unspecified.
        """
        if count == logits.shape[-1]:
            scores, tokens = torch.sort(logits, dim=-1, descending=True, stable=True)
            return scores, tokens
        scores, tokens = torch.topk(logits, count, dim=-1)
        if bool((scores[..., 1:] == scores[..., :-1]).any()):  # rare in float32; their order is unspecified
            tokens = torch.sort(tokens, dim=-1).values
            scores, order = torch.sort(torch.gather(logits, -1, tokens), dim=-1, descending=True, stable=True)
            tokens = torch.gather(tokens, -1, order)
        return scores, tokens

    def _avoid_repetition(
        self,
        rows: Rows,
        logits: torch.Tensor,
        counter: torch.Tensor,
        codes: torch.Tensor,
        minus_gumbel: torch.Tensor | None,
    ) -> torch.Tensor:
        """Replace codes that repeat too often with a draw from the plain distribution (RAS); int64, like `codes`."""
        same = (rows.history == codes[:, None]) & rows.recent
        repeated = same.sum(dim=1) >= rows.ras_max_repeats
        repeated &= codes < self._layout.first_special_id
        if minus_gumbel is not None:  # redraw every row: finding out which ones repeat would wait for the device
            return torch.where(repeated, torch.argmax(logits - minus_gumbel, dim=-1), codes)
        if not bool(repeated.any()):
            return codes
        stream, counter = rows.noise_key.expand_as(counter)[repeated], (counter + _RESAMPLE)[repeated]
        codes[repeated] = torch.argmax(logits[repeated] - _minus_gumbel(stream, counter, self._token), dim=-1)
        return codes


def _minus_gumbel(stream: torch.Tensor, counter: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    """Gumbel noise with its sign turned: what is subtracted need not be negated first."""
    return noise.uniform(stream, counter, token).log_().neg_().log_()
