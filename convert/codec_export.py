"""Exports the codec as two ONNX graphs, each compared with transformers in ONNX Runtime as soon as it is written."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import onnxruntime
import torch
from torch import nn
from torch.nn import functional
from transformers.models.dac.modeling_dac import Snake1d

from convert.codec import CodecConfig
from convert.codec_decoder import Decoder
from convert.errors import ExportError
from convert.torchaudio_shim import Codec, resample
from runtime.formats.window import surrounded

OPSET = 18  # the newest that both ONNX Runtime and TensorRT's converter have long supported
PROTOBUF_LIMIT_BYTES = 2**31 - 1  # what a single ONNX file can hold
# In standard deviations of the audio, since a codec's loudness says nothing about the quality of its export. ONNX
# Runtime and torch sum convolutions in different orders, which gives 6e-4 at the real widths: at a typical deviation of
# 0.1, two steps of 16-bit PCM, far below hearing.
DECODER_TOLERANCE = 1e-3
# A code is an index: it is right or wrong. Clips are fixed, so that a tie cannot come and go between runs.
ENCODER_EQUAL_CODES = 1.0
DECODER_CHECKS = ((1, 1), (1, 2), (3, 14), (1, 70))  # (batch, frames)
DECODER_WINDOW = 5  # frames of the windows in which each check is decoded too: of its start, middle and end at once
ENCODER_CHECKS = ((1, 1), (2, 5), (1, 25), (1, 76))
HUBERT_PADDING = 160  # samples on each side, half of a HuBERT frame


@dataclass(frozen=True)
class DecoderError:
    """How far the exported decoder is from transformers'."""

    max_abs_error: float  # over all samples of all checks
    audio_std: float  # of transformers' audio in those checks
    relative: float  # the error in standard deviations of the audio, which DECODER_TOLERANCE is about


@dataclass(frozen=True)
class EncoderError:
    """How far the exported encoder is from transformers'."""

    equal_codes: float  # fraction, over all checks
    codes_compared: int


class Snake(nn.Module):
    """transformers' activation x + sin²(a x) / a without its reshapes, which would clutter the graph."""

    def __init__(self, snake: Snake1d) -> None:
        super().__init__()
        self.alpha = nn.Buffer(snake.alpha.detach())
        self.inverse = nn.Buffer((snake.alpha.detach() + 1e-9).reciprocal())

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden float32 [batch, channels, length], and so is what it returns"""
        wave = torch.sin(self.alpha * hidden)
        return hidden + self.inverse * (wave * wave)


class Encoder(nn.Module):
    """Audio to codes, for whole frames: transformers' `encode` without its padding of other lengths."""

    def __init__(self, model: Codec) -> None:
        super().__init__()
        config = model.config
        self.sample_rate, self.semantic_sample_rate = config.sample_rate, config.semantic_sample_rate
        self.semantic_stride = max(1, config.semantic_downsample_factor)
        self.semantic_model, self.encoder_semantic = model.semantic_model, model.encoder_semantic
        self.acoustic_encoder, self.fc, self.quantizer = model.acoustic_encoder, model.fc, model.quantizer

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """audio float32 [batch, frames * hop] -> codes int32 [batch, codebooks, frames]"""
        heard = resample(audio, self.sample_rate, self.semantic_sample_rate)
        heard = functional.pad(heard, (HUBERT_PADDING, HUBERT_PADDING))
        layers = self.semantic_model(heard, output_hidden_states=True).hidden_states
        features = torch.stack(layers).mean(dim=0)[:, :: self.semantic_stride]
        semantic = self.encoder_semantic(features.transpose(1, 2))
        embeddings = torch.cat([self.acoustic_encoder(audio[:, None]), semantic], dim=1)
        codes: torch.Tensor = self.quantizer.encode(self.fc(embeddings.transpose(1, 2)).transpose(1, 2))
        return codes.transpose(0, 1).to(torch.int32)


def export_decoder(model: Codec, path: Path) -> DecoderError:
    """Writes `path`: codes int32 [batch, codebooks, context + n + context], NO_FRAME where the stream has no frame ->
    audio float32 [batch, n * hop].

    Raises:
        ExportError: ONNX Runtime's audio is further than DECODER_TOLERANCE from transformers', or all of it is silent.
    """
    config = CodecConfig.from_model(model)
    program = _traced(Decoder(model).eval(), _random_codes(config, 2, 2 * config.context_frames + 5), "codes", "audio")
    # The graph holds for every length. To have torch follow lengths as symbols takes four times as long.
    graph = program.model.graph
    for node in graph:
        for value in node.outputs:
            value.shape = None
    graph.inputs[0].shape = onnx_ir.Shape(["batch", config.num_codebooks, "frames"])
    samples = f"{config.hop_length}*frames - {2 * config.context_frames * config.hop_length}"
    graph.outputs[0].shape = onnx_ir.Shape(["batch", samples])
    _write(program, path)
    return check_decoder(model, path)


def export_encoder(model: Codec, path: Path) -> EncoderError:
    """Writes `path`: audio float32 [batch, frames * hop] -> codes int32 [batch, codebooks, frames].

    Raises:
        ExportError: transformers pads whole frames of this codec, or a code differs from transformers'.
    """
    config = CodecConfig.from_model(model)
    _refuse_padding(model, config)
    frames = torch.export.Dim("frames")
    dimensions = {"audio": {0: torch.export.Dim("batch"), 1: config.hop_length * frames}}
    _write(_traced(Encoder(model).eval(), _test_audio(config, 2, 5), "audio", "codes", dimensions), path)
    return check_encoder(model, path)


@torch.no_grad()
def check_decoder(model: Codec, path: Path, checks: Sequence[tuple[int, int]] = DECODER_CHECKS) -> DecoderError:
    """Runs the exported decoder against `model` for each (batch, frames), whole and in windows.

    Raises ExportError above the tolerance.
    """
    session = _session(path)
    config = CodecConfig.from_model(model)
    errors, expected_audio = [], []
    for batch, frames in checks:
        codes = _random_codes(config, batch, frames)
        expected = model.decode(codes.long()).audio_values[:, 0].numpy()
        expected_audio.append(expected.ravel())
        for count in sorted({min(frames, DECODER_WINDOW), frames}):
            starts = sorted({0, (frames - count) // 2, frames - count})
            windows = [surrounded(codes.numpy(), start, count, config.context_frames) for start in starts]
            audio = session.run(None, {"codes": np.concatenate(windows)})[0]
            if audio.shape != (batch * len(starts), count * config.hop_length):
                raise ExportError(
                    f"{path}: {count} frames for {batch * len(starts)} gave audio {list(audio.shape)}; "
                    f"{[batch * len(starts), count * config.hop_length]} is needed."
                )
            for start, found in zip(starts, np.split(audio, len(starts)), strict=True):
                wanted = expected[:, start * config.hop_length : (start + count) * config.hop_length]
                errors.append(float(np.abs(found - wanted).max()))
    worst, std = max(errors), float(np.concatenate(expected_audio).std())
    if not std:
        raise ExportError(f"{path}: transformers' audio of random codes is silent, which would equal anything.")
    error = DecoderError(worst, std, worst / std)
    if not error.relative <= DECODER_TOLERANCE:  # so that NaN fails too
        raise ExportError(
            f"{path}: its audio is {error.relative:.1e} standard deviations away from transformers'; "
            f"{DECODER_TOLERANCE:.0e} are allowed."
        )
    return error


@torch.no_grad()
def check_encoder(model: Codec, path: Path, checks: Sequence[tuple[int, int]] = ENCODER_CHECKS) -> EncoderError:
    """Runs the exported encoder against `model` for each (batch, frames); raises ExportError above the tolerance."""
    session = _session(path)
    config = CodecConfig.from_model(model)
    equal, compared = 0, 0
    for batch, frames in checks:
        audio = _test_audio(config, batch, frames)
        expected = model.encode(audio[:, None]).audio_codes.numpy()
        codes = session.run(None, {"audio": audio.numpy()})[0]
        if codes.shape != expected.shape:
            raise ExportError(f"{path}: codes {list(codes.shape)} where transformers has {list(expected.shape)}.")
        equal += int((codes == expected).sum())
        compared += expected.size
    error = EncoderError(equal / compared, compared)
    if error.equal_codes < ENCODER_EQUAL_CODES:
        raise ExportError(f"{path}: {compared - equal} of {compared} codes differ from transformers'; none may.")
    return error


def _traced(
    module: nn.Module,
    example: torch.Tensor,
    input_name: str,
    output_name: str,
    dimensions: dict[str, Any] | None = None,
) -> torch.onnx.ONNXProgram:
    """The module's graph for `example`, and for every other shape that `dimensions` allows."""
    program = torch.onnx.export(
        _plain_copy(module),
        (example,),
        input_names=[input_name],
        output_names=[output_name],
        dynamic_shapes=dimensions,
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None, "torch's exporter returns a program"
    return program


def _write(program: torch.onnx.ONNXProgram, path: Path) -> None:
    weights = (value.const_value for value in program.model.graph.initializers.values())
    num_bytes = sum(weight.nbytes for weight in weights if weight is not None)
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(path, external_data=num_bytes > PROTOBUF_LIMIT_BYTES)


def _plain_copy(module: nn.Module) -> nn.Module:
    """A copy with plain activations; `module` itself stays as it is, the reference for the checks."""
    module = copy.deepcopy(module)
    for name, layer in list(module.named_modules()):
        if isinstance(layer, Snake1d):
            module.set_submodule(name, Snake(layer))
    return module


def _refuse_padding(model: Codec, config: CodecConfig) -> None:
    # transformers pads the acoustic side when the two sides' frame counts differ. For whole frames they must not:
    # the graph decides it once for all lengths.
    for frames in range(1, 101):
        samples = frames * config.hop_length
        acoustic = model._get_conv1d_output_lengths(samples, model.acoustic_encoder)
        heard = samples * model.config.semantic_sample_rate // config.sample_rate + 2 * HUBERT_PADDING
        features = int(model.semantic_model._get_feat_extract_output_lengths(heard))
        semantic = -(-features // max(1, model.config.semantic_downsample_factor))
        if not acoustic == semantic == frames:
            raise ExportError(
                f"The codec turns {frames} whole frames into {acoustic} acoustic and {semantic} semantic ones; "
                "the encoder can only be exported if all three are the same."
            )


def _session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def _random_codes(config: CodecConfig, batch: int, frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(frames)
    shape = (batch, config.num_codebooks, frames)
    return torch.randint(config.codebook_size, shape, generator=generator, dtype=torch.int32)


def _test_audio(config: CodecConfig, batch: int, frames: int) -> torch.Tensor:
    """A different rising tone over noise for each row: float32 [batch, frames * hop]."""
    samples = frames * config.hop_length
    seconds = torch.arange(samples) / config.sample_rate
    pitches = 120 * torch.arange(1, batch + 1)[:, None]
    noise = torch.randn(batch, samples, generator=torch.Generator().manual_seed(frames))
    return 0.2 * torch.sin(2 * torch.pi * pitches * seconds * (1 + 0.2 * seconds)) + 0.03 * noise
