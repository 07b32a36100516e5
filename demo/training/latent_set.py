"""A speech set in latents and codes, computed once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from convert.torchaudio_shim import Codec
from demo.codec import SAMPLE_RATE
from demo.sizes import CODES, NUM_CODEBOOKS
from demo.training.features import HOP, LatentSpace
from demo.training.flite import speak_timed
from demo.training.loop import SEED
from demo.training.phone_frames import PhoneFrames
from demo.training.quantizer import fit_codebooks, quantize
from demo.training.speech_set import SpeechSet, Utterance
from runtime.formats.whole_files import whole_file

FIT_CLIPS = 900
SPACE_FILE = "latent_space.pt"


@dataclass(frozen=True)
class CodeSpace:
    """The latents and the codes that stand for them; `codebooks` float32 [codebooks, codes, size].

    `to_start` and `from_start` float32 [size + 1, size] lead to the latents of the codec that a recipe starts from, and
    back; the last row is constant.
    """

    latents: LatentSpace
    codebooks: torch.Tensor
    to_start: torch.Tensor | None = None
    from_start: torch.Tensor | None = None

    @classmethod
    def of(cls, directory: Path, speech: SpeechSet, start: Codec | None = None) -> CodeSpace:
        """The space in `directory`, fitted to `speech` if it is not there yet, and related to that of the codec to
        `start` from, if one is given."""
        file = directory / SPACE_FILE
        if not file.exists():
            _fit(speech, file, start)
        state = torch.load(file, weights_only=True)
        latents = LatentSpace(state["mean"], state["components"])
        return cls(latents, state["codebooks"], state.get("to_start"), state.get("from_start"))


@dataclass(frozen=True)
class Clip:
    """One utterance: `latents` float32 [frames, size] and its `codes` int64 [codebooks, frames]."""

    utterance: Utterance
    latents: np.ndarray
    codes: np.ndarray


def clips(speech: SpeechSet, space: CodeSpace, file: Path) -> list[Clip]:
    """Every utterance of `speech`; the latents are kept in `file`, and read from it if it is there."""
    utterances = list(speech.utterances())
    if not file.exists():
        parts = [
            space.latents.latents(utterance.audio)
            for utterance in tqdm(utterances, desc=file.stem, unit="clip", mininterval=20)
        ]
        codes = [quantize(part, space.codebooks)[0] for part in parts]
        with whole_file(file) as stream:
            np.savez(
                stream,
                latents=torch.cat(parts).numpy(),
                codes=torch.cat(codes).T.to(torch.int16).numpy(),
                frames=[len(part) for part in parts],
            )
    with np.load(file) as stored:
        latents, codes, ends = stored["latents"], stored["codes"].astype(np.int64), np.cumsum(stored["frames"])
    starts = [0, *ends[:-1]]
    return [
        Clip(utterance, latents[start:end], codes[:, start:end])
        for utterance, start, end in zip(utterances, starts, ends, strict=True)
    ]


def _fit(speech: SpeechSet, file: Path, start: Codec | None) -> None:
    generator = torch.Generator().manual_seed(SEED)
    spoken = list(speech.utterances())
    utterances = [spoken[index] for index in torch.randperm(len(spoken), generator=generator)[:FIT_CLIPS].tolist()]
    chosen = [utterance.audio for utterance in utterances]
    space = LatentSpace.fit(chosen)
    codebooks, left = fit_codebooks(_of_phones(utterances, space), NUM_CODEBOOKS, CODES, generator)
    print(
        f"latents hold {space.explained(chosen):.1%} of the features' variance, eight codes leave {left:.1%} of theirs"
    )
    state = {"mean": space.mean, "components": space.components, "codebooks": codebooks}
    if start is not None:
        latents = torch.cat([space.latents(clip) for clip in chosen])
        theirs = torch.cat([encode(start, clip) for clip in tqdm(chosen, desc="start", unit="clip", mininterval=20)])
        state |= {"to_start": _linear(latents, theirs), "from_start": _linear(theirs, latents)}
    with whole_file(file) as stream:
        torch.save(state, stream)


def _of_phones(utterances: Sequence[Utterance], space: LatentSpace) -> torch.Tensor:
    """The latents float32 [frames, size] of the utterances' phones, which is what the codes must tell apart."""
    spoken = (
        speak_timed(one.written, one.voice, SAMPLE_RATE)
        for one in tqdm(utterances, desc="phones", unit="clip", mininterval=20)
    )
    return torch.cat([space.latents(audio, PhoneFrames.of(phones).borders) for audio, phones in spoken])


def _linear(known: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The least squares' map [size + 1, size] between float32 [frames, size], its last row the constant."""
    with_constant = torch.cat([known, torch.ones(len(known), 1)], dim=1)
    return torch.linalg.lstsq(with_constant.double(), wanted.double()).solution.float()


@torch.no_grad()
def encode(codec: Codec, audio: np.ndarray) -> torch.Tensor:
    """The latents that a codec of this recipe computes, float32 [frames, size] on the CPU, of float32 [samples]."""
    projection = codec.quantizer.quantizers[0].project_out.weight
    framed = functional.pad(torch.from_numpy(audio), (0, -len(audio) % HOP)).to(projection.device)
    acoustic = codec.acoustic_encoder(framed[None, None])[0].T
    return (acoustic @ projection[: acoustic.shape[1]]).cpu()
