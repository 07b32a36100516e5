"""`python -m demo.training.train_language_model`: trains the demo language model; may be killed and resumed.

It learns the codes of the fixed code space, so it needs neither half of the codec.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from torch.nn import functional
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

from demo.codec import SAMPLE_RATE
from demo.language_model import config_json
from demo.sizes import CODEBOOK_SIZE, NUM_CODEBOOKS, SIZES
from demo.training.examples import IGNORED, Batch, ExampleMaker
from demo.training.latent_set import CodeSpace, clips
from demo.training.loop import SEED, Training
from demo.training.speech_set import CODEC_SET, HELD_OUT, LANGUAGE_MODEL_SET, SpeechSet
from demo.training.train_codec import HELD_OUT_COUNT
from demo.training.train_codec import SENTENCES as CODEC_SENTENCES
from demo.training.vocabulary import trained_tokenizer

SENTENCES, STEPS = 2500, 5000
BATCH, POOL = 16, 25  # examples a step, and steps whose examples are drawn together
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.05
# Of a codebook's loss against that of the one before it: the first ones say what is said, the last ones how finely.
CODEBOOK_DECAY = 0.85
HELD_OUT_BATCHES = 6


class LanguageModelTraining(Training):
    """Next columns of codes, given prompt and columns so far."""

    report_every = 250

    def __init__(self, train: ExampleMaker, held_out: ExampleMaker, file: Path) -> None:
        self._train, self._pool = train, list[Batch]()
        self._held_out = held_out.batches(HELD_OUT_BATCHES, BATCH, random.Random(SEED))
        torch.manual_seed(SEED)
        config = HiggsAudioV2Config(**config_json(SIZES["trained"], "float32"))
        self.model = HiggsAudioV2ForConditionalGeneration(config, use_text_head=True)
        groups = [
            {"params": [one for one in self.model.parameters() if one.dim() > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [one for one in self.model.parameters() if one.dim() == 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98))
        weights = torch.tensor([CODEBOOK_DECAY**codebook for codebook in range(NUM_CODEBOOKS)])
        self._weights = weights / weights.sum()
        super().__init__(self.model, optimizer, file, STEPS, final_share=0.03, max_gradient=1.0)

    def loss(self) -> torch.Tensor:
        """Cross-entropy a code, the first codebooks weighing more."""
        place = self.step % POOL
        if place == 0 or not self._pool:
            self._pool = self._train.batches(POOL, BATCH, random.Random(SEED + self.step - place))
        return self._measure(self._pool[place])[0] @ self._weights

    @torch.no_grad()
    def report(self) -> str:
        measured = [self._measure(batch) for batch in self._held_out]
        losses, hits = (torch.stack(parts).mean(dim=0).tolist() for parts in zip(*measured, strict=True))
        loss, accuracy = (" ".join(f"{value:.2f}" for value in values) for values in (losses, hits))
        return f"held out, by codebook: loss {loss}, accuracy {accuracy}"

    def _measure(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy and accuracy of each codebook, float32 [codebooks]."""
        # Padding stands behind everything, where a causal model cannot see it: no attention mask is needed.
        hidden = self.model.model(input_ids=batch.ids, audio_input_ids=batch.columns, use_cache=False).last_hidden_state
        wanted = (batch.targets != IGNORED).any(dim=1)
        audio = hidden[batch.ids == self.model.config.audio_token_id]
        logits = self.model.audio_lm_head(audio[wanted]).view(-1, NUM_CODEBOOKS, CODEBOOK_SIZE)
        targets = batch.targets[wanted]
        losses = functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
        counted = targets != IGNORED
        hits = (logits.argmax(dim=-1) == targets) & counted
        return losses.sum(dim=0) / counted.sum(dim=0), hits.sum(dim=0) / counted.sum(dim=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of speech, latents and checkpoints")
    parser.add_argument("--until", type=int, help="stop at this step already")
    arguments = parser.parse_args()
    work = arguments.work
    space = CodeSpace.of(work, SpeechSet(work / "speech_train", CODEC_SENTENCES, *CODEC_SET, SAMPLE_RATE))
    tokenizer, makers = trained_tokenizer(), []
    for name, count, kind in (
        ("speech_language_model", SENTENCES, LANGUAGE_MODEL_SET),
        ("speech_held_out", HELD_OUT_COUNT, HELD_OUT),
    ):
        speech = SpeechSet(work / name, count, *kind, SAMPLE_RATE)
        speech.make()
        makers.append(ExampleMaker(clips(speech, space, work / f"latents_{name}.npz"), tokenizer))
    LanguageModelTraining(*makers, file=work / "language_model.pt").run(arguments.until)


if __name__ == "__main__":
    main()
