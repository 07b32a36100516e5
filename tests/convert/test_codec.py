"""Loading the codec and exporting it to ONNX; the exports run in ONNX Runtime against transformers."""

import itertools
import json
import math
import shutil

import numpy as np
import onnxruntime
import pytest
import soundfile
import soxr
import torch
from safetensors.torch import load_file, save_file
from transformers import HiggsAudioV2TokenizerConfig

from convert import codec_export
from convert.codec import CodecConfig, context_frames, load_codec
from convert.codec_export import check_decoder, check_encoder, export_encoder
from convert.codec_layout import _bandwidths, transformers_state
from convert.codec_silence import silence_codes
from convert.errors import ExportError, ModelLoadingError
from convert.torchaudio_shim import resample
from demo.make_checkpoint import CODEC_FOLDER
from runtime.formats.window import surrounded
from runtime.voices.reference import ReferenceRules
from tests.conftest import ROOT

REAL_TOPOLOGY = CodecConfig(sample_rate=24000, hop_length=960, num_codebooks=8, codebook_size=1024, context_frames=10)


@pytest.fixture
def damaged(transformers_checkpoint, tmp_path):
    return shutil.copytree(transformers_checkpoint / CODEC_FOLDER, tmp_path / "codec")


def random_codes(batch, frames, seed=0):
    return torch.randint(1024, (batch, 8, frames), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def decode(codec, codes):
    return codec.decode(codes).audio_values[:, 0]


def decode_windowed(codec, codes, start, end, context):
    """Audio of the frames start..end, decoded with `context` frames on each side."""
    left = min(context, start)
    window = codes[:, :, start - left : end + context]
    return decode(codec, window)[:, left * 960 : (left + end - start) * 960]


def test_config_is_the_real_codecs(codec):
    assert CodecConfig.from_model(codec) == REAL_TOPOLOGY


def test_context_frames_are_enough_and_one_less_is_not(codec):
    codes = random_codes(1, 60)
    whole = decode(codec, codes)[:, 25 * 960 : 35 * 960]
    context = context_frames(codec)
    enough = decode_windowed(codec, codes, 25, 35, context)
    one_less = decode_windowed(codec, codes, 25, 35, context - 1)
    # On audio of std 0.1: float noise of 2e-6 against a break of 5e-3 at the window's edges.
    assert (enough - whole).abs().max() < 2e-5
    assert (one_less - whole).abs().max() > 1e-3


def test_boson_layout_gives_the_same_codec(codec, boson_checkpoint):
    boson = load_codec(boson_checkpoint / CODEC_FOLDER)
    assert CodecConfig.from_model(boson) == REAL_TOPOLOGY
    codes = random_codes(1, 9)
    assert torch.equal(decode(boson, codes), decode(codec, codes))
    audio = torch.randn(1, 1, 9600, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.no_grad():
        assert torch.equal(boson.encode(audio).audio_codes, codec.encode(audio).audio_codes)


def test_hubert_norm_under_its_older_name_is_kept():
    conv = "semantic_model.encoder.pos_conv_embed.conv"
    state = transformers_state({f"{conv}.weight_g": torch.ones(1, 1, 3), f"{conv}.weight_v": torch.zeros(4, 2, 3)})
    assert state.keys() == {f"{conv}.parametrizations.weight.original{part}" for part in (0, 1)}


def test_weight_norm_is_multiplied_out():
    direction = torch.tensor([[[3.0, 4.0]], [[0.0, 2.0]]])
    state = transformers_state(
        {"decoder_2.model.0.weight_g": torch.tensor([[[10.0]], [[1.0]]]), "decoder_2.model.0.weight_v": direction}
    )
    assert torch.allclose(state["acoustic_decoder.conv1.weight"], torch.tensor([[[6.0, 8.0]], [[0.0, 1.0]]]))


def test_random_codes_sound_and_speech_like_sound_gives_varied_codes(codec):
    audio = decode(codec, random_codes(1, 100))
    assert 0.05 < audio.std() < 0.2
    seconds = torch.arange(48000) / 24000
    sound = 0.3 * torch.sin(2 * math.pi * 200 * seconds * (1 + 0.3 * seconds)) * (seconds % 0.3 > 0.1)
    with torch.no_grad():
        codes = codec.encode(sound[None, None]).audio_codes[0]
    assert all(codebook.unique().numel() > 10 for codebook in codes)


def test_exported_decoder_equals_transformers(decoder):
    _, error = decoder
    assert error.max_abs_error < 2e-5  # narrow nets add up less noise than the tolerance for the real widths allows
    assert 0.05 < error.audio_std < 0.2
    assert error.relative == error.max_abs_error / error.audio_std


def test_what_is_encoded_of_a_clip_of_any_length_has_the_codes_transformers_gives_it(codec, encoder, figure):
    limits = ReferenceRules(24000, 960, 0.5, 30.0, 1e-3)
    session = onnxruntime.InferenceSession(encoder[0])
    speech = [soundfile.read(ROOT / "voices" / f"{name}.wav", dtype="float32")[0] for name in ("awb", "rms", "slt")]
    rests = range(0, 960, 40)
    shares: dict[str, list[float]] = {"as given": [], "cut": []}
    for number, rest in enumerate(rests):
        clip = speech[number % 3][9600:][: 13 * 960 + rest]
        cut = limits.checked(clip)
        codes = session.run(None, {"audio": cut[None]})[0][0]
        for name, samples in (("as given", clip), ("cut", cut)):
            with torch.no_grad():
                expected = codec.encode(torch.from_numpy(samples)[None, None]).audio_codes[0].numpy()
            frames = min(codes.shape[1], expected.shape[1])
            equal = (codes[:, :frames] == expected[:, :frames]).sum()
            shares[name].append(equal / max(codes.size, expected.size))
    for name, found in shares.items():
        figure(
            f"clips of all rests modulo 960, codes equal to transformers' of the clip {name}", f"{np.mean(found):.1%}"
        )
    row = " ".join(f"{rest}:{share:.0%}" for rest, share in zip(rests, shares["as given"], strict=True))
    figure("the same by rest, of the clip as given", row)
    assert min(shares["cut"]) == 1.0


def test_exported_decoder_takes_any_length_and_batch(codec, decoder):
    path, _ = decoder
    error = check_decoder(codec, path, checks=((1, 1), (5, 1), (2, 33), (4, 10)))
    assert error.max_abs_error < 2e-5


def test_rows_of_a_batch_do_not_touch_each_other(decoder):
    session = onnxruntime.InferenceSession(decoder[0])
    codes = surrounded(random_codes(3, 12).numpy().astype(np.int32), 0, 12, REAL_TOPOLOGY.context_frames)
    together = session.run(None, {"codes": codes})[0]
    for row in range(3):
        alone = session.run(None, {"codes": codes[row : row + 1]})[0]
        np.testing.assert_allclose(together[row : row + 1], alone, atol=2e-5)


def test_decoder_of_another_codec_is_refused(codec, decoder):
    path, _ = decoder
    weight = codec.acoustic_decoder.conv2.weight.data
    weight.mul_(1.01)
    try:
        with pytest.raises(ExportError, match="away from transformers"):
            check_decoder(codec, path)
    finally:
        weight.div_(1.01)


def test_exported_encoder_equals_transformers(encoder):
    _, error = encoder
    assert error.equal_codes == 1.0
    assert error.codes_compared > 800


def test_exported_encoder_takes_any_number_of_frames(codec, encoder):
    check_encoder(codec, encoder[0], checks=((1, 2), (3, 3), (1, 40), (2, 125)))


def test_silence_codes_are_those_the_exported_encoder_gives_silence(codec, encoder):
    config, path = CodecConfig.from_model(codec), encoder[0]
    codes = silence_codes(config, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"audio": np.zeros((1, 50 * config.hop_length), np.float32)})[0][0]
    assert len(codes) == config.num_codebooks
    assert all(set(row.tolist()) <= set(own) for row, own in zip(found, codes, strict=True))


def test_encoder_of_another_codec_is_refused(codec, encoder):
    projection = codec.quantizer.quantizers[7].project_in.bias.data
    projection.add_(0.5)
    try:
        with pytest.raises(ExportError, match="codes differ from transformers'"):
            check_encoder(codec, encoder[0])
    finally:
        projection.sub_(0.5)


def test_codec_that_pads_whole_frames_is_refused(codec, tmp_path, monkeypatch):
    monkeypatch.setattr(codec_export, "HUBERT_PADDING", 1000)
    with pytest.raises(ExportError, match="can only be exported if all three are the same"):
        export_encoder(codec, tmp_path / "encoder.onnx")


def test_exports_are_single_files(exported):
    assert {file.name for file in exported[0].iterdir()} == {"decoder.onnx", "encoder.onnx"}


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_missing_file_is_named(damaged, missing):
    (damaged / missing).unlink()
    with pytest.raises(ModelLoadingError, match=missing):
        load_codec(damaged)


def test_missing_boson_weights_are_named(boson_checkpoint, tmp_path):
    folder = shutil.copytree(boson_checkpoint / CODEC_FOLDER, tmp_path / "codec")
    (folder / "model.pth").unlink()
    with pytest.raises(ModelLoadingError, match=r"model\.pth is missing"):
        load_codec(folder)


def test_pickle_that_would_run_code_is_refused(boson_checkpoint, tmp_path):
    folder = shutil.copytree(boson_checkpoint / CODEC_FOLDER, tmp_path / "codec")
    torch.save({"weights": print}, folder / "model.pth")
    with pytest.raises(ModelLoadingError, match="holds more than weights"):
        load_codec(folder)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"downsample_mode": "avg"}, "downsample_mode is 'avg'"),
        ({"n_q": 12}, "n_q is 12 quantizers where the weights hold 8"),
        ({"n_q": 7}, "n_q is 7 quantizers where the weights hold 8"),
        ({"n_q": 0}, "n_q is 0 where 1 or more"),
        ({"n_q": -8}, "n_q is -8 where 1 or more"),
        ({"n_q": 8.0}, "n_q is 8.0 where an integer"),
        ({"n_q": "8"}, "n_q is '8' where an integer"),
        ({"ratios": None}, "ratios is None where a list of integers"),
        ({"ratios": [8, 5, 0]}, "ratios is .* where a list of integers above 0"),
        ({"ratios": "85423"}, "ratios is '85423' where a list of integers"),
        ({"bins": 2}, "bins is 2 where 1024"),
        ({"D": 31}, "has shape .* is needed"),
        ({"sample_rate": 0}, "sample_rate is 0 where 1 or more"),
        ({"semantic_techer": "wavlm_base_plus"}, "semantic_techer is 'wavlm_base_plus'"),
    ],
)
def test_boson_codec_of_another_kind_is_refused(boson_checkpoint, tmp_path, change, complaint):
    folder = shutil.copytree(boson_checkpoint / CODEC_FOLDER, tmp_path / "codec")
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ModelLoadingError, match=complaint):
        load_codec(folder)


@pytest.mark.parametrize(
    "bandwidths", [[0.5, 1, 1.5, 2, 4], [0.5, 1, 1.5, 2], [0.5, 1], [4, 0.5, 2, 1], [6], [], None, "absent", [0], ["x"]]
)
def test_n_q_counts_whatever_bandwidths_boson_s_codec_lists(boson_checkpoint, codec, tmp_path, bandwidths):
    copied = shutil.copytree(boson_checkpoint / CODEC_FOLDER, tmp_path / "codec")
    content = json.loads((copied / "config.json").read_text()) | {"target_bandwidths": bandwidths}
    if bandwidths == "absent":
        del content["target_bandwidths"]
    (copied / "config.json").write_text(json.dumps(content))
    boson = load_codec(copied)
    assert CodecConfig.from_model(boson) == REAL_TOPOLOGY
    assert torch.equal(decode(boson, random_codes(1, 3)), decode(codec, random_codes(1, 3)))


@pytest.mark.parametrize("quantizers", [1, 2, 3, 5, 7])
def test_a_codec_of_fewer_quantizers_uses_all_of_its_own(boson_checkpoint, codec, tmp_path, quantizers):
    copied = shutil.copytree(boson_checkpoint / CODEC_FOLDER, tmp_path / "codec")
    state = torch.load(copied / "model.pth", weights_only=True)
    gone = tuple(f"quantizer.vq.layers.{index}." for index in range(quantizers, 8))
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith(gone)}, copied / "model.pth")
    with pytest.raises(ModelLoadingError, match=f"n_q is 8 quantizers where the weights hold {quantizers}"):
        load_codec(copied)
    content = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(content | {"n_q": quantizers}))
    assert load_codec(copied).config.num_quantizers == quantizers


def test_transformers_counts_every_number_of_quantizers_at_every_rate():
    for quantizers, size, rate in itertools.product((1, 8, 12, 33), (8, 1000, 1024), (25, 335)):
        config = HiggsAudioV2TokenizerConfig(
            target_bandwidths=_bandwidths(quantizers, size, rate), codebook_size=size, sample_rate=rate * 960,
            acoustic_model_config={"model_type": "dac", "downsampling_ratios": [8, 5, 4, 2, 3]},
        )  # fmt: skip
        assert config.num_quantizers == quantizers


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"target_bandwidths": [0.5, 1, 1.5, 2, 4]}, "ask for 16 quantizers where the weights hold 8"),
        ({"target_bandwidths": [0.5, 1]}, "ask for 4 quantizers where the weights hold 8"),
        ({"target_bandwidths": []}, "describes no codec that can be made"),
        ({"target_bandwidths": 2}, "describes no codec that can be made"),
        ({"codebook_size": 0}, "describes no codec that can be made"),
        ({"codebook_dim": -64}, "describes no codec that can be made"),
        ({"sample_rate": "24000"}, "describes no codec that can be made"),
        ({"kernel_size": 5}, "has shape .* is needed"),
    ],
)
def test_transformers_codec_of_another_kind_is_refused(damaged, change, complaint):
    file = damaged / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ModelLoadingError, match=complaint) as refusal:
        load_codec(damaged)
    assert "\n" not in str(refusal.value)


def test_missing_codec_tensor_is_named(damaged):
    weights = load_file(damaged / "model.safetensors")
    del weights["fc2.bias"]
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadingError, match=r"fc2\.bias is missing"):
        load_codec(damaged)


def test_empty_codebook_is_refused(damaged):
    weights = load_file(damaged / "model.safetensors")
    weights["quantizer.quantizers.3.codebook.embed"].zero_()
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadingError, match=r"Codebook 3 .* all zeros"):
        load_codec(damaged)


def test_folder_of_something_else_is_refused(damaged):
    (damaged / "config.json").write_text('{"model_type": "dac"}')
    with pytest.raises(ModelLoadingError, match="found dac"):
        load_codec(damaged)


@pytest.mark.parametrize("rates", [(24000, 16000), (16000, 24000), (44100, 24000)])
def test_resampled_tone_is_the_same_tone(rates):
    old, new = rates
    tone = np.sin(2 * np.pi * 440 * np.arange(old) / old).astype(np.float32)
    ours = resample(torch.from_numpy(tone)[None, None], old, new)[0, 0].numpy()
    assert ours.shape == (new,)
    # Away from the ends, where every resampler differs; 1e-2 is what a window of 6 crossings leaves of a tone.
    inner = slice(new // 10, -new // 10)
    np.testing.assert_allclose(ours[inner], soxr.resample(tone, old, new)[inner], atol=1e-2)


def test_resampler_stops_what_the_new_rate_cannot_carry():
    tone = torch.sin(2 * math.pi * 10000 * torch.arange(24000) / 24000)
    assert resample(tone, 24000, 16000)[2000:-2000].abs().max() < 0.02


def test_resampler_agrees_with_torchaudio():
    """Values that torchaudio 2.9.1's functional.resample gave for this input, in float64."""
    ramp = torch.linspace(-1, 1, 12, dtype=torch.float64) ** 3
    expected = [-0.7779785287262, -0.442758704883216, -0.0667644711073413, -0.0180016060067665]
    expected += [0.000496313250276534, 0.0622671387238045, 0.222188130948811, 0.835544393897538]
    np.testing.assert_allclose(resample(ramp, 24000, 16000).numpy(), expected, atol=1e-12)
