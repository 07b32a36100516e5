"""`python -m demo.training.phone_speech`: learns how flite says phones, on average; can be interrupted.

The same phones never look the same twice in flite's speech: its frames cut the periods of a voice anywhere, and a
phone's length is a little more or less. Nothing in a text tells which, so a language model that learns such speech
guesses, in every code of every frame. Here two small nets are fitted to flite's speech: the mean length of a phone, and
the mean latents of its frames, given the phone before and the one behind. What they say is heard about as well, and it
follows from little text, wherever that stands in a sentence: that is what the language model learns to say.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from demo.codec import CODE_SIZE, SAMPLE_RATE
from demo.training.features import HOP, LatentSpace
from demo.training.flite import PAUSE, speak_timed
from demo.training.latent_set import CodeSpace
from demo.training.loop import DEVICE, SEED, Training
from demo.training.phone_frames import PhoneFrames
from demo.training.readings import PHONES, VOICES
from demo.training.speech_set import SpeechSet, Utterance
from demo.training.train_codec import SENTENCES

STATE = "phone_speech.pt"
STEPS, RATE = 4000, 1e-3
FRAMES_A_STEP, PHONES_A_STEP = 1024, 256
HELD_OUT_SENTENCES = 40
REACH = 1  # phones to each side that a phone depends on
NAMES = (*PHONES, PAUSE)
PHONE_SIZE, VOICE_SIZE, WIDTH, BLOCKS = 24, 16, 512, 3
WITHIN = 4  # numbers that tell the place of a frame in its phone
MOST_FRAMES = 8  # of a phone: from there on, another one makes no difference


def surrounded(names: Sequence[str]) -> torch.Tensor:
    """The phones of a sentence as the nets read them, each with those around it: int64 [phones, 2 * REACH + 1], places
    in NAMES."""
    numbers = np.pad([NAMES.index(name) for name in names], REACH)
    return torch.from_numpy(np.lib.stride_tricks.sliding_window_view(numbers, 2 * REACH + 1).copy())


def frames_within(counts: np.ndarray) -> torch.Tensor:
    """Where the frames of phones lie in them, float32 [frames, WITHIN], of their `counts` int64 [phones]."""
    count = np.repeat(counts, counts)
    number = np.arange(len(count)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = [np.minimum(number, MOST_FRAMES), np.minimum(count, MOST_FRAMES), (number + 0.5) / count, 1 / count]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


class PhoneSpeech(nn.Module):
    """How the voices say phones; in evaluation mode the same phones are always said alike."""

    def __init__(self) -> None:
        super().__init__()
        self.phone, self.voice = nn.Embedding(len(NAMES), PHONE_SIZE), nn.Embedding(len(VOICES), VOICE_SIZE)
        inputs = (2 * REACH + 1) * PHONE_SIZE + VOICE_SIZE
        self.length, self.frame = _Net(inputs, 1), _Net(inputs + WITHIN, CODE_SIZE)

    def lengths(self, phones: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        """Mean lengths in frames, float32 [phones], in the `voices` int64 [phones], places in VOICES."""
        return self.length(self._read(phones, voices))[:, 0]

    def frames(self, phones: torch.Tensor, voices: torch.Tensor, within: torch.Tensor) -> torch.Tensor:
        """Mean latents, float32 [frames, CODE_SIZE], of the phone in each row; `within` is float32 [frames, WITHIN]."""
        return self.frame(torch.cat([self._read(phones, voices), within], dim=1))

    @torch.no_grad()
    def speak(self, names: Sequence[str], voice: str) -> tuple[torch.Tensor, np.ndarray]:
        """Latents float32 [frames, CODE_SIZE] of a sentence's phones, and how many each phone has, int64 [phones]."""
        phones, voices = surrounded(names), torch.full((len(names),), VOICES.index(voice))
        counts = self.lengths(phones, voices).round().clamp(min=1).long()
        rows = torch.repeat_interleave(counts)
        return self.frames(phones[rows], voices[rows], frames_within(counts.numpy())), counts.numpy()

    def _read(self, phones: torch.Tensor, voices: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.phone(phones).flatten(1), self.voice(voices)], dim=1)


class _Net(nn.Module):
    """A perceptron with residual blocks."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inward, self.outward = nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, outputs)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
            for _ in range(BLOCKS)
        )

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = self.inward(states)
        for block in self.blocks:
            states = states + block(states)
        return self.outward(states)


@dataclass(frozen=True)
class SpokenPhones:
    """Flite's speech phone by phone: `phones`, their `voices` int64 and their `lengths` float32 in frames, [phones]
    each; of every frame `latents` float32 [frames, CODE_SIZE], its place `within` its phone, and `of_phone` int64."""

    phones: torch.Tensor
    voices: torch.Tensor
    lengths: torch.Tensor
    within: torch.Tensor
    of_phone: torch.Tensor
    latents: torch.Tensor

    @classmethod
    def of(cls, utterances: Sequence[Utterance], space: LatentSpace) -> SpokenPhones:
        def spoken(one: Utterance) -> tuple[torch.Tensor, int, torch.Tensor, PhoneFrames, torch.Tensor]:
            audio, phones = speak_timed(one.written, one.voice, SAMPLE_RATE)
            ends = torch.tensor([0.0, *(phone.end for phone in phones)])
            frames = PhoneFrames.of(phones)
            latents = space.latents(audio, frames.borders)
            lengths = ends.diff() * SAMPLE_RATE / HOP
            return surrounded([phone.name for phone in phones]), VOICES.index(one.voice), lengths, frames, latents

        with ThreadPoolExecutor() as pool:
            said = list(tqdm(pool.map(spoken, utterances), total=len(utterances), desc="phones", mininterval=20))
        phones, voices, lengths, frames, latents = zip(*said, strict=True)
        counts = np.concatenate([one.counts for one in frames])
        return cls(
            torch.cat(phones),
            torch.cat([torch.full((len(one),), voice) for voice, one in zip(voices, lengths, strict=True)]),
            torch.cat(lengths),
            frames_within(counts),
            torch.repeat_interleave(torch.from_numpy(counts)),
            torch.cat(latents),
        )


class PhoneSpeechTraining(Training):
    """Both nets, by least squares: what they then say is a mean."""

    def __init__(self, train: SpokenPhones, held_out: SpokenPhones, file: Path) -> None:
        torch.manual_seed(SEED)
        self.speech, self._train, self._held_out = PhoneSpeech().to(DEVICE), train, held_out
        super().__init__(self.speech, torch.optim.AdamW(self.speech.parameters(), lr=RATE), file, STEPS)

    def loss(self) -> torch.Tensor:
        """Mean square distance of the latents, in units of their variance, and of the lengths in frames."""
        generator = torch.Generator().manual_seed(SEED + self.step)
        frames = torch.randint(len(self._train.latents), (FRAMES_A_STEP,), generator=generator)
        phones = torch.randint(len(self._train.lengths), (PHONES_A_STEP,), generator=generator)
        return sum(self._distances(self._train, frames, phones), torch.zeros((), device=DEVICE))

    @torch.no_grad()
    def report(self) -> str:
        unseen = self._held_out
        latents, lengths = self._distances(unseen, torch.arange(len(unseen.latents)), torch.arange(len(unseen.lengths)))
        shares = latents / unseen.latents.var(dim=0).mean(), lengths / unseen.lengths.var()
        return "held out, unexplained of latents {:.3f}, of lengths {:.3f}".format(*map(float, shares))

    def _distances(self, spoken: SpokenPhones, frames: torch.Tensor, phones: torch.Tensor) -> tuple[torch.Tensor, ...]:
        def at(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return spoken.phones[rows].to(DEVICE), spoken.voices[rows].to(DEVICE)

        latents = self.speech.frames(*at(spoken.of_phone[frames]), spoken.within[frames].to(DEVICE))
        return (
            (latents - spoken.latents[frames].to(DEVICE)).square().mean(),
            (self.speech.lengths(*at(phones)) - spoken.lengths[phones].to(DEVICE)).square().mean(),
        )


def load(work: Path) -> PhoneSpeech:
    """What was learned in `work`, on the CPU."""
    speech = PhoneSpeech()
    speech.load_state_dict(torch.load(work / STATE, weights_only=True, map_location="cpu")["module"])
    return speech.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of speech, code space and state")
    parser.add_argument("--until", type=int, help="stop early, at this step")
    arguments = parser.parse_args()
    work = arguments.work
    taught, held_out = SpeechSet.taught(work, SENTENCES), SpeechSet.held_out_open(work)
    for speech in (taught, held_out):
        speech.make()
    space = CodeSpace.of(work, taught).latents
    train = SpokenPhones.of(list(taught.utterances()), space)
    unseen = SpokenPhones.of(list(held_out.utterances())[: len(VOICES) * HELD_OUT_SENTENCES], space)
    PhoneSpeechTraining(train, unseen, work / STATE).run(arguments.until)


if __name__ == "__main__":
    main()
