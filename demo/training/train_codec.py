"""`python -m demo.training.train_codec decoder|encoder`: trains half of the demo codec; can be interrupted.

The halves meet in a fixed code space (features.py), so they learn at the same time, and the language model with them.
`polish` is the last step: the decoder learns on, half of the time from the codes that the finished encoder gives.
"""

from __future__ import annotations

import argparse
import functools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from convert.codec import load_codec
from convert.torchaudio_shim import Codec
from demo.codec import SAMPLE_RATE
from demo.listener import Listener, word_error_rate
from demo.training.codec_parts import CodecParts
from demo.training.features import HOP
from demo.training.latent_set import Clip, CodeSpace, clips, encode
from demo.training.loop import DEVICE, SEED, Training
from demo.training.quantizer import quantize
from demo.training.spectral_loss import LogMelLoss
from demo.training.speech_set import SpeechSet

SENTENCES, HELD_OUT_COUNT = 1000, 100
STEPS = {"decoder": 3600, "encoder": 3000, "polish": 700}
RATE = {"decoder": 6e-4, "encoder": 1e-3, "polish": 2e-4}
CROPS = {"decoder": (6, 12), "encoder": (8, 28)}  # of a step, and the frames of each
ENCODER_MARGIN = 3  # frames at a crop's ends miss what lies beyond it
LISTEN_EVERY_NTH = 12  # of the held-out clips
ON_GPU = 6  # times as many crops a step


class Crops:
    """Pieces of `frames` frames, cut where the training runs: the clips lie there, one behind the other."""

    def __init__(self, clips: Sequence[Clip], frames: int) -> None:
        self._frames = torch.arange(frames)
        lengths = [max(frames, len(clip.latents)) for clip in clips]
        # The end of speech is silence, whose latents are the last frame's.
        latents = [
            np.pad(clip.latents, ((0, length - len(clip.latents)), (0, 0)), "edge")
            for clip, length in zip(clips, lengths, strict=True)
        ]
        samples = [
            np.pad(clip.utterance.audio, (0, length * HOP - len(clip.utterance.audio)))
            for clip, length in zip(clips, lengths, strict=True)
        ]
        self._latents = torch.from_numpy(np.concatenate(latents)).to(DEVICE)
        self._samples = torch.from_numpy(np.concatenate(samples)).view(-1, HOP).to(DEVICE)
        self._firsts = torch.tensor([0, *lengths[:-1]]).cumsum(0)
        self._places = torch.tensor(lengths) - frames + 1  # where a piece of each clip can begin

    def draw(self, generator: torch.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """`count` pieces: latents float32 [count, frames, size] and samples float32 [count, frames * HOP]."""
        clip = torch.randint(len(self._firsts), (count,), generator=generator)
        begins = self._firsts[clip] + (torch.rand(count, generator=generator) * self._places[clip]).long()
        frames = (begins[:, None] + self._frames).to(DEVICE)
        return self._latents[frames], self._samples[frames].flatten(1)


class CodecTraining(Training):
    """What both trainings share: crops of clips, and a listener."""

    def __init__(
        self,
        part: str,
        parts: CodecParts,
        space: CodeSpace,
        train: Sequence[Clip],
        held_out: Sequence[Clip],
        file: Path,
    ) -> None:
        self.parts, self.codebooks = parts, space.codebooks.to(DEVICE)
        count, frames = CROPS["encoder" if part == "encoder" else "decoder"]
        self.crops, self.count = Crops(train, frames), count * (ON_GPU if DEVICE.type == "cuda" else 1)
        self._held_out = held_out[::LISTEN_EVERY_NTH]
        self._listener = Listener(word for clip in held_out for word in clip.utterance.sentence.split())
        parts.codec.to(DEVICE)
        module = parts.encoder if part == "encoder" else parts.decoder
        super().__init__(module, torch.optim.AdamW(module.parameters(), lr=RATE[part]), file, STEPS[part])

    @abstractmethod
    def decoded(self, clip: Clip) -> np.ndarray:
        """A held-out clip as the codec would give it back."""

    def word_errors(self) -> str:
        """Word error rate of the held-out clips, and that of the speech itself."""
        return f"word errors {self._errors(self.decoded):.3f}, of the speech itself {self._errors_before_coding:.3f}"

    @functools.cached_property
    def _errors_before_coding(self) -> float:
        return self._errors(lambda clip: clip.utterance.audio)

    def _errors(self, audio: Callable[[Clip], np.ndarray]) -> float:
        return word_error_rate(
            (clip.utterance.sentence, self._listener.transcribe(audio(clip), SAMPLE_RATE)) for clip in self._held_out
        )


class DecoderTraining(CodecTraining):
    """Speech from quantised latents: from all eight codes in half of the crops, from the first few in the others."""

    distance = LogMelLoss(SAMPLE_RATE).to(DEVICE)

    def loss(self) -> torch.Tensor:
        """Spectral distance of decoded crops from the speech."""
        generator = torch.Generator().manual_seed(SEED + self.step)
        latents, samples = self.crops.draw(generator, self.count)
        sums = quantize(latents, self.codebooks)[1]  # [count, frames, codebooks, size]
        last = torch.randint(len(self.codebooks), (self.count,), generator=generator)
        last[::2] = len(self.codebooks) - 1
        heard = sums[torch.arange(self.count), :, last]
        return self.distance(self.parts.decode(heard), samples)

    def _train_step(self) -> torch.Tensor:
        loss = super()._train_step()
        self.parts.look_near()
        return loss

    @torch.no_grad()
    def decoded(self, clip: Clip) -> np.ndarray:
        sums = quantize(torch.from_numpy(clip.latents).to(DEVICE), self.codebooks)[1]
        return self.parts.decode(sums[None, :, -1])[0].cpu().numpy()

    def report(self) -> str:
        return f"held out {self.word_errors()}"


class EncoderTraining(CodecTraining):
    """Latents from samples."""

    def loss(self) -> torch.Tensor:
        """Mean square distance of the latents, in units of their variance."""
        generator = torch.Generator().manual_seed(SEED + self.step)
        latents, samples = self.crops.draw(generator, self.count)
        inner = slice(ENCODER_MARGIN, -ENCODER_MARGIN)
        return (self.parts.encode(samples) - latents)[:, inner].square().mean()

    @torch.no_grad()
    def decoded(self, clip: Clip) -> np.ndarray:
        sums = quantize(self.encoded(clip).to(DEVICE), self.codebooks)[1]
        return self.parts.decode(sums[None, :, -1])[0].cpu().numpy()

    @torch.no_grad()
    def report(self) -> str:
        pairs = [(self.encoded(clip), torch.from_numpy(clip.latents)) for clip in self._held_out]
        left = torch.stack([(found - wanted).square().mean() for found, wanted in pairs]).mean()
        equal = [(quantize(found.to(DEVICE), self.codebooks)[0].T.cpu().numpy() == clip.codes).mean(axis=1)
                 for (found, _), clip in zip(pairs, self._held_out, strict=True)]  # fmt: skip
        shares = " ".join(f"{share:.2f}" for share in np.mean(equal, axis=0))
        return f"held out {left:.3f}, equal codes {shares}, {self.word_errors()}"

    def encoded(self, clip: Clip) -> torch.Tensor:
        """The encoder's own latents of a clip, float32 [frames, size], on the CPU."""
        return encode(self.parts.codec, clip.utterance.audio)


def code_space(work: Path, start: Path | None) -> tuple[CodeSpace, Codec | None]:
    """The space of a recipe that runs in `work`, and the codec that it starts from, if one is given."""
    codec = load_codec(start) if start else None
    speech = SpeechSet.taught(work, SENTENCES)
    speech.make()
    return CodeSpace.of(work, speech, codec), codec


def load_parts(work: Path, space: CodeSpace, *halves: str, start: Codec | None = None) -> CodecParts:
    """The codec with the trained `halves` ("encoder", "decoder", "polish") of `work`, the others as in `start`."""
    parts = CodecParts(space, start)
    for half in halves:
        state = torch.load(work / f"{half}.pt", weights_only=True, map_location="cpu")["module"]
        (parts.encoder if half == "encoder" else parts.decoder).load_state_dict(state)
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=STEPS)
    parser.add_argument("--work", type=Path, required=True, help="folder of speech, latents and checkpoints")
    parser.add_argument("--start", type=Path, help="the codec to start from, of an earlier run of this recipe")
    parser.add_argument("--until", type=int, help="stop early, at this step")
    parser.add_argument("--minutes", type=float, help="end after so many minutes instead of the recipe's steps")
    arguments = parser.parse_args()
    work, part = arguments.work, arguments.part
    space, start = code_space(work, arguments.start)
    train, held_out = SpeechSet.taught(work, SENTENCES), SpeechSet.held_out_open(work)
    held_out.make()
    taught, unseen = (clips(one, space, work / f"latents_{one.directory.name}.npz") for one in (train, held_out))
    training: CodecTraining
    if part == "encoder":
        halves = ("decoder",) if (work / "decoder.pt").exists() else ()
        parts = load_parts(work, space, *halves, start=start)
        training = EncoderTraining(part, parts, space, taught, unseen, work / "encoder.pt")
    elif part == "decoder":
        training = DecoderTraining(part, CodecParts(space, start), space, taught, unseen, work / "decoder.pt")
    else:
        parts = load_parts(work, space, "encoder", "decoder")
        # The language model goes on saying the latents that the encoder only approaches: both must sound right.
        for clips_ in (taught, unseen):
            clips_ += [replace(clip, latents=encode(parts.codec, clip.utterance.audio).numpy()) for clip in clips_]
        training = DecoderTraining(part, parts, space, taught, unseen, work / "polish.pt")
    training.run(arguments.until, arguments.minutes)


if __name__ == "__main__":
    main()
