"""One stream of the server, on its way to bytes of an audio file or to server-sent events."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any, TypeVar

from higgs_tts import AsyncSpeechStream, AudioChunk, HiggsError, SpeechReport

from gateway import errors
from gateway.copies import Copy
from gateway.encoding import Encoder
from gateway.metrics import Spoken

T = TypeVar("T")

# Of their own, so that whoever waits in a thread holds up nobody's sound.
_ENCODERS = ThreadPoolExecutor(max(2, os.cpu_count() or 1), "encoder")
_MOST_OF_A_HEADER = 4000  # bytes; proxies and clients take no longer ones
_LAST, _DATA = "speech.audio.done", b"data: "
_DONE = f"event: {_LAST}\n".encode() + _DATA


class EncodedSpeech:
    """Whoever drops it half-way ends the generation. encoder: makes one. spoken: what operators are told of it."""

    def __init__(self, stream: AsyncSpeechStream, encoder: Callable[[], Encoder], spoken: Spoken) -> None:
        self.chunk: AudioChunk | None = None  # the last that came
        self._stream, self._make_encoder, self._spoken = stream, encoder, spoken
        self._encoder: Encoder
        spoken.higgs_request_id = stream.request_id

    @property
    def report(self) -> SpeechReport | None:
        """The server's, at the end."""
        return self.chunk.report if self.chunk else None

    @property
    def finish_reason(self) -> str:
        """Why it ended."""
        return (self.chunk and self.chunk.finish_reason) or "cancelled"

    @property
    def is_repeatable(self) -> bool:
        """Whether it came to its end, as it would again."""
        return self.finish_reason != "cancelled" and self.report is not None and not self.report.error_chain

    async def first_part(self) -> bytes:
        """Wait until there is audio. Raises HiggsError."""
        try:
            self._encoder = await in_encoders(self._make_encoder)  # while the server makes the first audio
            async for chunk in self._stream:
                if part := await self._encoded(chunk):
                    return part
        except HiggsError as error:
            self._end(type(error).__name__)
            raise
        except asyncio.CancelledError:
            self._end("gone")
            raise
        return b""

    async def parts(self, first: bytes) -> AsyncIterator[bytes]:
        """All of it, from the first part on. Raises HiggsError when the stream breaks."""
        outcome = "gone"
        try:
            self._spoken.sends(first)
            yield first
            async for chunk in self._stream:
                if part := await self._encoded(chunk):
                    self._spoken.sends(part)
                    yield part
            if part := await in_encoders(self._encoder.finish):
                self._spoken.sends(part)
                yield part
            outcome = self.finish_reason
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self._end(outcome)

    def leave(self) -> None:
        """Nobody waits for the rest."""
        self._end("gone")

    def headers(self) -> dict[str, str]:
        """What is known when the first part leaves."""
        return {"x-time-to-first-audio-ms": f"{1000 * self._spoken.first_audio_seconds:.0f}"}

    def last_headers(self) -> dict[str, str]:
        """What is known at the end."""
        headers = {
            "x-finish-reason": self.finish_reason,
            "x-audio-seconds": f"{self._spoken.audio_seconds:.3f}",
        }
        report = json.dumps(self.report and _without_words(self.report))
        return headers | ({"x-report": report} if len(report) <= _MOST_OF_A_HEADER else {})

    def _end(self, outcome: str) -> None:
        """End the generation, if it has not ended by itself, and note how."""
        self._stream.cancel()
        self._spoken.ends(outcome)

    async def _encoded(self, chunk: AudioChunk) -> bytes:
        self.chunk = chunk
        self._spoken.hears(chunk)
        return await encoded(self._encoder, chunk)


async def encoded(encoder: Encoder, chunk: AudioChunk) -> bytes:
    """The bytes that are ready once this chunk has come."""
    return encoder.encode(chunk.samples) if encoder.is_cheap else await in_encoders(encoder.encode, chunk.samples)


async def in_encoders(work: Callable[..., T], *arguments: Any) -> T:
    """The work's result, which a thread of the encoders does."""
    return await asyncio.get_running_loop().run_in_executor(_ENCODERS, work, *arguments)


async def events(speech: EncodedSpeech, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The parts as server-sent events. The last one says how the speech ended.

    When the stream breaks, it says how, and then HiggsError is raised.
    """
    try:
        async for part in parts:
            yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(part).decode(), **_where(speech)})
    except HiggsError as error:
        yield _event({"type": "speech.audio.error"} | errors.body(error))
        raise  # OpenAI has no such event, and clients that do not know it would take the speech for whole
    finally:
        await parts.aclose()  # type: ignore[attr-defined]
    report = speech.report
    tokens = (report.text_tokens, report.frames) if report else (0, 0)
    usage = dict(zip(("input_tokens", "output_tokens", "total_tokens"), (*tokens, sum(tokens)), strict=True))
    about = {"finish_reason": speech.finish_reason, "report": report and asdict(report)}
    yield _event({"type": _LAST, "usage": usage, **about})


async def with_word(parts: AsyncIterator[bytes], copy: Copy) -> AsyncIterator[bytes]:
    """The same events, of which the last one says also what became of the copy."""
    try:
        async for part in parts:
            before, done, data = part.partition(_DONE)
            yield before + _event(json.loads(data) | await copy.word()) if done else part
    finally:
        await parts.aclose()  # type: ignore[attr-defined]


def sound_of_events(body: bytes) -> bytes:
    """The audio in all of the events."""
    lines = (line.removeprefix(_DATA) for line in body.splitlines() if line.startswith(_DATA))
    return b"".join(base64.b64decode(json.loads(line).get("audio", "")) for line in lines)


def _without_words(report: SpeechReport) -> dict[str, Any]:
    """The report, as short as a header has to be."""
    return asdict(replace(report, parts=tuple(replace(part, words=()) for part in report.parts)))


def _where(speech: EncodedSpeech) -> dict[str, Any]:
    """What part of the speech the last chunk belongs to, and where it ends in seconds of speech at speed 1."""
    chunk = speech.chunk
    return {"part": chunk.part, "speaker": chunk.speaker, "stop": round(chunk.stop, 6)} if chunk else {}


def _event(values: dict[str, Any]) -> bytes:
    return f"event: {values['type']}\ndata: {json.dumps(values, ensure_ascii=False)}\n\n".encode()
