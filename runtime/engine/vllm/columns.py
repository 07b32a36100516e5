"""The columns behind the ids, in a worker: what the network reads, and what sampling writes for its next step.

Codes are kept, not sums of embeddings: sixteen bytes a column instead of kilobytes, so every column of every stream
stays, and vLLM may drop a stream's keys and values and read its columns again.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

import torch
from vllm.config import VllmConfig

from runtime.engine.types import CodebookLayout
from runtime.engine.vllm.id_space import IdSpace


class Columns:
    """`spoken`: int16 [places, positions, num_codebooks], each stream's columns at their positions; `clips`: int16
    [clip_rows, num_codebooks]. Both stay where they are, so a recorded step may read them.
    """

    def __init__(self, layout: CodebookLayout, space: IdSpace, positions: int, device: torch.device) -> None:
        self.layout, self.space, self.device = layout, space, device
        shape = (space.places, positions, layout.num_codebooks)
        self.spoken = torch.zeros(shape, dtype=torch.int16, device=device)
        self.clips = torch.zeros(space.clip_rows, layout.num_codebooks, dtype=torch.int16, device=device)
        self._first = torch.full((layout.num_codebooks,), layout.stream_bos_id, dtype=torch.int16, device=device)

    @classmethod
    def of(cls, config: VllmConfig) -> Columns:
        """The columns of the worker with this configuration: the network and its sampling get the same ones."""
        if (columns := _SHARED.get(config.instance_id)) is None:
            hf, places = config.model_config.hf_config, config.scheduler_config.max_num_seqs
            layout = CodebookLayout(hf.num_codebooks, hf.codebook_size, hf.audio_stream_bos_id, hf.audio_stream_eos_id)
            positions = config.model_config.max_model_len
            space = IdSpace(layout.num_codebooks, places, hf.vocab_size, places * positions)
            columns = _SHARED[config.instance_id] = cls(layout, space, positions, config.device_config.device)
        return columns

    def is_text(self, ids: torch.Tensor) -> torch.Tensor:
        """Bool, like `ids`."""
        return (ids >= self.space.text) & (ids < self.space.beginnings)

    def text(self, ids: torch.Tensor) -> torch.Tensor:
        """The tokens that ids mean, where they mean text; elsewhere any token."""
        return (ids - self.space.text).clamp(0, self.space.vocab_size - 1)

    def at(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The columns that ids mean at their positions, int64 [n, num_codebooks]; where they mean text, any column."""
        space = self.space
        place = (ids - space.num_codebooks).clamp(0, space.places - 1)
        spoken = self.spoken[place, positions]
        clip = self.clips[(ids - space.clips) % space.clip_rows]
        prompt = torch.where((ids >= space.clips)[:, None], clip, self._first)
        return torch.where((ids < space.text)[:, None], spoken, prompt).long()


_SHARED: WeakValueDictionary[str, Columns] = WeakValueDictionary()  # vLLM hands its parts nothing else in common
