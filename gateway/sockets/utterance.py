"""One utterance on vLLM-Omni's socket: its sound, in units that are the utterance or its sentences, and their frame."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from higgs_tts import HiggsError

from gateway.encoding import Output
from gateway.sockets.line import WebSocketLine
from gateway.sockets.live_speech import LiveSpeech, Piece

_BYTES_OF_SAMPLE = 2


class Utterance:
    """number: of the utterances of a connection, from 0. by_part: whether each part is a unit. streams: whether bytes
    leave as they are made, not unit by unit. timed: whether they leave as JSON, with the times of words."""

    def __init__(
        self,
        line: WebSocketLine,
        number: int,
        speech: LiveSpeech,
        output: Output,
        by_part: bool,
        streams: bool,
        timed: bool,
    ) -> None:
        self._line, self._speech, self._output = line, speech, output
        self._by_part, self._streams, self._timed = by_part, streams, timed
        self._number, self._units, self._part, self._text = number, 0, -1, ""
        self._is_open = False
        self._held: list[bytes] = []
        self._sent = self._chunks = 0  # bytes and messages of the unit
        self._begins: float | None = None  # the second of the audio at which the unit does

    async def speak(self, before: asyncio.Task[None] | None) -> None:
        """Once the utterance before has been spoken. Raises Gone."""
        if before is not None:
            await asyncio.wait({before})
        fault: HiggsError | None = None
        try:
            async for piece in self._speech.pieces():
                await self._take(piece)
        except HiggsError as error:
            fault = error
            told = {"type": "error", "message": str(error), "code": error.code}
            await self._line.send(told | ({"partial_audio": True, "action": "discard"} if self._sent else {}))
        if fault is None or self._is_open:
            await self._close(is_broken=fault is not None)
        about = self._speech.about() if fault is None else {}
        await self._line.send(done(self._number, self._units, self._speech.request_id) | about)

    async def _take(self, piece: Piece) -> None:
        if self._by_part and self._is_open and piece.part != self._part:
            await self._close()
        if piece.data and piece.part != self._part:
            self._part, self._text = piece.part, f"{self._text} {piece.text}".lstrip()
        if not self._is_open and piece.data:
            self._is_open = True
            if self._streams:
                await self._start()
        if self._is_open and self._streams:
            await self._send(piece.data)
        else:
            self._held.append(piece.data)

    async def _start(self) -> None:
        rate = {"sample_rate": self._output.sample_rate, "channels": 1} if self._output.name == "pcm" else {}
        text = {"sentence_text": self._text, "format": self._output.name}
        await self._line.send({"type": "audio.start", **self._where(), **text, **rate})

    async def _send(self, data: bytes) -> None:
        words = self._words() if self._timed else None
        if not data and not words:
            return
        await self._line.send(self._timed_chunk(data, words) if self._timed else data)
        self._sent += len(data)
        self._chunks += 1

    async def _close(self, is_broken: bool = False) -> None:
        """The end of a unit; of one that had no sound, its beginning too."""
        if not self._is_open or not self._streams:
            await self._start()
        if self._held and not is_broken:
            await self._send(b"".join(self._held))
        about = {"total_bytes": self._sent, "error": is_broken}
        await self._line.send({"type": "audio.done", **self._where(), **about})
        self._is_open, self._sent, self._chunks, self._units = False, 0, 0, self._units + 1
        self._held, self._text, self._begins = [], "", None

    def _timed_chunk(self, data: bytes, timestamps: list[dict[str, Any]] | None) -> dict[str, Any]:
        per_ms = _BYTES_OF_SAMPLE * self._output.sample_rate / 1000
        times = {
            "chunk_id": self._chunks,
            "chunk_start_ms": round(self._sent / per_ms) if data else 0,
            "chunk_end_ms": round((self._sent + len(data)) / per_ms),
            "sample_rate": self._output.sample_rate,
            "channels": 1,
        }
        audio = {"audio_b64": base64.b64encode(data).decode(), "timestamps": timestamps}
        return {"type": "audio.chunk", **self._where(), **times, **audio}

    def _words(self) -> list[dict[str, Any]] | None:
        """Those that begin in what is sent now, in milliseconds of the unit; None for none."""
        aligned = self._speech.alignment.take()
        if aligned is None:
            return None
        begins = self._begins = aligned.start if self._begins is None else self._begins
        return [
            {
                "word": word.text,
                "start_ms": round(1000 * (word.start - begins)),
                "end_ms": round(1000 * (word.stop - begins)),
            }
            for word in aligned.words()
        ] or None

    def _where(self) -> dict[str, Any]:
        name = f"{self._speech.request_id}-{self._units}"
        return {"utterance_index": self._number, "sentence_index": self._units, "id": name}


def done(number: int, units: int, request_id: str) -> dict[str, Any]:
    """What says that an utterance is over."""
    return {
        "type": "session.done",
        "utterance_index": number,
        "total_sentences": units,
        "session_id": request_id,
    }
