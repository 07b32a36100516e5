"""Recordings that clients send -> samples, without ever decoding more than is allowed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import re

import av
import numpy as np
from av.audio.frame import AudioFrame
from higgs_tts import Reference
from numpy.typing import NDArray

from gateway.errors import GatewayError
from gateway.fetching import fetch
from gateway.settings import MEBIBYTE, Settings

MAX_BYTES = 10 * MEBIBYTE  # of a recording, as OpenAI's own limit
# What FFmpeg may take the bytes for. Playlists and the like would have it open other files and addresses.
_CONTAINERS = "wav,mp3,ogg,flac,aac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2"
_MAX_CHANNELS, _MAX_RATE = 32, 384_000
_DATA_URL = re.compile(r"data:[\w/+.-]*(;[\w=+.\"-]+)*?;base64,", re.IGNORECASE)


async def reference_of(address: str, transcript: str | None, settings: Settings) -> Reference:
    """The recording behind `ref_audio`, a data URL or, where the operator allows it, an http(s) address.

    Raises GatewayError when it cannot be had or is no recording.
    """
    if head := _DATA_URL.match(address):
        try:
            content = base64.b64decode(address[head.end() :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise GatewayError(400, "ref_audio is no base64.", "ref_audio") from error
    elif not address.startswith(("http://", "https://")):
        raise GatewayError(400, "ref_audio is no data URL, such as data:audio/wav;base64,….", "ref_audio")
    elif not settings.fetch_references:
        raise GatewayError(400, "This server fetches no addresses; send ref_audio as a data URL.", "ref_audio")
    else:
        content = await fetch(address, MAX_BYTES)
    return await decoded(content, transcript, "ref_audio", settings.max_clip_seconds)


async def decoded(content: bytes, transcript: str | None, param: str, max_seconds: float) -> Reference:
    """The recording in the bytes of an audio file. Raises GatewayError, which names the field `param`."""
    if len(content) > MAX_BYTES:
        raise GatewayError(413, f"{param} has more than {MAX_BYTES // MEBIBYTE} MiB.", param)
    return Reference(await asyncio.to_thread(_decode, content, param, max_seconds), transcript)


def _decode(content: bytes, param: str, max_seconds: float) -> tuple[NDArray[np.float32], int]:
    """Samples [n, channels] and their rate in Hz, of little more than `max_seconds` at most."""
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": ""}
    frames: list[NDArray[np.float32]] = []
    try:
        with av.open(io.BytesIO(content), "r", options=options) as file:
            if not file.streams.audio:
                raise GatewayError(400, f"{param} holds no sound.", param)
            stream = file.streams.audio[0]
            rate, channels, left = stream.rate, stream.channels, max_seconds
            if not 0 < rate <= _MAX_RATE or not 0 < channels <= _MAX_CHANNELS:
                raise GatewayError(400, f"{param} has {channels} channels at {rate} Hz.", param)
            to_floats = av.AudioResampler("flt", stream.layout, rate)
            for frame in file.decode(stream):
                frames += [_samples(one, channels) for one in to_floats.resample(frame)]
                left -= frame.samples / rate
                if left < 0:
                    raise GatewayError(400, f"{param} lasts more than {max_seconds:g} s.", param)
    except (av.FFmpegError, ValueError) as error:
        raise GatewayError(400, f"{param} is no recording that can be read.", param) from error
    return (np.concatenate(frames) if frames else np.zeros((0, 1), np.float32)), rate


def _samples(frame: AudioFrame, channels: int) -> NDArray[np.float32]:
    return frame.to_ndarray().reshape(-1, channels).astype(np.float32)
