"""The exported decoder's layers, each alone: it takes what its outputs need, no position less and none more.

The whole audio in single precision cannot tell: what one outermost position adds to a sample is lost in rounding. So
all is computed in double precision here, where 1e-12 is far above what rounding does to values of about one.
"""

import copy
import itertools

import numpy as np
import pytest
import torch

from convert.codec import context_frames
from convert.codec_decoder import Decoder, TrimmedLayer
from runtime.formats.window import surrounded

FRAMES, COUNT = 24, 2  # of the stream and of a window: some reach over both ends of the stream, one over none
NAMES = ["conv1", "conv2"]
for block in range(5):
    NAMES += [f"block.{block}.{layer}" for layer in ("conv_t1", *(f"res_unit{unit}.conv1" for unit in (1, 2, 3)))]


@pytest.fixture(scope="module")
def network(codec):
    return Decoder(codec).eval().double()


@pytest.fixture(params=NAMES)
def layer(network, request):
    return network.acoustic_decoder.get_submodule(request.param)


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def stretch(values, extent, start, outside):
    """What has that extent, of the window that begins with frame `start`; `outside` where the stream has nothing."""
    beside = max(extent.before, extent.after)
    padded = torch.nn.functional.pad(values, (beside, beside), value=outside)
    first = beside + start * extent.rate - extent.before
    return padded[..., first : first + extent.before + COUNT * extent.rate + extent.after]


def window_of(layer, values, start):
    """The layer's outputs for that window, and which of the window's positions are inside the stream."""
    inside = stretch(torch.ones(1, 1, FRAMES * layer.takes.rate, dtype=torch.float64), layer.window, start, 0.0)
    return layer(stretch(values, layer.takes, start, 7.0), inside)


def test_every_layer_that_looks_beside_itself_is_one_of_them(network):
    trimmed = {name for name, one in network.acoustic_decoder.named_modules() if isinstance(one, TrimmedLayer)}
    assert trimmed == set(NAMES)


def test_each_layer_gives_what_the_next_one_takes(codec, network):
    layers = [one for one in network.acoustic_decoder.modules() if isinstance(one, TrimmedLayer)]
    assert max(layers[0].takes.before, layers[0].takes.after) == context_frames(codec)
    for one, following in itertools.pairwise(layers):
        assert one.gives == following.takes
    assert layers[-1].gives.before == layers[-1].gives.after == 0


@torch.no_grad()
def test_a_layer_computes_what_it_does_over_the_whole_stream(layer):
    """Also where the stream begins and ends in the window, whatever stands outside it."""
    values = noise(1, layer.layer.in_channels, FRAMES * layer.takes.rate)
    whole = layer.layer(values)
    assert whole.shape[-1] == FRAMES * layer.gives.rate
    inside = torch.ones(1, 1, whole.shape[-1])
    for start in (0, 1, 9, 11, 13, 21, 22):
        given = window_of(layer, values, start)
        expected, counts = (stretch(one, layer.gives, start, 0.0) for one in (whole, inside))
        assert given.shape == expected.shape
        torch.testing.assert_close(given * counts, expected, rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("end", [0, -1], ids=["first", "last"])
def test_a_layer_needs_the_outermost_position_that_it_takes(layer, end):
    values = noise(1, layer.layer.in_channels, layer.takes.before + COUNT * layer.takes.rate + layer.takes.after)
    inside = torch.ones(1, 1, layer.window.before + COUNT * layer.window.rate + layer.window.after)
    given = layer(values, inside)
    values[..., end] = 0
    change = (layer(values, inside) - given).abs().amax(dim=(0, 1))
    assert change[end] > 1e-6


@torch.no_grad()
def assert_windows_are_the_whole_decode(codec, network, frames):
    codes = np.random.default_rng(frames).integers(0, 1024, (8, frames)).astype(np.int32)
    latent = network.tables[codes + network.first_rows.numpy()].sum(0) + network.offset
    whole = copy.deepcopy(codec.acoustic_decoder).double()(latent.T[None])
    windows = [surrounded(codes, start, 1, context_frames(codec)) for start in range(frames)]
    audio = network(torch.from_numpy(np.stack(windows)))
    assert audio.shape == (frames, 960)
    torch.testing.assert_close(audio.flatten(), whole.flatten(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("frames", [1, 2, 9, 10, 11, 21, 30])
def test_windows_of_start_middle_and_end_in_one_batch_are_the_whole_decode(codec, network, frames):
    assert_windows_are_the_whole_decode(codec, network, frames)


FIRST, FURTHEST = "conv1", "block.0.res_unit3.conv1"
BOTH_ENDS, ONE_END, ALL = (0, 1, -2, -1), (-3, -2, -1), range(7)


@pytest.mark.parametrize(
    ("idle", "context"),
    [
        ({FIRST: (0, -1)}, 9),
        ({FIRST: BOTH_ENDS, FURTHEST: BOTH_ENDS}, 6),
        ({FIRST: ALL, FURTHEST: ALL}, 6),  # three taps stay
        ({FIRST: ONE_END, FURTHEST: ONE_END}, 10),
        ({FIRST: (1, -2)}, 10),
    ],
    ids=["outermost", "two layers", "all", "one end", "within"],
)
def test_taps_of_zero_at_both_ends_are_not_looked_at(codec, idle, context):
    near = copy.deepcopy(codec)
    for name, taps in idle.items():
        near.acoustic_decoder.get_submodule(name).weight.data[..., list(taps)] = 0
    assert context_frames(near) == context
    assert_windows_are_the_whole_decode(near, Decoder(near).eval().double(), 15)
