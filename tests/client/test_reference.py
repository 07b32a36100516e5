"""Reference audio in any form, or one clear sentence."""

import io
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from higgs_tts import AudioFormatError, HiggsClient, Reference
from higgs_tts.audio import AudioSource, ReferenceLimits, load_reference

from .standin.server import StandInServer

LIMITS = ReferenceLimits(sample_rate=24000, min_seconds=1.0, max_seconds=30.0)
TONE = 440.0


def tone(rate: int, seconds: float = 2.0, level: float = 0.5) -> np.ndarray:
    """A sine of 440 Hz: float32 [rate * seconds]."""
    return (level * np.sin(2 * np.pi * TONE / rate * np.arange(round(rate * seconds)))).astype(np.float32)


def tone_error(samples: np.ndarray, level: float = 0.5) -> float:
    """Largest distance from the tone at 24 kHz, apart from the edges, where a resampler has half a window."""
    inner = slice(2400, -2400)
    return float(np.abs(samples[inner] - tone(24000, len(samples) / 24000, level)[inner]).max())


# The HQ resampler keeps a tone to about 1e-5; 16 bits round to 1.5e-5.
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000, 96000])
def test_any_rate_becomes_the_server_s(rate: int) -> None:
    samples = load_reference((tone(rate), rate), LIMITS)
    assert samples.dtype == np.float32
    assert len(samples) == 48000
    assert tone_error(samples) < 1e-4


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_channels_are_mixed_by_their_mean(channels: int) -> None:
    loud_first = np.zeros((48000, channels), np.float32)
    loud_first[:, 0] = tone(24000)
    samples = load_reference((loud_first, 24000), LIMITS)
    assert tone_error(samples, 0.5 / channels) < 1e-6


LEFT = tone(24000)
SPEECHLIKE = np.random.default_rng(0).standard_normal(48000).astype(np.float32) * 0.1
MIXES = {
    "opposite phase": ([LEFT, -LEFT], LEFT),
    "opposite phase, the right one louder": ([LEFT, -1.5 * LEFT], -1.5 * LEFT),
    "nearly opposite": ([LEFT, -0.9 * LEFT + 0.01 * SPEECHLIKE], LEFT),
    "opposite, and a silent one": ([LEFT, -LEFT, 0 * LEFT], LEFT),
    "opposite delay": ([LEFT, 0.9 * np.roll(LEFT, 27)], LEFT),
    "equal": ([LEFT, LEFT], LEFT),
    "one silent": ([0 * LEFT, LEFT], 0.5 * LEFT),
    "two speakers": ([LEFT, SPEECHLIKE], 0.5 * LEFT + 0.5 * SPEECHLIKE),
    "slight delay": ([LEFT, np.roll(LEFT, 2)], 0.5 * LEFT + 0.5 * np.roll(LEFT, 2)),
}


@pytest.mark.parametrize("case", MIXES)
def test_channels_that_cancel_each_other_out_give_the_loudest_and_others_the_mean(case: str) -> None:
    channels, expected = MIXES[case]
    samples = load_reference((np.stack(channels, axis=1).astype(np.float32), 24000), LIMITS)
    np.testing.assert_allclose(samples, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_integer_samples_are_scaled_by_their_type(dtype: str) -> None:
    samples = (tone(24000).astype(np.float64) * np.iinfo(dtype).max).astype(dtype)
    assert tone_error(load_reference((samples, 24000), LIMITS)) < 1e-4


@pytest.mark.parametrize(
    ("extension", "tolerance"), [("wav", 1e-4), ("flac", 1e-4), ("aiff", 1e-4), ("ogg", 0.05), ("mp3", 0.05)]
)
def test_files_of_many_formats_are_read_in_every_form(tmp_path: Path, extension: str, tolerance: float) -> None:
    path = tmp_path / f"clip.{extension}"
    soundfile.write(path, np.stack([tone(44100, 3.0)] * 2, axis=1), 44100)
    with path.open("rb") as file:
        sources: list[AudioSource] = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), file]
        for source in sources:
            samples = load_reference(source, LIMITS)
            # MP3 pads to whole frames at both ends.
            assert abs(len(samples) - 72000) <= (3000 if extension == "mp3" else 0)
            if extension != "mp3":
                assert tone_error(samples) < tolerance


def test_the_server_hears_the_resampled_reference(settled: StandInServer, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "me.flac", np.stack([tone(44100)] * 2, axis=1), 44100)
    with HiggsClient(settled.url) as client:
        speech = client.synthesize("source=reference", reference=Reference(tmp_path / "me.flac", "la"))
    assert speech.seconds == 2.0
    assert tone_error(speech.samples) < 1e-4


def test_resampling_never_leaves_full_scale() -> None:
    square = np.sign(tone(44100)).astype(np.float32)
    assert np.abs(load_reference((square, 44100), LIMITS)).max() <= 1.0


GOOD = tone(24000)
BAD = {
    "not a number": ((np.where(np.arange(48000) == 7, np.nan, GOOD), 24000), "NaN or infinite"),
    "infinite": ((np.where(np.arange(48000) == 7, np.inf, GOOD), 24000), "NaN or infinite"),
    "empty": ((np.zeros(0, np.float32), 24000), "empty"),
    "silent": ((np.full(48000, 0.0005, np.float32), 24000), r"silent: it peaks at 0\.00050 .*0\.001"),
    "short": ((tone(8000, 0.5), 8000), r"too short: 0\.50 s; it must last 1 to 30 s"),
    "long": ((tone(8000, 31.0), 8000), r"too long: 31\.00 s; it must last 1 to 30 s"),
    "on another scale": ((GOOD * 32767, 24000), r"full scale must be 1\.0"),
    "channels first": ((np.stack([GOOD, GOOD]), 24000), r"shape \(2, 48000\); give \[n\] or \[n, channels\]"),
    "unsigned": ((np.full(48000, 7, np.uint8), 24000), "uint8; give floats or signed integers"),
    "slow": ((tone(4000), 4000), "4000 Hz; it must be from 8000"),
    "missing": ("no such clip.wav", "Cannot read the reference audio 'no such clip.wav': No such file"),
    "a folder": (Path("/"), "Is a directory"),
    "not audio": (b"This is text, not sound.", "Cannot read the reference audio: Format not recognised"),
    "headerless": ("headerless.raw", "Cannot read the reference audio"),
    "of no known type": (5, "a int is neither a path"),
    "opened as text": (io.StringIO("x"), "Cannot read the reference audio"),
}


@pytest.mark.parametrize("case", BAD)
def test_unusable_audio_is_refused_in_one_sentence(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("headerless.raw").write_bytes(bytes(96000))
    source, sentence = BAD[case]
    with pytest.raises(AudioFormatError, match=sentence) as caught:
        load_reference(source, LIMITS)
    assert str(caught.value).count(". ") == 0
    assert str(caught.value).endswith(".")


def test_a_file_too_long_by_its_header_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(8000 * 60, np.int16), 8000, format="FLAC")
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(AudioFormatError, match=r"too long: 60\.00 s"):
        load_reference(file.getvalue(), LIMITS)


def wav(samples: np.ndarray, subtype: str = "PCM_16", kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 24000, format=kind, subtype=subtype)
    return file.getvalue()


def with_sizes(content: bytes, riff: int, data: int) -> bytes:
    """A WAV whose header states other lengths of the file and of its samples."""
    changed = bytearray(content)
    struct.pack_into("<I", changed, 4, riff)
    struct.pack_into("<I", changed, content.index(b"data") + 4, data)
    return bytes(changed)


def piped_flac(samples: np.ndarray) -> bytes:
    """A FLAC that does not tell its length, as an encoder writes into a pipe."""
    content = bytearray(wav(samples, kind="FLAC"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


ODD_FILES = {
    "a recorder died.wav": with_sizes(wav(GOOD), 0, 0),
    "a recorder died, one length written.wav": with_sizes(wav(GOOD), 36, 0),
    "a recorder of 24 bits died.wav": with_sizes(wav(GOOD, "PCM_24"), 0, 0),
    "streamed.wav": with_sizes(wav(GOOD), 0xFFFFFFFF, 0xFFFFFFFF),
    "a wav.raw": wav(GOOD),
    "A WAV.RAW": wav(GOOD, "FLOAT"),
    "a flac.raw": wav(GOOD, kind="FLAC"),
    "a flac.wav": wav(GOOD, kind="FLAC"),
    "piped.flac": piped_flac(GOOD),
    "24 bits.wav": wav(GOOD, "PCM_24"),
    "float.wav": wav(GOOD, "FLOAT"),
    "double.wav": wav(GOOD, "DOUBLE"),
    "large.wav": wav(GOOD, kind="RF64"),
    "apple.aiff": wav(GOOD, kind="AIFF"),
    "wave 64.w64": wav(GOOD, kind="W64"),
}


@pytest.mark.parametrize("name", ODD_FILES)
def test_odd_files_are_read_by_name_as_bytes_and_from_a_pipe(name: str, tmp_path: Path) -> None:
    content = ODD_FILES[name]
    (tmp_path / name).write_bytes(content)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    for source in (tmp_path / name, content, pipe):
        samples = load_reference(source, LIMITS)
        assert len(samples) == 48000
        assert tone_error(samples) < 1e-4
    writer.join()


def test_eight_bits_and_a_file_that_was_cut_off_are_read_as_far_as_they_go() -> None:
    assert tone_error(load_reference(wav(GOOD, "PCM_U8"), LIMITS)) < 0.02
    assert len(load_reference(wav(GOOD)[:-20000], LIMITS)) == 38000


def nan_file() -> bytes:
    return wav(np.where(np.arange(48000) == 7, np.float32(np.nan), GOOD), "FLOAT")


REFUSED_FILES = {
    "empty.wav": (b"", "Cannot read the reference audio"),
    "text.wav": (b"these are words", "Cannot read the reference audio"),
    "header only.wav": (wav(GOOD)[:44], "empty"),
    "died at once.wav": (with_sizes(wav(GOOD[:0]), 0, 0), "empty"),
    "died early.wav": (with_sizes(wav(GOOD[:4800]), 0, 0), r"too short: 0\.20 s"),
    "half a header.wav": (wav(GOOD)[:20], "Cannot read the reference audio"),
    "video.m4a": (b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00" + bytes(4096), "Cannot read the reference audio"),
    "nan.wav": (nan_file(), "NaN or infinite"),
    "died.raw": (bytes(96000), "Cannot read the reference audio"),
    "words.flac": (b"fLaC" + bytes(100), "Cannot read the reference audio"),
}


@pytest.mark.parametrize("name", REFUSED_FILES)
def test_files_without_usable_audio_are_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    content, sentence = REFUSED_FILES[name]
    (tmp_path / name).write_bytes(content)
    for source in (tmp_path / name, content):
        with pytest.raises(AudioFormatError, match=sentence) as caught:
            load_reference(source, LIMITS)
        assert str(caught.value).replace(name, "").count(". ") == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_of_untold_length_is_decoded_no_further_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    soundfile.write(file, (tone(8000, 60.0) * 32767).astype(np.int16), 8000, format="FLAC")
    stream = bytearray(file.getvalue())
    # STREAMINFO: 36 bits of total samples, the last four bytes of them at offset 22; 0 means unknown.
    assert struct.unpack_from(">I", stream, 22)[0] == 480000
    struct.pack_into(">I", stream, 22, 0)
    decoded: list[int] = []
    read = soundfile.SoundFile.read

    def counting(self: soundfile.SoundFile, frames: int, **options: object) -> np.ndarray:
        decoded.append(frames)
        return read(self, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    with pytest.raises(AudioFormatError, match="too long; it must last 1 to 30 s"):
        load_reference(bytes(stream), LIMITS)
    assert decoded == [30 * 8000 + 1]


def test_a_bad_reference_costs_the_server_nothing(settled: StandInServer) -> None:
    before = len(settled.events())
    with HiggsClient(settled.url) as client, pytest.raises(AudioFormatError):
        client.stream("hello", reference=Reference("missing.wav"))
    assert len(settled.events()) == before
