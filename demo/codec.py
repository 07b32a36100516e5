"""Random weights for the codec: the real topology, narrower, and scaled to carry sound.

Left as transformers initialises it, the codec is silent (its codebooks are zero) and gives every frame the same code.
Here codebooks are filled, each quantizer is centred on what reaches it for a fixed test sound, and the decoder's
last layer is scaled so that random codes sound at a standard deviation of 0.1.
"""

import math
from pathlib import Path

import torch
from torch import nn
from transformers import HiggsAudioV2TokenizerConfig

from convert.safetensors_writer import TensorSpec
from convert.torchaudio_shim import Codec, codec_class, install
from demo.boson_layout import boson_codec_config, boson_codec_state
from demo.sizes import CODES, CodecSize
from demo.tokenizer import write_feature_extractor, write_json
from demo.weights import write_weights

SAMPLE_RATE = 24000
STRIDES = (8, 5, 4, 2, 3)  # their product is the hop, 960 samples
CODE_SIZE = 64
AUDIO_STD = 0.1
# Of a residual unit's branch. Its dilated convolutions are what reaches furthest: smaller, and decoding a window with a
# frame too little of context would hardly show; larger, and float noise grows.
BRANCH_GAIN = 0.6
HUBERT_HEAD_SIZE = 64  # HuBERT base's, which Boson's configuration does not state
TEST_SOUND_SECONDS = 4
WEIGHTS_BYTES = 2_000_000_000  # more than any of these codecs has: one file


def write_codec(directory: Path, size: CodecSize, seed: int, layout: str) -> None:
    """Writes the codec's files into `directory`, weights in float32."""
    model = build_codec(size, seed)
    if layout == "boson":
        write_boson_codec(directory, model)
    else:
        write_codec_model(directory, model, torch.float32)


def write_boson_codec(directory: Path, model: Codec) -> None:
    """Writes `model` in Boson's layout, which has no feature extractor."""
    write_json(directory / "config.json", boson_codec_config(model.config))
    torch.save(boson_codec_state(model.state_dict()), directory / "model.pth")


def write_codec_model(directory: Path, model: Codec, dtype: torch.dtype) -> None:
    """Writes `model` in transformers' layout, weights stored in `dtype` and meant for computing in float32."""
    model.config.dtype = torch.float32
    model.config.save_pretrained(directory)
    state = model.state_dict()
    specs = [
        TensorSpec(name, tuple(tensor.shape), dtype if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in state.items()
    ]
    write_weights(directory, specs, lambda spec: state[spec.name], WEIGHTS_BYTES)
    write_feature_extractor(directory, hop_length=math.prod(STRIDES))


def codec_config(size: CodecSize) -> HiggsAudioV2TokenizerConfig:
    """transformers' configuration of the codec."""
    acoustic = {
        "model_type": "dac",
        "encoder_hidden_size": size.encoder_width,
        "downsampling_ratios": list(STRIDES),
        "decoder_hidden_size": size.decoder_width,
        "upsampling_ratios": list(STRIDES),
        "hidden_size": size.latent_size,
    }
    # Kernels and strides stay HuBERT base's: they give the 50 feature frames per second that fit the codec's 25.
    semantic = {
        "model_type": "hubert",
        "hidden_size": size.hubert_hidden,
        "num_hidden_layers": size.hubert_layers,
        "num_attention_heads": size.hubert_hidden // HUBERT_HEAD_SIZE,
        "intermediate_size": size.hubert_ffn,
        "conv_dim": [size.hubert_conv_width] * 7,
        "num_conv_pos_embedding_groups": size.hubert_pos_groups,
        "mask_time_prob": 0.0,
    }
    return HiggsAudioV2TokenizerConfig(
        architectures=["HiggsAudioV2TokenizerModel"],
        target_bandwidths=[0.5, 1, 1.5, 2],  # 2 kbit/s = 25 frames of 8 codes of 10 bits
        sample_rate=SAMPLE_RATE,
        codebook_size=CODES,
        codebook_dim=CODE_SIZE,
        acoustic_model_config=acoustic,
        semantic_model_config=semantic,
    )


@torch.no_grad()
def build_codec(size: CodecSize, seed: int) -> Codec:
    """A codec in evaluation mode with the weights described above."""
    install()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = codec_class()(codec_config(size)).eval()
        _scale_convolutions(model.acoustic_encoder)
        _scale_convolutions(model.acoustic_decoder)
        for linear in (model.fc, model.fc1, model.fc2):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
        _fit_quantizers(model)
        codes = torch.randint(CODES, (1, model.config.num_quantizers, 50))
        last = model.acoustic_decoder.conv2
        last.weight *= AUDIO_STD / model.decode(codes).audio_values.std()
    return model


def _scale_convolutions(module: nn.Module) -> None:
    """Gives every convolution an output of about its input's size, and the activations different frequencies."""
    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)):
            taps = layer.kernel_size[0] * layer.in_channels
            if isinstance(layer, nn.ConvTranspose1d):
                taps //= layer.stride[0]  # only every stride-th tap meets an input sample
            gain = BRANCH_GAIN if ".res_unit" in f".{name}" and name.endswith("conv2") else 1.0
            nn.init.normal_(layer.weight, std=gain * taps**-0.5)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.01)
        elif layer.__class__.__name__ == "Snake1d":
            nn.init.uniform_(layer.alpha, 0.5, 1.5)


def _fit_quantizers(model: Codec) -> None:
    """Fills the codebooks and centres each quantizer on what the ones before it leave of the test sound."""
    residual = _embeddings(model, _test_sound())
    for quantizer in model.quantizer.quantizers:
        project_in, project_out, codebook = quantizer.project_in, quantizer.project_out, quantizer.codebook
        centred = residual - residual.mean(dim=(0, 2), keepdim=True)
        nn.init.normal_(project_in.weight, std=float(centred.std()) ** -1 * project_in.in_features**-0.5)
        project_in.bias.copy_(-project_in.weight @ residual.mean(dim=(0, 2)))
        # Codes of one length: what is chosen is the direction, and no code is favoured for lying near the centre.
        directions = nn.functional.normalize(torch.randn(codebook.embed.shape), dim=1)
        codebook.embed.copy_(directions * math.sqrt(CODE_SIZE))
        codebook.embed_avg.copy_(codebook.embed)
        codebook.cluster_size.fill_(1.0)
        nn.init.normal_(project_out.weight, std=(CODE_SIZE * model.config.num_quantizers) ** -0.5)
        residual = residual - quantizer.decode(quantizer.encode(residual))


def _embeddings(model: Codec, audio: torch.Tensor) -> torch.Tensor:
    """What the quantizers see of `audio` [1, 1, samples]: float32 [1, hidden, frames]."""
    captured: list[torch.Tensor] = []
    handle = model.fc.register_forward_hook(lambda module, inputs, output: captured.append(output))
    model.encode(audio)
    handle.remove()
    return captured[0].transpose(1, 2)


def _test_sound() -> torch.Tensor:
    """A gliding tone with overtones, in syllables, over a little noise; float32 [1, 1, samples]."""
    seconds = torch.arange(TEST_SOUND_SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    phase = 2 * math.pi * (110 * seconds + 20 * torch.sin(2 * math.pi * 0.7 * seconds))
    voice = torch.stack([torch.sin(order * phase) / order for order in range(1, 9)]).sum(dim=0)
    syllables = torch.sin(2 * math.pi * 2.5 * seconds).clamp(min=0)
    return (0.2 * voice * syllables + 0.01 * torch.randn(seconds.shape))[None, None]
