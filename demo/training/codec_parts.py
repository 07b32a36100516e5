"""transformers' codec around a given code space: its encoder learns to compute the latents, its decoder to speak them.

The semantic branch exists but is untrained: the columns of `fc` that would read it are zero. All quantizers share one
orthonormal projection between the codec's hidden space and the 64 dimensions of a code, so that eight codes add up to
one latent.
"""

from __future__ import annotations

import torch
from torch import nn

from convert.torchaudio_shim import Codec
from demo.codec import build_codec
from demo.sizes import TRAINED_CODEC
from demo.training.latent_set import CodeSpace
from demo.training.loop import SEED

# Taps that are left of seven where the decoder reaches furthest: it looks seven frames ahead instead of ten, so the
# first sound waits for three columns less.
TAPS = {"conv1": 5, "block.0.res_unit3.conv1": 3}


class CodecParts:
    """The codec, and its trainable halves."""

    def __init__(self, space: CodeSpace, start: Codec | None = None) -> None:
        """With the halves of the codec to `start` from, if one is given."""
        self.codec: Codec = build_codec(TRAINED_CODEC, SEED).requires_grad_(False)
        self._acoustic_size = TRAINED_CODEC.latent_size
        self._place(space.codebooks)
        if start is not None:
            self._adapt(start, space)
        self.look_near()
        self.encoder: nn.Module = self.codec.acoustic_encoder.requires_grad_(True)
        self.decoder = nn.ModuleList([self.codec.fc2, self.codec.acoustic_decoder]).requires_grad_(True)

    @torch.no_grad()
    def _place(self, codebooks: torch.Tensor) -> None:
        """Puts the codebooks in, and makes fc hand the acoustic half through."""
        codec, size = self.codec, self._acoustic_size
        generator = torch.Generator().manual_seed(SEED)
        basis = torch.linalg.qr(torch.randn(size, codebooks.shape[-1], generator=generator)).Q
        projection = torch.zeros(codec.config.hidden_size, codebooks.shape[-1])
        projection[:size] = basis.half().float()
        nn.init.zeros_(codec.fc.weight)
        nn.init.zeros_(codec.fc.bias)
        codec.fc.weight[:size, :size] = torch.eye(size)
        for quantizer, embedding in zip(codec.quantizer.quantizers, codebooks, strict=True):
            quantizer.project_in.weight.copy_(projection.T)
            quantizer.project_out.weight.copy_(projection)
            nn.init.zeros_(quantizer.project_in.bias)
            nn.init.zeros_(quantizer.project_out.bias)
            quantizer.codebook.embed.copy_(embedding)
            quantizer.codebook.embed_avg.copy_(embedding)

    @torch.no_grad()
    def _adapt(self, start: Codec, space: CodeSpace) -> None:
        """Takes over the halves of `start`; their outer layers also lead from one space to the other."""
        if space.to_start is None or space.from_start is None:
            raise ValueError("the code space was fitted without the codec to start from")
        for name in ("acoustic_encoder", "fc2", "acoustic_decoder"):
            getattr(self.codec, name).load_state_dict(getattr(start, name).state_dict())
        ours, theirs = self._projection, start.quantizer.quantizers[0].project_out.weight
        reads, constant = self.codec.fc2.weight @ theirs, space.to_start[-1]
        self.codec.fc2.bias += reads @ constant
        self.codec.fc2.weight.copy_(reads @ space.to_start[:-1].T @ ours.T)
        last, size = self.codec.acoustic_encoder.conv2, self._acoustic_size
        turn = ours[:size] @ space.from_start[:-1].T @ theirs[:size].T
        last.weight.copy_(torch.einsum("ij,jkl->ikl", turn, last.weight))
        last.bias.copy_(turn @ last.bias + ours[:size] @ space.from_start[-1])

    @torch.no_grad()
    def look_near(self) -> None:
        """Puts the decoder's outermost taps to zero; `convert` then leaves them out."""
        for name, taps in TAPS.items():
            weight = self.codec.acoustic_decoder.get_submodule(name).weight
            outer = (weight.shape[-1] - taps) // 2
            weight[..., :outer] = 0
            weight[..., -outer:] = 0

    @property
    def _projection(self) -> torch.Tensor:
        """float32 [hidden, size of a code], orthonormal columns."""
        return self.codec.quantizer.quantizers[0].project_out.weight

    def encode(self, audio: torch.Tensor) -> torch.Tensor:
        """Latents, float32 [batch, frames, size], of float32 [batch, samples] in whole frames."""
        acoustic = self.codec.acoustic_encoder(audio[:, None])  # [batch, acoustic size, frames]
        return acoustic.transpose(1, 2) @ self._projection[: self._acoustic_size]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """float32 [batch, samples] of float32 [batch, frames, size]."""
        acoustic = self.codec.fc2(latents @ self._projection.T)
        return self.codec.acoustic_decoder(acoustic.transpose(1, 2))[:, 0]
