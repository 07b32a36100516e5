"""The codec's decoder as it is exported: each layer computes what the next ones need, and no more.

A frame's samples depend on `context_frames` frames on each side of it. Most of that reach belongs to the first layers,
where a frame is one position; the last ones, which do most of the work, look at a few samples. So convolutions do not
pad here: a window comes with its context, loses some of it in every layer, and leaves with its own samples only.

Where the stream begins or ends within a window, a decode of the whole stream pads each layer with zeros. So what lies
outside the stream is set to zero in front of every layer that looks beside itself.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from convert.torchaudio_shim import Codec

_CONVOLUTIONS = (nn.Conv1d, nn.ConvTranspose1d)


@dataclass(frozen=True)
class Extent:
    """What a tensor holds of a window: `rate` positions for each of its own frames, and those `before` and `after`."""

    rate: int
    before: int
    after: int

    def cut(self, hidden: torch.Tensor, needed: "Extent") -> torch.Tensor:
        """Of `hidden` [..., length], which has this extent, what another of the same rate needs of it."""
        return hidden[..., self.before - needed.before : -(self.after - needed.after) or None]


class Decoder(nn.Module):
    """Codes to audio. The lookups, the projections after them and fc2 are linear: one table per codebook does all.

    No operation here depends on a tensor's length or batch: an export traced with one example holds for every other.
    """

    def __init__(self, model: Codec) -> None:
        super().__init__()
        tables, offset = [], model.fc2.bias.detach().double()
        acoustic = model.fc2.weight.detach().double()
        for quantizer in model.quantizer.quantizers:
            project = quantizer.project_out
            tables.append(quantizer.codebook.embed.double() @ (acoustic @ project.weight.detach().double()).T)
            offset = offset + acoustic @ project.bias.detach().double()
        self.tables = nn.Buffer(torch.cat(tables).float())  # [codebooks * codebook_size, latent]
        self.offset = nn.Buffer(offset.float())
        first_rows = torch.arange(len(tables), dtype=torch.int32) * model.config.codebook_size
        self.first_rows = nn.Buffer(first_rows[:, None])
        self.acoustic_decoder = _without_idle_taps(model)
        context = context_frames(model)
        self.window = Extent(1, context, context)
        for name, (takes, gives) in _extents(self.acoustic_decoder).items():
            layer = self.acoustic_decoder.get_submodule(name)
            self.acoustic_decoder.set_submodule(name, TrimmedLayer(layer, takes, gives, context))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """codes int32 [batch, codebooks, context + n + context], -1 where the stream has no frame
        -> audio float32 [batch, n * hop]
        """
        latent = functional.embedding(codes.clamp(min=0) + self.first_rows, self.tables).sum(dim=1) + self.offset
        inside = (codes[:, :1] >= 0).to(latent.dtype)
        layers = self.acoustic_decoder
        hidden = layers.conv1(self.window.cut(latent.transpose(1, 2), layers.conv1.takes), inside)
        for block in layers.block:
            hidden = block.conv_t1(block.snake1(hidden), inside)
            inside = _repeated(inside, block.conv_t1.layer.stride[0])
            for unit in (block.res_unit1, block.res_unit2, block.res_unit3):
                branch = unit.conv2(unit.snake2(unit.conv1(unit.snake1(hidden), inside)))
                hidden = unit.conv1.takes.cut(hidden, unit.conv1.gives) + branch
        audio: torch.Tensor = layers.tanh(layers.conv2(layers.snake1(hidden), inside))
        return audio[:, 0]


class TrimmedLayer(nn.Module):
    """A convolution, or one that raises the rate, from the positions that it `takes` to those that it `gives`."""

    def __init__(self, layer: nn.Conv1d | nn.ConvTranspose1d, takes: Extent, gives: Extent, context: int) -> None:
        super().__init__()
        self.layer, self.takes, self.gives = layer, takes, gives
        self.window = Extent(takes.rate, context * takes.rate, context * takes.rate)

    def forward(self, hidden: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """hidden float32 [batch, channels, length], whose extent is `takes`, to the same whose extent is `gives`.

        inside: float32 [batch, 1, positions of the whole window at the input's rate], 1 where the stream is, 0 outside.
        """
        layer = self.layer
        hidden = hidden * self.window.cut(inside, self.takes)
        if isinstance(layer, nn.Conv1d):
            return functional.conv1d(hidden, layer.weight, layer.bias, dilation=layer.dilation)
        stride, padding, reach = layer.stride[0], int(layer.padding[0]), _reach(layer)
        before, after = self.takes.before * stride + padding, (self.takes.after - 1) * stride + reach + 1 - padding
        raised = functional.conv_transpose1d(hidden, layer.weight, layer.bias, layer.stride, dilation=layer.dilation)
        return Extent(self.gives.rate, before, after).cut(raised, self.gives)


def context_frames(model: Codec) -> int:
    """How many frames before and after a frame its samples depend on, from the decoder's convolutions.

    Where the two sides differ, the larger counts.
    """
    takes, _ = next(iter(_extents(_without_idle_taps(model)).values()))
    return max(takes.before, takes.after)


@torch.no_grad()
def _without_idle_taps(model: Codec) -> Any:
    """A copy of the acoustic decoder whose convolutions look no further than their weights do: pairs of outermost taps
    that are all zero are gone, down to three taps. A model without weights (on the meta device) keeps them.
    """
    trimmed = copy.deepcopy(model.acoustic_decoder)
    for layer in trimmed.modules():
        if not isinstance(layer, nn.Conv1d) or layer.weight.is_meta:
            continue
        while layer.kernel_size[0] > 3 and not layer.weight[..., [0, -1]].any():
            layer.weight = nn.Parameter(layer.weight[..., 1:-1])
            layer.kernel_size = (layer.kernel_size[0] - 2,)
            layer.padding = (int(layer.padding[0]) - layer.dilation[0],)
    return trimmed


def _extents(acoustic_decoder: nn.Module) -> dict[str, tuple[Extent, Extent]]:
    """What each layer that looks beside itself takes and gives, in order: none gives more than the next one takes."""
    layers = {
        name: layer
        for name, layer in acoustic_decoder.named_modules()
        if isinstance(layer, _CONVOLUTIONS) and layer.kernel_size[0] > 1
    }
    gives = Extent(math.prod(layer.stride[0] for layer in layers.values()), 0, 0)
    extents = {}
    for name, layer in reversed(layers.items()):
        takes = _taken(layer, gives)
        extents[name] = takes, gives
        gives = takes
    return dict(reversed(extents.items()))


def _taken(layer: nn.Conv1d | nn.ConvTranspose1d, gives: Extent) -> Extent:
    """The inputs that a layer's outputs depend on."""
    padding, stride, reach = int(layer.padding[0]), layer.stride[0], _reach(layer)
    if isinstance(layer, nn.Conv1d):
        return Extent(gives.rate, gives.before + padding, gives.after + reach - padding)
    # Input i goes to the outputs from i * stride - padding on, `reach` further.
    first, last = math.ceil((padding - gives.before - reach) / stride), (gives.after - 1 + padding) // stride
    return Extent(gives.rate // stride, -first, last + 1)


def _reach(layer: nn.Conv1d | nn.ConvTranspose1d) -> int:
    return (layer.kernel_size[0] - 1) * int(layer.dilation[0])


def _repeated(inside: torch.Tensor, times: int) -> torch.Tensor:
    """Every position `times` times over, without asking how many there are (see `Decoder`)."""
    return functional.conv_transpose1d(inside, inside.new_ones(1, 1, times), stride=times)
