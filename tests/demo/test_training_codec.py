"""The demo codec's recipe: its parts fit each other, and fit what transformers makes of the same input."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from convert.codec import context_frames
from convert.safetensors_writer import TensorSpec
from demo.codec import SAMPLE_RATE, write_codec_model
from demo.make_checkpoint import CODEC_FOLDER
from demo.training import restore
from demo.training.codec_parts import CodecParts
from demo.training.features import HOP, LONG_BANDS, SHORT_BANDS, SHORT_STEPS, LatentSpace, frame_features
from demo.training.flite import Phone
from demo.training.latent_set import Clip, CodeSpace, encode
from demo.training.loop import Training
from demo.training.phone_frames import PhoneFrames
from demo.training.publish import HEAD, SHARPER
from demo.training.quantizer import fit_codebooks, quantize
from demo.training.speech_set import Utterance
from demo.training.train_codec import Crops, DecoderTraining, load_parts
from demo.training.train_language_model import STATE
from demo.weights import write_weights

FRAMES = 60
TIE = 1e-5  # of a latent's length: float32's rounding of sums of 64 squares


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    """Gliding tones in noise, as different from frame to frame as speech is; float32."""
    noise = np.random.default_rng(3)
    seconds = np.arange(FRAMES * HOP) / SAMPLE_RATE
    return [
        (
            0.2
            * np.sin(2 * np.pi * (120 + 400 * noise.random() * seconds) * seconds)
            * noise.random(FRAMES).repeat(HOP)
            + 0.02 * noise.standard_normal(FRAMES * HOP)
        ).astype(np.float32)
        for _ in range(30)
    ]


@pytest.fixture(scope="module")
def space(speech: list[np.ndarray]) -> CodeSpace:
    latents = LatentSpace.fit(speech)
    points = torch.cat([latents.latents(clip) for clip in speech])
    return CodeSpace(latents, fit_codebooks(points, 8, 1024, torch.Generator().manual_seed(0))[0])


@pytest.fixture(scope="module")
def parts(space: CodeSpace) -> CodecParts:
    return CodecParts(space)


def test_latents_hold_what_a_frame_sounds_like(space, speech):
    assert space.latents.explained(speech) > 0.9
    latents = space.latents.latents(speech[0])
    assert latents.shape == (FRAMES, 64)
    # A frame's features end with its windows: they see a half window to each side and nothing else.
    changed = speech[0].copy()
    changed[30 * HOP :] = 0.0
    same = (frame_features(changed) == frame_features(speech[0])).all(dim=1)
    assert same[:29].all() and not same[31:].any()


def test_each_phone_has_frames_of_its_own_and_is_read_between_its_ends(space, speech):
    lengths = [0.08, 0.08, 0.01, 0.05, 0.07, 0.11]  # s
    phones = [Phone("aa", end) for end in itertools.accumulate(lengths)]
    frames = PhoneFrames.of(phones)
    assert frames.counts.tolist() == [2, 2, 1, 1, 2, 3]
    expected = [0.04, 0.04, 0.04, 0.04, 0.01, 0.05, 0.035, 0.035, 0.11 / 3, 0.11 / 3, 0.11 / 3]
    assert np.allclose(np.diff(frames.borders), np.array(expected) * SAMPLE_RATE)
    read, evenly = space.latents.latents(speech[0], frames.borders), space.latents.latents(speech[0])
    assert torch.equal(read[:4], evenly[:4])  # which are as long as the codec's
    # What is sought in the middle of a frame is found there, however long it is.
    tone = np.zeros(len(speech[0]), np.float32)
    middle = int(frames.borders[-2:].mean())
    tone[middle - 60 : middle + 60] = 0.5
    loudness = frame_features(tone, frames.borders)[:, LONG_BANDS:].reshape(-1, SHORT_STEPS, SHORT_BANDS).mean(dim=2)
    assert loudness.argmax() in (loudness.numel() - 3, loudness.numel() - 2)


def test_each_codebook_brings_the_sum_nearer(space, speech):
    points = torch.cat([space.latents.latents(clip) for clip in speech])
    # Of few codes, so that the last ones too have more to explain than rounding.
    codebooks, unexplained = fit_codebooks(points, 8, 64, torch.Generator().manual_seed(1))
    codes, sums = quantize(points, codebooks)
    left = (sums - points[:, None]).square().mean(dim=(0, 2))
    assert (left[1:] < left[:-1]).all()
    assert unexplained == pytest.approx(float(left[-1] / points.var(dim=0, unbiased=False).mean()), rel=1e-3)
    assert torch.equal(sums[:, -1], sum(book[codes[:, index]] for index, book in enumerate(codebooks)))


@torch.no_grad()
def test_transformers_codec_computes_what_was_trained(parts, space, speech):
    audio = torch.from_numpy(speech[0])[None]
    latents = parts.encode(audio)[0]
    codes, sums = quantize(latents, space.codebooks)
    theirs = parts.codec.encode(audio[None]).audio_codes[0].T
    left = torch.cat([latents[:, None], latents[:, None] - sums[:, :-1]], dim=1)  # what each codebook has to explain
    for frame in (codes != theirs).any(dim=1).nonzero()[:, 0].tolist():
        # Only a tie may fall to either side; what follows it in the frame then differs as well.
        first = int((codes[frame] != theirs[frame]).nonzero()[0])
        chosen = space.codebooks[first][torch.stack([codes[frame, first], theirs[frame, first]])]
        ours, other = (left[frame, first] - chosen).norm(dim=1)
        assert abs(ours - other) <= TIE * latents[frame].norm()
    decoded = parts.codec.decode(codes.T[None]).audio_values[0, 0]
    assert torch.allclose(decoded, parts.decode(sums[None, :, -1])[0], atol=1e-5)


@torch.no_grad()
def test_a_codec_to_start_from_is_adapted_to_the_new_space(parts, space, speech):
    """Its encoder computes the new latents as well as a linear map can, and its decoder speaks as it did."""
    turned = LatentSpace(space.latents.mean, space.latents.components.flip(1) * 1.5)
    points = torch.cat([turned.latents(clip) for clip in speech])
    there, back = torch.zeros(65, 64), torch.zeros(65, 64)
    there[:64], back[:64] = torch.eye(64).flip(0) / 1.5, torch.eye(64).flip(0) * 1.5
    there[-1], back[-1] = 0.25, -0.375  # of latents that are 0.25 more, turned back
    adapted = CodecParts(CodeSpace(turned, space.codebooks, there, back), parts.codec)
    latents = points[:40]
    as_before = parts.decode((latents @ there[:64] + 0.25)[None])
    # The projection is orthonormal in float16 only.
    assert torch.allclose(adapted.decode(latents[None]), as_before, atol=1e-2 * as_before.abs().max())
    expected = encode(parts.codec, speech[0]) @ back[:64] - 0.375
    assert torch.allclose(encode(adapted.codec, speech[0]), expected, atol=1e-2 * expected.abs().max())


def test_the_decoder_learns_to_speak_without_looking_far_ahead(space, speech, tmp_path):
    """Whatever far taps the state of an earlier training has, a step leaves none."""
    parts = CodecParts(space)
    assert context_frames(parts.codec) == 7
    first = parts.codec.acoustic_decoder.conv1
    before, outermost = first.weight.detach().clone(), [0, -1]
    with torch.no_grad():
        first.weight[..., outermost] = 0.1
    latents = [space.latents.latents(clip) for clip in speech[:12]]
    clips = [
        Clip(Utterance("one two", "", "slt", audio), points.numpy(), np.zeros((8, FRAMES), np.int64))
        for audio, points in zip(speech, latents, strict=False)
    ]
    training = DecoderTraining("decoder", parts, space, clips, clips, tmp_path / "decoder.pt")
    training.run(until=1)
    learned = torch.load(tmp_path / "decoder.pt", weights_only=True)["module"]["1.conv1.weight"]
    assert learned[..., outermost].eq(0).all() and not torch.equal(learned, before)
    assert context_frames(parts.codec) == 7


def test_a_published_voice_is_restored_to_be_trained_on(parts, space, tmp_path, monkeypatch):
    checkpoint, work = tmp_path / "checkpoint", tmp_path / "work"
    for folder in (checkpoint, checkpoint / CODEC_FOLDER, work):
        folder.mkdir()
    write_codec_model(checkpoint / CODEC_FOLDER, parts.codec, torch.float16)
    learned = {name: torch.randn(3, 5) for name in (HEAD, "other")}
    specs = [TensorSpec(name, (3, 5), torch.bfloat16) for name in learned]
    write_weights(checkpoint, specs, lambda spec: learned[spec.name], 1000)
    monkeypatch.setattr(restore, "code_space", lambda folder, start: (space, None))
    restore.restore(checkpoint, work)
    again = load_parts(work, space, "encoder", "decoder")
    for name in ("encoder", "decoder"):
        theirs = getattr(again, name).state_dict()
        for key, tensor in getattr(parts, name).state_dict().items():
            assert torch.equal(theirs[key], tensor.half().float()), key
    state = torch.load(work / STATE, weights_only=True)
    assert state["step"] == 0 and 0 < state["progress"] < 1
    assert torch.equal(state["module"][HEAD], (learned[HEAD].bfloat16() / SHARPER).float())
    assert torch.equal(state["module"]["other"], learned["other"].bfloat16().float())

    other = replace(space, codebooks=space.codebooks.flip(1))
    monkeypatch.setattr(restore, "code_space", lambda folder, start: (other, None))
    with pytest.raises(ValueError, match="fitted to other speech"):
        restore.restore(checkpoint, work)


def test_pieces_are_cut_from_everywhere_and_keep_speech_and_latents_together():
    """The clips count through frames; the short one is followed by silence, which sounds like its last frame."""
    counts, first = (2, 9), 0
    clips = []
    for count in counts:
        numbers = np.arange(first, first + count, dtype=np.float32)
        audio = numbers.repeat(HOP)[: count * HOP - 100]  # a clip's last frame is rarely whole
        utterance = Utterance("", "", "slt", audio)
        clips.append(Clip(utterance, numbers[:, None].repeat(64, axis=1), np.zeros((8, count), np.int64)))
        first += count
    latents, samples = Crops(clips, 4).draw(torch.Generator().manual_seed(0), 400)
    found = {tuple(piece[:, 0].tolist()): said.view(4, HOP) for piece, said in zip(latents, samples, strict=True)}
    assert set(found) == {(0, 1, 1, 1), *((n, n + 1, n + 2, n + 3) for n in range(2, 8))}
    for piece, said in found.items():
        begins = [0, 1, 0, 0] if piece == (0, 1, 1, 1) else list(piece)
        assert said[:, 0].tolist() == begins
        assert said[:, -1].tolist() == [0 if number in (1, 10) else number for number in begins]


class _Line(Training):
    """A line through noisy points, the noise drawn from the step's number."""

    def __init__(self, file: Path) -> None:
        torch.manual_seed(0)
        self.line = nn.Linear(3, 1)
        super().__init__(self.line, torch.optim.AdamW(self.line.parameters(), lr=1e-2), file, steps=40)

    def loss(self) -> torch.Tensor:
        points = torch.randn(16, 3, generator=torch.Generator().manual_seed(self.step))
        return (self.line(points) - points.sum(dim=1, keepdim=True)).square().mean()

    def report(self) -> str:
        return ""


def test_a_killed_training_goes_on_as_if_it_had_not_been(tmp_path):
    unbroken = _Line(tmp_path / "unbroken.pt")
    unbroken.run()
    _Line(tmp_path / "killed.pt").run(until=13)
    resumed = _Line(tmp_path / "killed.pt")
    assert resumed.step == 13
    resumed.run()
    for ours, theirs in zip(resumed.line.parameters(), unbroken.line.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_weights_alone_are_trained_on_with_a_fresh_optimizer(tmp_path):
    first = _Line(tmp_path / "first.pt")
    first.run()
    torch.save({"module": first.line.state_dict(), "step": 0, "progress": 0.6}, tmp_path / "restored.pt")
    restored = _Line(tmp_path / "restored.pt")
    assert (restored.step, restored.progress) == (0, 0.6)
    assert all(torch.equal(*pair) for pair in zip(restored.line.parameters(), first.line.parameters(), strict=True))
    restored.run(until=1)
    assert not torch.equal(restored.line.weight, first.line.weight)
