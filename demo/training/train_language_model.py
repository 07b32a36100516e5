"""`python -m demo.training.train_language_model`: trains the demo language model; can be interrupted and resumed.

It learns codes of the fixed code space. Left to itself a model this small continues from its own history and never
learns to look at the word it is to say, so a few attention heads are guided (Tachibana et al. 2018, with exact timings
in place of a diagonal): flite says when it speaks which word, and the heads learn to attend to that word's text. What
they fetch must be known halfway up: the text head, which is never used for speaking, learns to name the word there.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

from demo.codec import SAMPLE_RATE
from demo.language_model import config_json
from demo.sizes import CODEBOOK_SIZE, NUM_CODEBOOKS, SIZES
from demo.training.conversations import Shares
from demo.training.examples import IGNORED, Batch, ExampleMaker
from demo.training.latent_set import CodeSpace
from demo.training.loop import SEED, Training
from demo.training.reading_set import ReadingSet
from demo.training.speech_set import CODEC_SET, HELD_OUT, LANGUAGE_MODEL_SET, SpeechSet
from demo.training.train_codec import HELD_OUT_COUNT, load_parts
from demo.training.train_codec import SENTENCES as CODEC_SENTENCES
from demo.training.vocabulary import trained_tokenizer

SENTENCES, STEPS = 14500, 9600
POSITIONS, POOL = 2400, 25  # of a step's examples together, and steps whose examples are drawn together
# Reading is learned on short prompts first; then come references and scenes, and at last conversations.
FIRST_STEPS, FIRST = 1000, Shares(reference=0.0, scene=0.0, conversation=0.0)
SINGLE_STEPS, SINGLE = 7600, Shares(reference=0.2, scene=0.05, conversation=0.0)
LAST = Shares(reference=0.2, scene=0.05, conversation=0.65)
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 0.05
# Of a codebook's loss against that of the one before it: the first ones say what is said, the last ones how finely.
CODEBOOK_DECAY = 0.7
# (layer, head) of the heads guided to the word being spoken, and of those guided to the one after it.
ON_SPOKEN, ON_COMING = ((1, 0), (2, 0), (3, 0)), ((2, 3),)
GUIDANCE = 0.3  # of the guided heads' loss beside the codes'
NAMING, NAMED_AFTER = 0.3, 3  # of the loss of naming the word being spoken, and the layers it is named after
# Where a word begins it is decided which word is said; the rest of it follows from there.
BEGINNING, BEGINNING_WEIGHT = 3, 3.0  # frames, and what their codes weigh against the others'
HELD_OUT_BATCHES = 6


class LanguageModelTraining(Training):
    """Next columns of codes, given prompt and columns so far."""

    report_every = 250

    def __init__(self, train: ExampleMaker, held_out: ExampleMaker, file: Path) -> None:
        self._train, self._pool = train, list[Batch]()
        self._held_out = {
            name: held_out.batches(HELD_OUT_BATCHES, POSITIONS, random.Random(SEED), shares)
            for name, shares in (("alone", SINGLE), ("in conversation", replace(LAST, conversation=1.0)))
        }
        torch.manual_seed(SEED)
        config = HiggsAudioV2Config(**config_json(SIZES["trained"], "float32") | {"attn_implementation": "eager"})
        self.model = HiggsAudioV2ForConditionalGeneration(config, use_text_head=True)
        assert self.model.text_lm_head is not None
        self._text_head = self.model.text_lm_head
        groups = [
            {"params": [one for one in self.model.parameters() if one.dim() > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [one for one in self.model.parameters() if one.dim() == 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98))
        weights = torch.tensor([CODEBOOK_DECAY**codebook for codebook in range(NUM_CODEBOOKS)])
        self._weights = weights / weights.sum()
        super().__init__(self.model, optimizer, file, STEPS, final_share=0.03, max_gradient=1.0)

    def loss(self) -> torch.Tensor:
        """Cross-entropy a code, the first codebooks weighing more, that of the guided heads, and that of naming."""
        place = self.step % POOL
        if place == 0 or not self._pool:
            shares = FIRST if self.step < FIRST_STEPS else SINGLE if self.step < SINGLE_STEPS else LAST
            self._pool = self._train.batches(POOL, POSITIONS, random.Random(SEED + self.step - place), shares)
        losses, _, guided, naming = self._measure(self._pool[place], BEGINNING_WEIGHT)
        return losses @ self._weights + GUIDANCE * guided.mean() + NAMING * naming.sum()

    @torch.no_grad()
    def report(self) -> str:
        said = []
        for name, batches in self._held_out.items():
            measured = [self._measure(batch) for batch in batches]
            means = (torch.stack(parts).mean(dim=0).tolist() for parts in zip(*measured, strict=True))
            loss, accuracy, guided, naming = (" ".join(f"{value:.2f}" for value in values) for values in means)
            said.append(f"{name}: loss {loss}, accuracy {accuracy}, guided heads {guided}, naming {naming}")
        return "held out " + "; ".join(said)

    def _measure(
        self, batch: Batch, beginning_weight: float = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Cross-entropy and accuracy of each codebook, float32 [codebooks]; cross-entropy of each guided head, and of
        naming the word, float32 [1]."""
        # Padding stands behind everything, where a causal model cannot see it: no attention mask is needed.
        output = self.model.model(
            input_ids=batch.ids,
            audio_input_ids=batch.columns,
            use_cache=False,
            output_attentions=True,
            output_hidden_states=True,
        )
        wanted = (batch.targets != IGNORED).any(dim=1)
        is_audio = batch.ids == self.model.config.audio_token_id
        logits = self.model.audio_lm_head(output.last_hidden_state[is_audio][wanted])
        logits, targets = logits.view(-1, NUM_CODEBOOKS, CODEBOOK_SIZE), batch.targets[wanted]
        losses = functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
        counted = targets != IGNORED
        hits = (logits.argmax(dim=-1) == targets) & counted
        guided = [
            _attended(output.attentions[layer][:, head][is_audio][wanted], ranges[wanted])
            for heads, ranges in ((ON_SPOKEN, batch.spoken), (ON_COMING, batch.coming))
            for layer, head in heads
        ]
        example = torch.arange(len(batch.ids)).repeat_interleave(is_audio.sum(dim=1))[wanted]
        names = batch.ids[example, batch.spoken[wanted, 0]]
        between = self.model.model.norm(output.hidden_states[NAMED_AFTER][is_audio][wanted])
        naming = functional.cross_entropy(self._text_head(between), names)
        begins = (batch.spoken != batch.spoken.roll(BEGINNING, dims=0)).any(dim=1)[wanted]
        weights = counted * torch.where(begins, beginning_weight, 1.0)[:, None]
        loss = (losses * weights).sum(dim=0) / weights.sum(dim=0)
        return loss, hits.sum(dim=0) / counted.sum(dim=0), torch.stack(guided), naming[None]


def _attended(attention: torch.Tensor, ranges: torch.Tensor) -> torch.Tensor:
    """How surprised a head, float32 [rows, positions], is by the word it should attend to: mean of -log of its mass."""
    position = torch.arange(attention.shape[1])
    inside = (position >= ranges[:, :1]) & (position < ranges[:, 1:])
    return -(attention * inside).sum(dim=1).clamp(min=1e-9).log().mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of speech, latents and checkpoints")
    parser.add_argument("--until", type=int, help="stop early, at this step")
    arguments = parser.parse_args()
    work = arguments.work
    space = CodeSpace.of(work, SpeechSet(work / "speech_train", CODEC_SENTENCES, *CODEC_SET, SAMPLE_RATE))
    parts = load_parts(work, space, "encoder")
    tokenizer = trained_tokenizer()

    def examples(name: str, count: int, kind: tuple[int, bool]) -> ExampleMaker:
        readings = ReadingSet(work / name, count, *kind)
        readings.make(space, parts)
        return ExampleMaker(list(readings.readings()), tokenizer)

    train = examples("reading_train", SENTENCES, LANGUAGE_MODEL_SET)
    held_out = examples("reading_held_out", HELD_OUT_COUNT, HELD_OUT)
    LanguageModelTraining(train, held_out, work / "language_model.pt").run(arguments.until)


if __name__ == "__main__":
    main()
