"""Recordings that clients send -> samples, without ever decoding more than is allowed.

FFmpeg does the work, through PyAV. A file of a kilobyte can ask it for gigabytes, or for a minute: by hours of silence,
a picture for a cover, a table of a billion samples that are all alike. So it is told which containers and codecs it may
take the bytes for, how many streams to look at, and how much to allocate at once.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ctypes
import io
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer
from higgs_tts import Reference
from numpy.typing import NDArray

from gateway.errors import GatewayError
from gateway.fetching import fetch
from gateway.settings import MEBIBYTE, Settings

MAX_BYTES = 10 * MEBIBYTE  # of a recording, as OpenAI's own limit
# FFmpeg's names, and HTTP's. Playlists and the like would have it open other files and addresses.
_MEDIA_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "matroska": "audio/webm",
    "mov": "audio/mp4",
}
# Of video and pictures none: FFmpeg would decode the beginning of each to learn its size.
_CODECS = (
    "aac,alac,flac,mp3,mp3float,opus,libopus,vorbis,adpcm_ima_wav,adpcm_ms,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s16be,pcm_s16le,"
    "pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,pcm_f32be,pcm_f32le,pcm_f64le"
)
_MAX_STREAMS = 8  # of a video with its extras
_MAX_CHANNELS, _MAX_RATE = 8, 384_000
_RATE = 48_000  # Hz that are kept at most, and two channels
_SECONDS = 20.0  # of work; the longest clip takes one
_DATA_URL = re.compile(r"data:[\w/+.-]*(;[\w=+.\"-]+)*;base64", re.IGNORECASE)
_MAX_HEAD = 200  # characters of a data URL before its data

# A whole file fits into one allocation, and is far larger than any table that a minute needs.
ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(MAX_BYTES + 2 * MEBIBYTE))
# So many at a time, and speech is encoded in other threads.
_DECODERS = ThreadPoolExecutor(2, "decoder")


@dataclass(frozen=True, eq=False)
class Recording:
    """samples: [n, channels], at most two channels, in [-1, 1]. rate: in Hz. media_type: of the bytes that it was."""

    samples: NDArray[np.float32] = field(repr=False)
    rate: int
    media_type: str

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    def reference(self, transcript: str | None) -> Reference:
        """As the client library takes it."""
        return Reference((self.samples, self.rate), transcript)


async def reference_of(address: str, transcript: str | None, settings: Settings) -> Reference:
    """The recording behind `ref_audio`, a data URL or, where the operator allows it, an http(s) address.

    Raises GatewayError when it cannot be had or is no recording.
    """
    head, comma, _ = address[:_MAX_HEAD].partition(",")
    if comma and _DATA_URL.fullmatch(head):
        try:
            content = await asyncio.to_thread(base64.b64decode, address[len(head) + 1 :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise GatewayError(400, "ref_audio is not base64.", "ref_audio") from error
    elif not address.startswith(("http://", "https://")):
        raise GatewayError(400, "ref_audio is no data URL, such as data:audio/wav;base64,….", "ref_audio")
    elif not settings.fetch_references:
        raise GatewayError(400, "This server fetches no addresses; send ref_audio as a data URL.", "ref_audio")
    else:
        content = await fetch(address, MAX_BYTES)
    return (await decoded(content, "ref_audio", settings.max_clip_seconds)).reference(transcript)


async def decoded(content: bytes, param: str, max_seconds: float) -> Recording:
    """The recording in the bytes of an audio file. Raises GatewayError, which names the field `param`."""
    if len(content) > MAX_BYTES:
        raise GatewayError(413, f"{param} has more than {MAX_BYTES // MEBIBYTE} MiB.", param)
    return await asyncio.get_running_loop().run_in_executor(_DECODERS, _decode, content, param, max_seconds)


def _decode(content: bytes, param: str, max_seconds: float) -> Recording:
    options = {
        "format_whitelist": ",".join(_MEDIA_TYPES),
        "codec_whitelist": _CODECS,
        "protocol_whitelist": "",
        "max_streams": str(_MAX_STREAMS),
    }
    try:
        with av.open(io.BytesIO(content), "r", options=options) as file:
            return _read(file, param, max_seconds)
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise GatewayError(400, f"{param} is no recording that can be read.", param) from error


def _read(file: InputContainer, param: str, max_seconds: float) -> Recording:
    until = time.monotonic() + _SECONDS
    stream = next(iter(file.streams.audio), None)
    codec = stream and stream.codec_context
    if stream is None or not isinstance(codec, AudioCodecContext) or codec.name not in _CODECS.split(","):
        raise GatewayError(400, f"{param} holds no sound that can be read.", param)
    if not 0 < codec.sample_rate <= _MAX_RATE or not 0 < codec.channels <= _MAX_CHANNELS:
        raise GatewayError(400, f"{param} has {codec.channels} channels at {codec.sample_rate} Hz.", param)
    rate, channels = min(codec.sample_rate, _RATE), min(codec.channels, 2)
    to_floats = av.AudioResampler("flt", "mono" if channels == 1 else "stereo", rate)
    # One block, since there may be a million frames of a sample each.
    samples, most = bytearray(), int(max_seconds * rate) * channels * 4
    for frame in chain(file.decode(stream), (None,)):  # the last lets out what the resampler holds back
        for one in to_floats.resample(frame):
            samples += one.to_ndarray().tobytes()
        if len(samples) > most:
            raise GatewayError(400, f"{param} lasts more than {max_seconds:g} s.", param)
        if time.monotonic() > until:
            raise GatewayError(400, f"{param} takes more than {_SECONDS:g} s to decode.", param)
    media_type = next(kind for name, kind in _MEDIA_TYPES.items() if name in file.format.name.split(","))
    return Recording(np.frombuffer(samples, np.float32).reshape(-1, channels), rate, media_type)
