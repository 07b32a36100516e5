"""Samples of a stream -> bytes of an audio file, as soon as there are any, at another speed or rate if asked.

FFmpeg does the work, through PyAV. Containers are written so that the first bytes can be heard before the last are
made: without tables at the front, and with pages and frames of milliseconds. The same samples give the same bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.filter import Graph
from higgs_tts.pcm import to_s16
from numpy.typing import NDArray

FormatName = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
LEAST_SPEED, MOST_SPEED = 0.25, 4.0
_TEMPO = (0.5, 2.0)  # what one `atempo` filter does well; several in a row do the rest
_PUSH_SECONDS = 0.02  # `atempo` lets nothing out before it could fill a frame as long as the one that came in
_UNKNOWN_SIZE = 0xFFFFFFFF  # in a WAV header: read on to the end
_WAV_HEADER_BYTES = 44
_COMMON = {"fflags": "+bitexact", "flush_packets": "1"}


@dataclass(frozen=True)
class AudioFormat:
    """media_type: as HTTP names it. rates: sample rates in Hz that it can hold, () for any. container, codec, bit_rate,
    options: FFmpeg's; a format without a codec is s16le samples."""

    media_type: str
    rates: tuple[int, ...] = ()
    container: str = ""
    codec: str = ""
    bit_rate: int | None = None
    options: dict[str, str] = field(default_factory=dict)


_MPEG_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
FORMATS: dict[str, AudioFormat] = {
    # Neither a table of contents nor tags, which would have to be known at the beginning.
    "mp3": AudioFormat(
        "audio/mpeg", _MPEG_RATES, "mp3", "libmp3lame", 96_000, {"write_xing": "0", "id3v2_version": "0"}
    ),
    # By default the first page leaves after a second of audio, or two. In microseconds.
    "opus": AudioFormat(
        "audio/ogg", (8000, 12000, 16000, 24000, 48000), "ogg", "libopus", 48_000, {"page_duration": "20000"}
    ),
    "aac": AudioFormat("audio/aac", _MPEG_RATES, "adts", "aac", 96_000),
    "flac": AudioFormat("audio/flac", (), "flac", "flac"),
    "wav": AudioFormat("audio/wav"),
    "pcm": AudioFormat("audio/pcm"),
}
# G.711, as telephones have it: bytes without a container, like `pcm`. ElevenLabs' clients ask for them.
_TELEPHONY = {
    "ulaw": AudioFormat("audio/basic", (8000,), "mulaw", "pcm_mulaw"),
    "alaw": AudioFormat("audio/x-alaw-basic", (8000,), "alaw", "pcm_alaw"),
}
_ALL = FORMATS | _TELEPHONY
LEAST_RATE, MOST_RATE = 8_000, 48_000
_LEAST_KBPS, _MOST_KBPS = 16, 256  # what every encoder that has a bit rate takes
_ELEVENLABS = re.compile(r"(pcm|mp3|opus|ulaw|alaw)_([0-9]{4,5})(?:_([0-9]{2,3}))?")


@dataclass(frozen=True)
class Output:
    """What a client gets. name: of a format. sample_rate: in Hz. bit_rate: bits a second, None for the format's own."""

    name: str
    sample_rate: int
    bit_rate: int | None = None

    @property
    def format(self) -> AudioFormat:
        """What the format's name stands for."""
        return _ALL[self.name]


def elevenlabs_output(word: str) -> Output | None:
    """What ElevenLabs calls FORMAT_RATE or FORMAT_RATE_KBPS, such as `mp3_22050_32`; None for what is not made here."""
    found = _ELEVENLABS.fullmatch(word)
    if found is None:
        return None
    name, rate, kbps = found[1], int(found[2]), int(found[3] or 0)
    has_bit_rate = _ALL[name].bit_rate is not None
    if rate_fault(name, rate) or has_bit_rate != bool(kbps) or (kbps and not _LEAST_KBPS <= kbps <= _MOST_KBPS):
        return None
    return Output(name, rate, 1000 * kbps or None)


def rate_fault(name: str, sample_rate: int) -> str | None:
    """What is wrong with a format at a sample rate, in a sentence; None when it can be."""
    rates = _ALL[name].rates
    if sample_rate in rates or (not rates and LEAST_RATE <= sample_rate <= MOST_RATE):
        return None
    allowed = ", ".join(map(str, rates)) or f"{LEAST_RATE} to {MOST_RATE}"
    return f"sample_rate is {sample_rate}; {name} takes {allowed} Hz."


class Encoder:
    """One stream: call `encode` for its samples in turn, then `finish`.

    output: what it makes. source_rate: of the samples, in Hz. speed: from LEAST_SPEED to MOST_SPEED, at the same pitch.
    """

    def __init__(self, output: Output, source_rate: int, speed: float = 1.0) -> None:
        self._format, sample_rate, name = output.format, output.sample_rate, output.name
        self._header = _wav_header(sample_rate) if name == "wav" else b""
        self._graph = _graph(source_rate, sample_rate, speed)
        self._source_rate, self._position = source_rate, 0
        self._sink = _Sink()
        self._stream: AudioStream | None = None
        if self._format.codec:
            options = _COMMON | self._format.options
            self._file = av.open(self._sink, "w", format=self._format.container, options=options)
            stream = cast(AudioStream, self._file.add_stream(self._format.codec, rate=sample_rate, layout="mono"))
            stream.codec_context.flags |= av.codec.context.Flags.bitexact
            if bit_rate := output.bit_rate or self._format.bit_rate:
                stream.bit_rate = bit_rate
            self._stream = stream

    @property
    def media_type(self) -> str:
        """As HTTP names it."""
        return self._format.media_type

    @property
    def is_cheap(self) -> bool:
        """Whether encoding a chunk costs less than handing it to a thread."""
        return self._graph is None and self._stream is None

    def encode(self, samples: NDArray[np.float32]) -> bytes:
        """The bytes that are ready once these samples, [n] in [-1, 1], have come; perhaps none."""
        if self.is_cheap:
            return self._headed(to_s16(samples).tobytes())
        step = round(_PUSH_SECONDS * self._source_rate)
        pieces = (samples[start : start + step] for start in range(0, len(samples), step))
        return self._headed(b"".join(self._taken(self._filtered(self._frame(piece))) for piece in pieces))

    def finish(self) -> bytes:
        """The rest of the bytes."""
        rest = self._taken(self._filtered(None)) if self._graph is not None else b""
        if self._stream is not None:
            self._file.mux(self._stream.encode(None))
            self._file.close()
            rest += self._sink.take()
        header, self._header = self._header, b""
        return header + rest

    def _headed(self, data: bytes) -> bytes:
        """The header goes with the first samples."""
        if not data:
            return b""
        header, self._header = self._header, b""
        return header + data

    def _frame(self, samples: NDArray[np.float32]) -> AudioFrame:
        clipped = np.clip(samples, -1.0, 1.0).astype(np.float32)
        frame = AudioFrame.from_ndarray(clipped[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = self._source_rate, self._position
        frame.time_base = Fraction(1, self._source_rate)
        self._position += len(samples)
        return frame

    def _filtered(self, frame: AudioFrame | None) -> Iterator[AudioFrame]:
        """What comes out when this frame, or None for the end, goes in."""
        if self._graph is None:
            if frame is not None:
                yield frame
            return
        self._graph.push(frame)
        while True:
            try:
                yield self._graph.pull()  # type: ignore[misc]
            except (av.BlockingIOError, av.EOFError):
                return

    def _taken(self, frames: Iterator[AudioFrame]) -> bytes:
        if self._stream is None:
            return b"".join(to_s16(frame.to_ndarray().reshape(-1).astype(np.float32)).tobytes() for frame in frames)
        for frame in frames:
            self._file.mux(self._stream.encode(frame))
        return self._sink.take()


class _Sink:
    """A file that only grows, whose bytes are taken as they come. FFmpeg sees that it cannot seek in it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _graph(source_rate: int, sample_rate: int, speed: float) -> Graph | None:
    """What changes speed and rate; None when neither changes."""
    if speed == 1.0 and source_rate == sample_rate:
        return None
    graph = Graph()
    nodes = [
        graph.add_abuffer(sample_rate=source_rate, format="flt", layout="mono", time_base=Fraction(1, source_rate))
    ]
    nodes += [graph.add("atempo", f"{tempo:.9g}") for tempo in _tempos(speed)]
    nodes += [graph.add("aresample", str(sample_rate)), graph.add("aformat", "sample_fmts=flt:channel_layouts=mono")]
    nodes.append(graph.add("abuffersink"))
    graph.link_nodes(*nodes).configure()
    return graph


def _tempos(speed: float) -> Iterator[float]:
    """Factors that one filter does well, whose product is the speed."""
    slowest, fastest = _TEMPO
    while not slowest <= speed <= fastest:
        factor = slowest if speed < slowest else fastest
        yield factor
        speed /= factor
    if speed != 1.0:
        yield speed


def with_length(wav: bytes) -> bytes:
    """A whole WAV file of ours, whose header then says how long it is."""
    riff, data = len(wav) - 8, len(wav) - _WAV_HEADER_BYTES
    return b"".join(
        (
            wav[:4],
            struct.pack("<I", riff),
            wav[8 : _WAV_HEADER_BYTES - 4],
            struct.pack("<I", data),
            wav[_WAV_HEADER_BYTES:],
        )
    )


def _wav_header(sample_rate: int) -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", _UNKNOWN_SIZE, b"WAVE") + form + struct.pack("<4sI", b"data", _UNKNOWN_SIZE)
