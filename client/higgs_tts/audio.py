"""Reference audio: converts whatever the caller has to the mono samples the server wants."""

import io
import math
import os
import stat
import struct
from dataclasses import dataclass
from os import PathLike
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from .errors import AudioFormatError

MIN_SAMPLE_RATE = 8_000
MAX_SAMPLE_RATE = 384_000
MAX_CHANNELS = 32
UNKNOWN_LENGTH = 2**62  # a stream whose header gives no length reports the largest possible number
SILENT_PEAK = 0.001  # of full scale: -60 dB
# Float recordings may slightly exceed full scale; beyond this peak, the samples are on another scale.
MAX_PEAK = 4.0
WAV_HEADER_BYTES = 1 << 16  # what may stand before the samples
MAX_FILE_BYTES = 1 << 30  # of a file read into memory
# Mixing uncorrelated channels keeps their total energy. A mix with less than this share of it has lost the signal: the
# channels are in opposite phase and cancel out.
LEAST_MIXED_ENERGY = 0.5
PASSED_BAND = 0.92  # of the band both rates can hold, which resampling leaves unchanged
SILENCE_BEHIND = 4096  # samples

AudioSource = str | PathLike[str] | bytes | BinaryIO | tuple[NDArray[np.generic], int]


@dataclass(frozen=True, eq=False)
class Reference:
    """A voice to speak in: a recording, and the words spoken in it.

    `audio` is a path, the bytes of a file, an open binary file, or (samples, sample rate in Hz) with samples
    [n] or [n, channels] as float in [-1, 1] or as signed integers.
    """

    audio: AudioSource
    text: str | None = None


@dataclass(frozen=True)
class ReferenceLimits:
    """What the server accepts as reference audio."""

    sample_rate: int  # Hz, also of its speech
    min_seconds: float
    max_seconds: float


def load_reference(source: AudioSource, limits: ReferenceLimits) -> NDArray[np.float32]:
    """Read, check, mix down to mono, and resample. Returns samples [n] in [-1, 1].

    Raises AudioFormatError, with one sentence that says which value is wrong and what would be right.
    """
    samples, rate = _from_array(*source) if isinstance(source, tuple) else _decode(source, limits)
    _check_length(len(samples), rate, limits)
    if not np.isfinite(samples).all():
        raise AudioFormatError("The reference audio contains NaN or infinite samples; every sample must be finite.")
    mono = _mono(samples)
    peak = float(np.abs(mono).max())
    if peak < SILENT_PEAK:
        raise AudioFormatError(
            f"The reference audio is silent: it peaks at {peak:.5f} of full scale; it must reach {SILENT_PEAK}."
        )
    if peak > MAX_PEAK:
        raise AudioFormatError(f"The reference audio peaks at {peak:.4g}; full scale must be 1.0.")
    resampled = _resample(mono, rate, limits.sample_rate)
    # The resampling filter overshoots at steep edges.
    return resampled / max(1.0, float(np.abs(resampled).max()))


def _resample(mono: NDArray[np.float32], rate: int, target: int) -> NDArray[np.float32]:
    """Samples [n] at one rate -> [n * target / rate] at another, keeping the part of the spectrum both can hold."""
    if rate == target:
        return mono
    # Pad with silence to whole periods of both rates: ringing past the end wraps round to the beginning.
    period = rate // math.gcd(rate, target)
    length = -(-(len(mono) + SILENCE_BEHIND) // period) * period
    longer = length // period * (target * period // rate)
    # NumPy 1 and 2 differ in the precision that they keep of float32.
    spectrum = np.fft.rfft(mono.astype(np.float64), length)[: min(length, longer) // 2 + 1]
    # A smooth cutoff rings for milliseconds, a sharp one for the length of the clip.
    position = np.linspace(0, 1, len(spectrum))
    spectrum *= np.cos(np.pi / 2 * np.clip((position - PASSED_BAND) / (1 - PASSED_BAND), 0, 1)) ** 2
    resampled = np.fft.irfft(spectrum, longer) * (longer / length)
    return resampled[: round(len(mono) * target / rate)].astype(np.float32)


def _mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the channels, or the loudest where they cancel each other out. Samples [n, channels] -> [n]."""
    energies = np.square(samples, dtype=np.float64).sum(axis=0)
    mean: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
    mixed = np.square(mean, dtype=np.float64).sum() * samples.shape[1] ** 2
    return mean if mixed >= LEAST_MIXED_ENERGY * energies.sum() else samples[:, int(energies.argmax())]


def _from_array(samples: NDArray[np.generic], rate: int) -> tuple[NDArray[np.float32], int]:
    """Samples [n, channels] as float, and the sample rate."""
    samples = np.asarray(samples)
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or samples.shape[1] > MAX_CHANNELS:
        raise AudioFormatError(f"The reference samples have shape {samples.shape}; give [n] or [n, channels].")
    scaled = samples.astype(np.float32)
    if np.issubdtype(samples.dtype, np.signedinteger):
        scaled /= -float(np.iinfo(samples.dtype.name).min)
    elif not np.issubdtype(samples.dtype, np.floating):
        raise AudioFormatError(f"The reference samples are {samples.dtype}; give floats or signed integers.")
    return scaled, _checked_rate(rate)


def _decode(source: AudioSource, limits: ReferenceLimits) -> tuple[NDArray[np.float32], int]:
    """Samples [n, channels] and sample rate of a file. Stops decoding at the longest length allowed."""
    name = f" {str(source)!r}" if isinstance(source, (str, PathLike)) else ""
    try:
        with _Forward(_openable(source)) as file:
            rate = _checked_rate(file.samplerate)
            too_many = int(limits.max_seconds * rate) + 1
            if file.frames < UNKNOWN_LENGTH:
                _check_length(file.frames, rate, limits)
            samples = file.read(too_many, dtype="float32", always_2d=True)
            if len(samples) == too_many:
                raise _wrong_length("too long", limits)
            return samples, rate
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).rpartition(": ")[2]
        raise AudioFormatError(
            f"Cannot read the reference audio{name}: {str(reason).rstrip('.').replace('. ', ', ')}."
        ) from error


class _Forward(soundfile.SoundFile):
    """A file that is read once, from its beginning. soundfile seeks after each read of a file it thinks seekable; that
    fails at the end of a FLAC whose header gives no length."""

    def seekable(self) -> bool:
        return False


def _openable(source: AudioSource) -> str | BinaryIO:
    """A source that soundfile can open and seek in. Raises OSError, also when a path is missing or a folder."""
    if isinstance(source, (str, PathLike)):
        # libsndfile reports "System error" for a missing file; the system call gives the real reason.
        with open(source, "rb") as file:
            # Given a name that ends in .raw, soundfile would expect samples without a header. A pipe cannot be opened
            # twice.
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                if not str(source).lower().endswith(".raw") and _unwritten_size(file.read(WAV_HEADER_BYTES)) is None:
                    return str(source)
                file.seek(0)
            content = file.read(MAX_FILE_BYTES)
    elif isinstance(source, bytes):
        content = source
    elif not isinstance(source, tuple) and hasattr(source, "read"):
        content = source.read()
    else:
        raise TypeError(f"a {type(source).__name__} is neither a path, nor bytes, a file or (samples, rate)")
    return io.BytesIO(_finished(content))


def _finished(content: bytes) -> bytes:
    """Fill in the length of a WAV whose recorder died before writing it; return any other file unchanged."""
    place = _unwritten_size(content[:WAV_HEADER_BYTES])
    if place is None:
        return content
    size = struct.pack("<I", min(len(content) - place - 4, 2**32 - 1))
    return content[:place] + size + content[place + 4 :]


def _unwritten_size(header: bytes) -> int | None:
    """The offset at which a WAV's header gives a length of 0 for the samples; None for any other file."""
    place = 12  # behind "RIFF", the file's size and "WAVE"
    if header[:4] != b"RIFF" or header[8:place] != b"WAVE":
        return None
    while len(header) >= place + 8:
        name, size = struct.unpack_from("<4sI", header, place)
        if name == b"data":
            return None if size else place + 4
        place += 8 + size + size % 2
    return None


def _checked_rate(rate: int) -> int:
    if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
        raise AudioFormatError(
            f"The reference audio has a sample rate of {rate} Hz; "
            f"it must be from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz."
        )
    return int(rate)


def _check_length(frames: int, rate: int, limits: ReferenceLimits) -> None:
    seconds = frames / rate
    if frames == 0:
        raise AudioFormatError("The reference audio is empty.")
    if seconds < limits.min_seconds:
        raise _wrong_length(f"too short: {seconds:.2f} s", limits)
    if seconds > limits.max_seconds:
        raise _wrong_length(f"too long: {seconds:.2f} s", limits)


def _wrong_length(fault: str, limits: ReferenceLimits) -> AudioFormatError:
    return AudioFormatError(
        f"The reference audio is {fault}; it must last {limits.min_seconds:g} to {limits.max_seconds:g} s."
    )
