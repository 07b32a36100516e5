"""What sampling remembers of every stream, one row per slot, on the device of the logits."""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import torch

from runtime.engine import noise
from runtime.engine.types import CodebookLayout, SamplingParameters

_CHANGING = ("last", "history", "column", "eos_age")  # in each step


class Rows(NamedTuple):
    """Views of a state's first n rows, as a step needs them."""

    column: torch.Tensor  # int64 [n, 1]
    eos_age: torch.Tensor  # int64 [n, 1]
    last: torch.Tensor  # int64 [n, num_codebooks]
    history: torch.Tensor  # int64 [n, max_ras_window, num_codebooks]
    later: torch.Tensor  # the same, without the oldest column
    noise_key: torch.Tensor  # int64 [n, 1]
    temperature: torch.Tensor  # float32 [n, 1, 1]
    kth: torch.Tensor  # int64 [n, num_codebooks, 1]
    top_p: torch.Tensor  # float64 [n, 1, 1]
    greedy: torch.Tensor  # bool [n, 1, 1]
    recent: torch.Tensor  # bool [n, max_ras_window, 1]
    ras_max_repeats: torch.Tensor  # int64 [n, 1]


class SamplerState:
    """What sampling remembers of each stream, one row per slot.

    `last`: int64 [slots, num_codebooks], the newest column. `column`: int64 [slots], its number. `eos_age`: int64
    [slots], columns since an end mark first appeared, 0 before. `history`: int64 [slots, max_ras_window,
    num_codebooks], the newest columns, newest last. `recent`: bool [slots, max_ras_window], those that RAS looks at.
    `noise_key`: int64 [slots], `noise.stream_key` of the seed. `kth`: int64 [slots], top-k's last place.
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
        self.noise_key = integers(slots)
        self.kth = integers(slots)
        self.recent = torch.zeros(slots, max_ras_window, dtype=torch.bool, device=device)
        self.ras_max_repeats = integers(slots, fill=1)
        self.greedy = torch.ones(slots, dtype=torch.bool, device=device)
        self.temperature = torch.ones(slots, dtype=torch.float32, device=device)
        self.top_p = torch.ones(slots, dtype=torch.float64, device=device)
        self._candidates = [1] * slots  # known without asking the device
        self._layout = layout
        self._rows = dict[int, Rows]()

    def rows(self, n: int) -> Rows:
        """Views of the first n rows; made once: a step would take longer to make them than to use them."""
        if n not in self._rows:
            self._rows[n] = Rows(
                column=self.column[:n, None],
                eos_age=self.eos_age[:n, None],
                last=self.last[:n],
                history=self.history[:n],
                later=self.history[:n, 1:],
                noise_key=self.noise_key[:n, None],
                temperature=self.temperature[:n, None, None],
                kth=self.kth[:n, None, None].expand(-1, self.last.shape[1], 1),
                top_p=self.top_p[:n, None, None],
                greedy=self.greedy[:n, None, None],
                recent=self.recent[:n, :, None],
                ras_max_repeats=self.ras_max_repeats[:n, None],
            )
        return self._rows[n]

    def begin(self, slot: int, parameters: SamplingParameters, tail: torch.Tensor | None) -> None:
        """Start a stream in `slot`: column 0 is all beginning marks, whatever the logits say.

        tail: int64 [columns, num_codebooks], what RAS counts as already said (`Prompt.tail`); or None.
        """
        width = self.history.shape[1]
        # fill_ takes a number along; `tensor[slot] = number` would copy it from the host and wait for the device.
        self.history[slot].fill_(self._layout.stream_bos_id)
        if tail is not None and width > 1:
            recent = tail[-(width - 1) :]
            self.history[slot, width - 1 - len(recent) : width - 1] = recent.to(self.history.device)
        self.last[slot].fill_(self._layout.stream_bos_id)
        self.column[slot].zero_()
        self.eos_age[slot].zero_()
        greedy, every = parameters.temperature == 0, self._layout.codebook_size
        self.greedy[slot].fill_(greedy)
        self.temperature[slot].fill_(1.0 if greedy else parameters.temperature)
        self.kth[slot].fill_(0 if greedy else min(parameters.top_k or every, every) - 1)
        self.noise_key[slot].fill_(int(noise.stream_key(torch.tensor(parameters.seed)).numpy()))
        self.recent[slot].fill_(False)
        self.recent[slot, max(0, width - parameters.ras_window) :].fill_(True)
        for name in ("ras_max_repeats", "top_p"):
            getattr(self, name)[slot].fill_(getattr(parameters, name))
        # One more than top-k, to detect ties at the k-th place.
        self._candidates[slot] = 1 if greedy else (parameters.top_k or every) + 1

    def candidates(self, n: int) -> int:
        """How many of the likeliest codes the first n streams may need."""
        return min(self._layout.codebook_size, max(self._candidates[:n]))

    def take(self, slots: list[int], index: torch.Tensor) -> SamplerState:
        """A copy of the rows of some slots. index: the same, int64 [slots], where the rows are."""
        taken = copy(self)
        for name, tensor in vars(self).items():
            if isinstance(tensor, torch.Tensor):
                setattr(taken, name, tensor[index])
        taken._candidates = [self._candidates[slot] for slot in slots]
        taken._rows = {}
        return taken

    def put(self, index: torch.Tensor, taken: SamplerState) -> None:
        """Put back, of the rows that `take` gave, what a step changes."""
        for name in _CHANGING:
            getattr(self, name)[index] = getattr(taken, name)

    def follow(self, index: torch.Tensor, other: SamplerState) -> None:
        """Take over what a step changes, in these rows, from a state with as many slots."""
        for name in _CHANGING:
            getattr(self, name)[index] = getattr(other, name)[index]

    def move(self, source: int, target: int) -> None:
        """Give the stream in slot `source` the row `target`."""
        for tensor in vars(self).values():
            if isinstance(tensor, torch.Tensor):
                tensor[target] = tensor[source]
        self._candidates[target] = self._candidates[source]
