"""`python -m demo.training.train_language_model`: trains the demo language model; can be interrupted and resumed.

It learns codes of the fixed code space. Left to itself a model this small continues from its own history and never
learns to look at the text it is to say, so it is shown how to read. The text head, which is never used for speaking,
learns to name the phones of each letter, a few letters later in the text, where a causal model has read what they
depend on. A few attention heads are guided there (Tachibana et al. 2018, with exact timings in place of a diagonal):
the readings say which letter each frame speaks, so they learn to attend to it and to the letter spoken after it. And
half way up the spoken letter's phones must be named once more, where they are spoken.

It needs the readings and nothing else: neither flite nor the codec, so that a machine with a GPU and little else can do
it.
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

from convert.safetensors_writer import TensorSpec
from demo.language_model import config_json
from demo.sizes import CODEBOOK_SIZE, NUM_CODEBOOKS, SIZES, ModelSize
from demo.training.batches import PHASES, Batches
from demo.training.code_geometry import AlongCodes
from demo.training.examples import IGNORED, Batch, ExampleMaker
from demo.training.loop import DEVICE, IN_BFLOAT16, SEED, Training
from demo.training.network import Places, forward, rows_of, run_layer
from demo.training.place_marks import MARKED, PlaceMarks
from demo.training.readings import PHONES, PHONES_A_LETTER, WORDS_FILE, read_codebooks, read_readings
from demo.training.vocabulary import trained_tokenizer
from demo.training.word_practice import PRACTISED, Texts, Word
from demo.weights import write_weights

STEPS = 40000
# Of a step's examples together. A GPU is hardly busier with more.
POSITIONS = {"cpu": 1200, "cuda": 16000}
LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 2e-3, 0.05, 400
SLOPES = 0.25  # of the learning rate, for steps that all codes take together
# Of a codebook's loss against that of the one before it: the first ones say what is said, the last ones how finely.
CODEBOOK_DECAY = 0.7
MARKS = 0.5, 1.0  # of the codes that mark places, likewise against the first one
# (layer, head) of the heads guided to the letter being spoken and to the one after it.
ON_LETTER, ON_COMING = ((2, 0), (3, 0), (4, 0)), ((3, 4), (4, 4))
HEADS = (*ON_LETTER, *ON_COMING)
GUIDANCE = 1.0  # of the guided heads' loss beside the codes'
NAMING = 1.0  # of the loss of naming phones, in the text and in the speech
NAMED_IN_TEXT, NAMED_IN_SPEECH = 3, 5  # layers after which
HELD_OUT_BATCHES, HELD_OUT_POSITIONS = 3, 2400
# The weights, in pieces that are easily brought from one machine to another.
WEIGHTS, DTYPE, PIECE_BYTES = "language_model", torch.bfloat16, 15_000_000
STATE = "language_model.pt"  # of a training that has not ended


class LanguageModelTraining(Training):
    """Next columns of codes, given prompt and columns so far."""

    def __init__(
        self,
        batches: Batches,
        held_out: dict[str, ExampleMaker],
        codebooks: torch.Tensor,
        file: Path,
        size: ModelSize = SIZES["trained"],
        steps: int = STEPS,
        is_compiled: bool = False,
    ) -> None:
        self._layer_run = torch.compile(run_layer, dynamic=True) if is_compiled else run_layer
        self._held_out = dict[str, list[Batch]]()
        for name, maker in held_out.items():
            for kind, shares in (("alone", PHASES[0][1]), ("in conversation", replace(PHASES[2][1], conversation=1.0))):
                drawn = maker.batches(HELD_OUT_BATCHES, HELD_OUT_POSITIONS, random.Random(SEED), shares)
                self._held_out[f"{name} {kind}"] = drawn
        torch.manual_seed(SEED)
        config = HiggsAudioV2Config(**config_json(size, "float32"))
        self.model = HiggsAudioV2ForConditionalGeneration(config, use_text_head=True)
        torch.nn.Module.to(self.model, DEVICE)  # transformers' own is not typed
        assert self.model.text_lm_head is not None
        self._text_head = self.model.text_lm_head
        tables = self.model.audio_lm_head, self.model.model.embed_audio_tokens.embed_audio_tokens
        along_codes = [AlongCodes(table.weight, PlaceMarks(codebooks).points) for table in tables]
        groups = [
            {"params": [one for one in self.model.parameters() if one.dim() > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [one for one in self.model.parameters() if one.dim() == 1], "weight_decay": 0.0},
            {"params": [one.slopes for one in along_codes], "weight_decay": 0.0, "lr": LEARNING_RATE * SLOPES},
        ]
        optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98), fused=True)
        for one in along_codes:
            one.steer(optimizer)
        weights = torch.tensor([*(CODEBOOK_DECAY**codebook for codebook in range(MARKED)), *MARKS], device=DEVICE)
        self._weights = weights / weights.sum()
        self._tokenizer = trained_tokenizer()
        super().__init__(self.model, optimizer, file, steps, WARM_UP, final_share=0.03, max_gradient=1.0)
        self._drawn = batches.of_steps(self.step, lambda: self.progress)

    def loss(self) -> torch.Tensor:
        """Cross-entropy a code, the first codebooks weighing more, that of the guided heads, and that of naming, in the
        examples and of words that are practised."""
        batch, words = next(self._drawn)
        losses, _, guided, naming = self._measure(batch)
        return losses @ self._weights + GUIDANCE * guided.mean() + NAMING * (naming.sum() + self._practise(words))

    @torch.no_grad()
    def report(self) -> str:
        said = []
        for name, batches in self._held_out.items():
            measured = [self._measure(batch) for batch in batches]
            means = (torch.stack(parts).mean(dim=0).tolist() for parts in zip(*measured, strict=True))
            loss, accuracy, guided, naming = (" ".join(f"{value:.2f}" for value in values) for values in means)
            said.append(f"{name}: loss {loss}, accuracy {accuracy}, guided heads {guided}, naming {naming}")
        return "held out " + "; ".join(said)

    def _measure(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Cross-entropy and accuracy of each codebook, float32 [codebooks]; cross-entropy of each guided head, and of
        naming a letter's phones in the text and in the speech, float32 [2]."""
        is_audio = batch.ids.flatten() == self.model.config.audio_token_id
        audio = is_audio.nonzero()[:, 0]
        wanted = (batch.targets != IGNORED).any(dim=1).nonzero()[:, 0]
        letter, coming = batch.letter[wanted], batch.coming[wanted]
        sounds = batch.sounds.flatten(0, 1)
        in_text = (sounds != IGNORED).any(dim=1).nonzero()[:, 0]
        start = audio[wanted] // batch.ids.shape[1] * batch.ids.shape[1]
        written, spoken = _moved(sounds[in_text]), _moved(sounds[start + letter])
        places = Places(_moved((~is_audio).nonzero()[:, 0]), _moved(audio), _moved(audio[wanted]))
        ids, columns, targets, in_text = (
            _moved(one) for one in (batch.ids, batch.columns, batch.targets[wanted], in_text)
        )
        # Padding stands behind everything, where a causal model cannot see it: no attention mask is needed.
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=IN_BFLOAT16):
            output = forward(self.model, ids, columns, places, HEADS, (NAMED_IN_TEXT, NAMED_IN_SPEECH), self._layer_run)
            logits = self.model.audio_lm_head(rows_of(output.last, places.rows))
            named = [
                self._text_head(self.model.model.norm(rows_of(output.between[after], rows)))
                for after, rows in ((NAMED_IN_TEXT, in_text), (NAMED_IN_SPEECH, places.rows))
            ]
        logits = logits.view(-1, NUM_CODEBOOKS, CODEBOOK_SIZE).float()
        losses = functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
        ).view_as(targets)
        counted = targets != IGNORED
        hits = (logits.argmax(dim=-1) == targets) & counted
        guided = [
            _surprise(output.attention[head], wanted)
            for heads, wanted in ((ON_LETTER, _moved(letter)), (ON_COMING, _moved(coming)))
            for head in heads
        ]
        naming = [_naming(head, phones).mean() for head, phones in zip(named, (written, spoken), strict=True)]
        count = counted.sum(dim=0)
        return losses.sum(dim=0) / count, hits.sum(dim=0) / count, torch.stack(guided), torch.stack(naming)

    def _practise(self, words: Sequence[Word]) -> torch.Tensor:
        """The surprise of naming, on those of the words that are misread the most."""
        with torch.no_grad():
            surprise, word = self._read(words)
            misread = torch.zeros(len(words), device=DEVICE).index_add_(0, word, surprise)
            worst = misread.topk(min(PRACTISED, len(words))).indices.tolist()
        return self._read([words[place] for place in worst])[0].mean()

    def _read(self, words: Sequence[Word]) -> tuple[torch.Tensor, torch.Tensor]:
        """Surprise of naming the phones of each letter of the words, float32 [letters], and whose letter it is."""
        texts = Texts.of(words, self._tokenizer)
        rows = (texts.word.flatten() != IGNORED).nonzero()[:, 0]
        sounds, word = _moved(texts.sounds.flatten(0, 1)[rows]), _moved(texts.word.flatten()[rows])
        nothing = torch.zeros(0, dtype=torch.int64, device=DEVICE)
        places = Places(torch.arange(texts.ids.numel(), device=DEVICE), nothing, nothing)
        columns = nothing.view(0, NUM_CODEBOOKS)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=IN_BFLOAT16):
            between = forward(
                self.model, _moved(texts.ids), columns, places, (), (NAMED_IN_TEXT,), depth=NAMED_IN_TEXT
            ).between
            named = self._text_head(self.model.model.norm(rows_of(between[NAMED_IN_TEXT], _moved(rows))))
        return _naming(named, sounds).mean(dim=1), word

    def write(self, folder: Path) -> None:
        """The weights alone, as a checkpoint has them, all of them or no folder."""
        state, growing = self.model.state_dict(), folder.with_name(f"{folder.name}.growing")
        shutil.rmtree(growing, ignore_errors=True)
        growing.mkdir()
        specs = [TensorSpec(name, tuple(tensor.shape), DTYPE) for name, tensor in state.items()]
        write_weights(growing, specs, lambda spec: state[spec.name].cpu(), PIECE_BYTES)
        growing.rename(folder)


def _moved(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.pin_memory().to(DEVICE, non_blocking=True) if DEVICE.type == "cuda" else tensor


def _surprise(attention: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Of a head, float32 [rows, positions], by what it should attend to: mean of -log of its mass there."""
    return -attention.gather(1, wanted[:, None]).clamp(min=1e-9).log().mean()


def _naming(logits: torch.Tensor, phones: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of `phones` [rows, PHONES_A_LETTER], of each: the text head's first outputs stand for the first
    phone's places in PHONES, its next ones for the second's."""
    slots = logits[:, : PHONES_A_LETTER * len(PHONES)].float().view(-1, PHONES_A_LETTER, len(PHONES))
    return functional.cross_entropy(slots.transpose(1, 2), phones, reduction="none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the training's state")
    parser.add_argument("--readings", type=Path, help="folder of the readings, if not that of the work")
    parser.add_argument("--until", type=int, help="stop early, at this step")
    parser.add_argument("--minutes", type=float, help="end after so many minutes instead of the recipe's steps")
    parser.add_argument("--positions", type=int, default=POSITIONS[DEVICE.type], help="of a step's examples together")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw examples (0: between the steps)")
    parser.add_argument("--compile", action="store_true", help="the layers, for faster steps after two slow minutes")
    arguments = parser.parse_args()
    weights = arguments.work / WEIGHTS
    if weights.exists():
        print(f"{weights} is there already; without it, it is trained anew")
        return
    readings = arguments.readings or arguments.work
    if not (readings / WORDS_FILE).exists():
        parser.error(f"{readings / WORDS_FILE} is missing; demo.training.reading_set makes it")
    codebooks = read_codebooks(readings)
    held_out = {
        name: ExampleMaker(
            list(read_readings(readings / f"reading_held_out{ending}.npz")), codebooks, trained_tokenizer()
        )
        for name, ending in (("domain", ""), ("open", "_open"))
    }
    batches = Batches(readings / "reading_train", arguments.positions, arguments.workers)
    try:
        training = LanguageModelTraining(
            batches, held_out, codebooks, arguments.work / STATE, is_compiled=arguments.compile
        )
        training.run(arguments.until, arguments.minutes)
        if training.progress == 1:
            training.write(weights)
    finally:
        batches.close()


if __name__ == "__main__":
    main()
