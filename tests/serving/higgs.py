"""transformers' own Higgs Audio V2 on the same checkpoint: what the bundle must reproduce."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convert import torchaudio_shim
from runtime.engine.delay_pattern import delay
from runtime.engine.types import AudioSegment, CodebookLayout, Prompt, TextSegment

torchaudio_shim.install()

from transformers import AutoProcessor, HiggsAudioV2ForConditionalGeneration  # noqa: E402

TEXT, WORDS = "The parity test reads this sentence aloud.", "A tone that glides."  # to speak; those of the clip


@dataclass(frozen=True)
class Generated:
    """One greedy generation. `ids` int [positions]; `clip` and `codes` int [num_codebooks, frames]."""

    ids: np.ndarray
    clip: np.ndarray
    codes: np.ndarray


class Higgs:
    """Processor, language model and codec as a user of transformers would load them."""

    def __init__(self, checkpoint: Path) -> None:
        self.processor: Any = AutoProcessor.from_pretrained(checkpoint)
        self.model: Any = HiggsAudioV2ForConditionalGeneration.from_pretrained(
            checkpoint, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.codec: Any = self.processor.audio_tokenizer.float().eval()
        self._generated: dict[tuple[int, str, bytes, str], Generated] = {}

    def inputs(self, text: str, reference: np.ndarray | None = None, words: str = "", scene: str = "") -> Any:
        """The processor's inputs for a conversation; reference is float32 [samples] at 24 kHz."""

        def turn(role: str, **content: Any) -> dict[str, Any]:
            return {"role": role, "content": [content]}

        conversation = [turn("system", type="text", text="Generate audio following instruction.")]
        if scene:
            conversation.append(turn("scene", type="text", text=scene))
        if reference is not None:
            conversation.append(turn("user", type="text", text=words))
            conversation.append(turn("assistant", type="audio", audio=reference))
        conversation.append(turn("user", type="text", text=text))
        return self.processor.apply_chat_template(
            conversation,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            sampling_rate=24000,
            return_tensors="pt",
        )

    def generate(self, frames: int, text: str, reference: np.ndarray | None = None, words: str = "") -> Generated:
        """Greedy, repetition-aware sampling off; the frames before the first that holds a mark, `frames` at most."""
        key = (frames, text, b"" if reference is None else reference.tobytes(), words)
        if key not in self._generated:
            self._generated[key] = self._generate(frames, text, reference, words)
        return self._generated[key]

    @torch.no_grad()
    def _generate(self, frames: int, text: str, reference: np.ndarray | None, words: str) -> Generated:
        inputs = self.inputs(text, reference, words)
        self.model.generation_config.ras_win_len = None
        columns = self.model.generate(**inputs, do_sample=False, max_new_tokens=frames + 8)[0].numpy()
        clip = np.zeros((8, 0), np.int32)
        if reference is not None:
            delayed = inputs["audio_input_ids"][0].numpy()
            columns = columns[len(delayed) :]
            clip = np.stack([delayed[1 + k : len(delayed) - 8 + k, k] for k in range(8)]).astype(np.int32)
        codes = np.stack([columns[1 + k : len(columns) - 7 + k, k] for k in range(8)])
        marks = np.flatnonzero((codes >= 1024).any(axis=0))
        return Generated(inputs["input_ids"][0].numpy(), clip, codes[:, : marks[0] if len(marks) else None][:, :frames])

    def prompt(self, generated: Generated) -> Prompt:
        """What it was generated from, its clip's positions as a segment of their own."""
        config, ids = self.model.config, generated.ids.astype(np.int64)
        audio = np.flatnonzero((ids == config.audio_token_id) | (ids == config.audio_delay_token_id))
        if not len(audio):
            return Prompt((TextSegment(ids),))
        marks = (config.audio_stream_bos_id, config.audio_stream_eos_id)
        columns = delay(generated.clip, CodebookLayout(config.num_codebooks, config.codebook_size, *marks))
        assert len(columns) == len(audio)
        return Prompt((TextSegment(ids[: audio[0]]), AudioSegment(columns), TextSegment(ids[audio[-1] + 1 :])))

    @torch.no_grad()
    def audio(self, codes: np.ndarray) -> np.ndarray:
        """The full decode: float32 [frames * 960]."""
        return self.codec.decode(torch.from_numpy(codes)[None].long()).audio_values[0, 0].numpy()
