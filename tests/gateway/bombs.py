"""Small files that ask their reader for much: for tests of what reads them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame

RATE = 48_000


def encoded(container: str, codec: str, samples: np.ndarray, rate: int = RATE, layout: str = "mono") -> bytes:
    """An audio file of samples [channels, n] in [-1, 1]."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=rate, layout=layout)
        for start in range(0, samples.shape[1], rate):
            piece = np.ascontiguousarray(samples[:, start : start + rate].T.reshape(1, -1).astype(np.float32))
            frame = AudioFrame.from_ndarray(piece, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def silence(container: str, codec: str, seconds: int) -> bytes:
    return encoded(container, codec, np.zeros((1, seconds * RATE), np.float32))


def table(samples: int, tracks: int) -> bytes:
    """An MP4 of hundreds of bytes whose tables stand for that many samples in each track."""
    entry = struct.pack(">I4s6xH8xHHHHI", 36, b"sowt", 1, 2, 16, 0, 0, RATE << 16)
    tables = (
        _atom(b"stsd", struct.pack(">II", 0, 1), entry),
        _atom(b"stts", struct.pack(">IIII", 0, 1, samples, 1024)),
        _atom(b"stsc", struct.pack(">IIIII", 0, 1, 1, samples, 1)),
        _atom(b"stsz", struct.pack(">III", 0, 2, samples)),
        _atom(b"stco", struct.pack(">III", 0, 1, 48)),
    )
    media = _atom(
        b"mdia",
        _atom(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, RATE, samples, 0, 0)),
        _atom(b"hdlr", b"\0" * 8 + b"soun" + b"\0" * 13),
        _atom(b"minf", _atom(b"stbl", *tables)),
    )
    track = _atom(b"trak", _atom(b"tkhd", struct.pack(">IIIII", 0, 0, 0, 1, 0) + b"\0" * 64), media)
    head = _atom(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 1000) + b"\0" * 80)
    return (
        _atom(b"ftyp", b"isom\0\0\0\0isom")
        + _atom(b"mdat", b"\0" * 1000)
        + _atom(b"moov", head, *[track for _ in range(tracks)])
    )


def covered(recording: bytes, side: int, pictures: int = 1) -> bytes:
    """An MP3 with black pictures of that many pixels on each side."""
    deflate = zlib.compressobj(1)
    pixels = b"".join(deflate.compress(b"\0" * (1 + 4 * side)) for _ in range(side)) + deflate.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", pixels), (b"IEND", b""))
    picture = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    body = b"\0image/png\0\x03\0" + picture
    frames = (b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body) * pictures
    size = bytes(len(frames) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + size + frames + recording


def wav(rate: int, channels: int, claimed: int, data: bytes) -> bytes:
    """A WAV of s16le samples whose header claims that many bytes of them."""
    step = 2 * channels
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * step & 0xFFFFFFFF, step, 16)
    return struct.pack("<4sI4s", b"RIFF", claimed, b"WAVE") + form + struct.pack("<4sI", b"data", claimed) + data


def opus_head(channels: int, rate: int) -> bytes:
    """An Ogg page in which an Opus stream of so many channels begins, and another without sound."""
    mapping = b"" if channels < 3 else bytes((channels, 0)) + bytes(range(channels))
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, channels, 0, rate, 0, 0 if channels < 3 else 255) + mapping
    tags = b"OpusTags" + struct.pack("<II", 0, 0)
    return _page(head, 2, 0) + _page(tags, 0, 1) + _page(b"\xfc\xff\xfe" * 40, 4, 2)


def _page(packet: bytes, flags: int, number: int) -> bytes:
    laced = bytes(len(packet[at : at + 255]) for at in range(0, len(packet), 255)) + (
        b"\0" if len(packet) % 255 == 0 else b""
    )
    page = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, 0, 1, number, 0, len(laced)) + laced + packet
    return page[:22] + struct.pack("<I", _ogg_checksum(page)) + page[26:]


def _ogg_checksum(page: bytes) -> int:
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
    return value


def _atom(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body
