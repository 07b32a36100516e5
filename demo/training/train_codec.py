"""`python -m demo.training.train_codec decoder|encoder`: trains half of the demo codec; can be interrupted.

The halves meet in a fixed code space (features.py), so they learn at the same time, and the language model with them.
`polish` is the last step: the decoder learns on, half of the time from the codes that the finished encoder gives.
"""

from __future__ import annotations

import argparse
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from demo.codec import SAMPLE_RATE
from demo.listener import Listener, word_error_rate
from demo.training.codec_parts import CodecParts
from demo.training.features import HOP
from demo.training.latent_set import Clip, CodeSpace, clips
from demo.training.loop import SEED, Training
from demo.training.quantizer import quantize
from demo.training.spectral_loss import LogMelLoss
from demo.training.speech_set import CODEC_SET, HELD_OUT, SpeechSet

SENTENCES, HELD_OUT_COUNT = 1000, 100
STEPS = {"decoder": 3600, "encoder": 3000, "polish": 700}
RATE = {"decoder": 6e-4, "encoder": 1e-3, "polish": 2e-4}
DECODER_BATCH, DECODER_FRAMES = 6, 12
ENCODER_BATCH, ENCODER_FRAMES, ENCODER_MARGIN = 8, 28, 3  # frames at a crop's ends miss what lies beyond it
LISTEN_EVERY_NTH = 12  # of the held-out clips


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
        self.parts, self.codebooks = parts, space.codebooks
        self._train, self._held_out = train, held_out[::LISTEN_EVERY_NTH]
        self._listener = Listener()
        module = parts.encoder if part == "encoder" else parts.decoder
        super().__init__(module, torch.optim.AdamW(module.parameters(), lr=RATE[part]), file, STEPS[part])

    @abstractmethod
    def decoded(self, clip: Clip) -> np.ndarray:
        """A held-out clip as the codec would give it back."""

    def crops(self, generator: torch.Generator, count: int, frames: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """`count` pieces of `frames` frames: latents [frames, size] and samples [frames * HOP]."""
        pieces = []
        for index in torch.randint(len(self._train), (count,), generator=generator).tolist():
            clip = self._train[index]
            start = int(torch.randint(max(1, len(clip.latents) - frames + 1), (), generator=generator))
            latents = torch.from_numpy(clip.latents[start : start + frames])
            samples = torch.from_numpy(clip.utterance.audio[start * HOP : (start + frames) * HOP])
            missing = frames - len(latents)
            if missing:  # the end of speech is silence, whose latents are the last frame's
                latents = torch.cat([latents, latents[-1:].expand(missing, -1)])
            pieces.append((latents, functional.pad(samples, (0, frames * HOP - len(samples)))))
        return pieces

    def word_errors(self) -> float:
        """Word error rate of the held-out clips."""
        pairs = [
            (clip.utterance.sentence, self._listener.transcribe(self.decoded(clip), SAMPLE_RATE))
            for clip in self._held_out
        ]
        return word_error_rate(pairs)


class DecoderTraining(CodecTraining):
    """Speech from quantised latents: from all eight codes in half of the crops, from the first few in the others."""

    distance = LogMelLoss(SAMPLE_RATE)

    def loss(self) -> torch.Tensor:
        """Spectral distance of decoded crops from the speech."""
        generator = torch.Generator().manual_seed(SEED + self.step)
        latents, samples = zip(*self.crops(generator, DECODER_BATCH, DECODER_FRAMES), strict=True)
        sums = quantize(torch.stack(latents), self.codebooks)[1]  # [batch, frames, codebooks, size]
        kept = torch.randint(1, len(self.codebooks) + 1, (DECODER_BATCH,), generator=generator)
        kept[::2] = len(self.codebooks)
        heard = torch.stack([clip[:, number - 1] for clip, number in zip(sums, kept.tolist(), strict=True)])
        return self.distance(self.parts.decode(heard), torch.stack(samples))

    @torch.no_grad()
    def decoded(self, clip: Clip) -> np.ndarray:
        sums = quantize(torch.from_numpy(clip.latents), self.codebooks)[1]
        return self.parts.decode(sums[None, :, -1])[0].numpy()

    def report(self) -> str:
        return f"word errors of held-out speech {self.word_errors():.3f}"


class EncoderTraining(CodecTraining):
    """Latents from samples."""

    def loss(self) -> torch.Tensor:
        """Mean square distance of the latents, in units of their variance."""
        generator = torch.Generator().manual_seed(SEED + self.step)
        latents, samples = zip(*self.crops(generator, ENCODER_BATCH, ENCODER_FRAMES), strict=True)
        inner = slice(ENCODER_MARGIN, -ENCODER_MARGIN)
        found = self.parts.encode(torch.stack(samples))
        return (found[:, inner] - torch.stack(latents)[:, inner]).square().mean()

    @torch.no_grad()
    def decoded(self, clip: Clip) -> np.ndarray:
        sums = quantize(encoded(self.parts, clip)[0], self.codebooks)[1]
        return self.parts.decode(sums[None, :, -1])[0].numpy()

    @torch.no_grad()
    def report(self) -> str:
        pairs = [(encoded(self.parts, clip)[0], torch.from_numpy(clip.latents)) for clip in self._held_out]
        left = torch.stack([(found - wanted).square().mean() for found, wanted in pairs]).mean()
        equal = [(quantize(found, self.codebooks)[0].T.numpy() == clip.codes).mean(axis=1)
                 for (found, _), clip in zip(pairs, self._held_out, strict=True)]  # fmt: skip
        shares = " ".join(f"{share:.2f}" for share in np.mean(equal, axis=0))
        return f"held out {left:.3f}, equal codes {shares}, word errors {self.word_errors():.3f}"


@torch.no_grad()
def encoded(parts: CodecParts, clip: Clip) -> torch.Tensor:
    """The encoder's own latents of a clip, float32 [1, frames, size]."""
    audio = torch.from_numpy(clip.utterance.audio)
    return parts.encode(functional.pad(audio, (0, -len(audio) % HOP))[None])


def load_parts(work: Path, space: CodeSpace, *halves: str) -> CodecParts:
    """The codec with the trained `halves` ("encoder", "decoder", "polish") of `work`."""
    parts = CodecParts(space)
    for half in halves:
        state = torch.load(work / f"{half}.pt", weights_only=True)["module"]
        (parts.encoder if half == "encoder" else parts.decoder).load_state_dict(state)
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=STEPS)
    parser.add_argument("--work", type=Path, required=True, help="folder of speech, latents and checkpoints")
    parser.add_argument("--until", type=int, help="stop early, at this step")
    arguments = parser.parse_args()
    work, part = arguments.work, arguments.part
    train = SpeechSet(work / "speech_train", SENTENCES, *CODEC_SET, SAMPLE_RATE)
    held_out = SpeechSet(work / "speech_held_out", HELD_OUT_COUNT, *HELD_OUT, SAMPLE_RATE)
    train.make()
    held_out.make()
    space = CodeSpace.of(work, train)
    taught, unseen = (clips(one, space, work / f"latents_{one.directory.name}.npz") for one in (train, held_out))
    training: CodecTraining
    if part == "encoder":
        parts = load_parts(work, space, "decoder") if (work / "decoder.pt").exists() else CodecParts(space)
        training = EncoderTraining(part, parts, space, taught, unseen, work / "encoder.pt")
    elif part == "decoder":
        training = DecoderTraining(part, CodecParts(space), space, taught, unseen, work / "decoder.pt")
    else:
        parts = load_parts(work, space, "encoder", "decoder")
        # The language model goes on saying the latents that the encoder only approaches: both must sound right.
        taught += [replace(clip, latents=encoded(parts, clip)[0].numpy()) for clip in taught]
        unseen = [replace(clip, latents=encoded(parts, clip)[0].numpy()) for clip in unseen]
        training = DecoderTraining(part, parts, space, taught, unseen, work / "polish.pt")
    training.run(arguments.until)


if __name__ == "__main__":
    main()
