"""A speech whose text comes in pieces, on its way to bytes of an audio file."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from higgs_tts import HiggsError, SpeechReport

from gateway.alignment import Alignment
from gateway.copies import Copy
from gateway.encoded_speech import encoded, in_encoders
from gateway.encoding import Encoder, Output
from gateway.errors import GatewayError
from gateway.keys import Key
from gateway.meaning import Meant
from gateway.metrics import Spoken
from gateway.services import Services
from gateway.store import wants


@dataclass(frozen=True)
class Asked:
    """How the speeches of a connection are to be spoken. file_per_part: each part is a file of its own. store: whether
    they are to be stored, None for what the operator wants; session: what they belong to then, None for the connection.
    """

    meant: Meant
    output: Output
    speed: float = 1.0
    file_per_part: bool = False
    store: bool | None = None
    session: str | None = None


@dataclass(frozen=True)
class Piece:
    """data: bytes, perhaps none. part: which they belong to, from 0. text: what it says."""

    data: bytes
    part: int
    text: str


class LiveSpeech:
    """Begins with the first text; whatever happens, `close` must be called at the end."""

    def __init__(self, house: Services, key: Key, asked: Asked, source_rate: int, request_id: str, route: str) -> None:
        """key: who speaks. source_rate: of the server's samples, in Hz. route: the protocol's name in the log.

        Raises GatewayError when the caller may not speak now.
        """
        store = wants(house.store, asked.store)
        key.take()
        key.begin_speech()
        self._key, self._asked, self._route = key, asked, route
        self._most, self._characters = house.settings.max_characters, 0
        self._spoken = Spoken(house.metrics, request_id, key=key.name, waits_for_text=True)
        self._spoken.begin(asked.output.name, asked.meant.kind, asked.speed)
        self._spoken.text = "" if house.settings.log_text else None
        meant = asked.meant
        self._hash = hashlib.sha256()  # of the text
        self.stored_addresses: list[str] = []
        self._copied: Callable[[], Copy] | None = None
        if store is not None:
            about = (meant, asked.output, asked.speed, asked.session, house.client.known_bundle)
            self._copied = partial(store.begin, self._spoken, *about)
        self._session = house.client.session(voice=meant.voice, reference=meant.reference, params=meant.params)
        self._spoken.higgs_request_id = self._session.request_id
        self._make_encoder = partial(Encoder, asked.output, source_rate, asked.speed)
        self.alignment = Alignment(asked.speed)  # of what is in the pieces
        self._is_interrupted, self._outcome = False, "gone"
        self._has_more = False  # since the last flush
        self.request_id = request_id
        self.is_ended = False  # whether no more text comes
        self.is_awaited = False  # whether the client waits for what it wants spoken now
        self.finish_reason, self._spoken.sent_seconds = "cancelled", 0.0
        self.report: SpeechReport | None = None

    def send(self, text: str) -> None:
        """More of the text. Raises GatewayError when it has become too long."""
        self._characters += len(text)
        if self._spoken.outcome:  # it broke, which was told
            return
        if self._characters > self._most:
            raise GatewayError(400, f"The text has more than {self._most} characters.", "text", "text_too_long")
        if self._spoken.text is not None:
            self._spoken.text += text
        self._has_more = True
        self._hash.update(text.encode(errors="surrogatepass"))
        self._session.send(text)

    def flush(self) -> None:
        """Speak what is there."""
        if self._has_more:
            self.is_awaited, self._has_more = True, False
            self._session.flush()

    def end(self) -> None:
        """No more text comes."""
        self.is_ended = self.is_awaited = True
        self._session.end()

    def interrupt(self) -> None:
        """Nobody listens any more: no more bytes come, and the report says how far it went."""
        self._is_interrupted = self.is_ended = True
        self._session.interrupt()

    async def pieces(self) -> AsyncIterator[Piece]:
        """What is to be sent, as it comes. Raises HiggsError when the speech breaks."""
        part, encoder = 0, await in_encoders(self._make_encoder)
        self._spoken.copy = self._copy()
        try:
            async for chunk in self._session:
                self._spoken.hears(chunk)
                self.is_awaited = self.is_ended
                if chunk.finish_reason is not None:
                    self.finish_reason, self.report = chunk.finish_reason, chunk.report
                if self._is_interrupted:
                    continue
                if self._asked.file_per_part and chunk.part != part and len(chunk.samples):
                    self.alignment.begin_part(chunk.part)
                    yield self._piece(await in_encoders(encoder.finish), part)
                    self._spoken.end_copy("stop", self._digest(), then=self._copy())
                    encoder = await in_encoders(self._make_encoder)
                part = chunk.part if len(chunk.samples) else part
                self._spoken.sent_seconds = chunk.stop
                self.alignment.hears(chunk)
                if data := await encoded(encoder, chunk):
                    yield self._piece(data, part)
            if not self._is_interrupted:
                yield self._piece(await in_encoders(encoder.finish), part)
            self._outcome = self.finish_reason
        except HiggsError as error:
            self._outcome = type(error).__name__
            raise

    def about(self) -> dict[str, Any]:
        """What is said of it at its end. characters_sent: about how many characters of the text are in the bytes that
        were sent, so the most that may have been heard."""
        sent = self.report.heard(self._spoken.sent_seconds or 0.0) if self.report else 0
        report = self.report and asdict(self.report)
        stored = {"stored_addresses": self.stored_addresses} if self.stored_addresses else {}
        return {"finish_reason": self.finish_reason, "characters_sent": sent, "report": report} | stored

    def close(self) -> None:
        """End it on the server, if it has not ended by itself, and note how it ended. May be called again."""
        if self._spoken.outcome:
            return
        self._session.cancel()
        self._key.end_speech()
        self._spoken.ends(self._outcome, self._digest())
        self._spoken.leave_line(route=self._route)

    def _copy(self) -> Copy | None:
        """Of the next file, if it is stored."""
        if self._copied is None:
            return None
        copy = self._copied()
        self.stored_addresses.append(copy.address)
        return copy

    def _digest(self) -> dict[str, str]:
        """Of the text that the file says."""
        digest = hashlib.sha256(self.alignment.text.encode()) if self._asked.file_per_part else self._hash
        return {"text-sha256": digest.hexdigest()}

    def _piece(self, data: bytes, part: int) -> Piece:
        self._spoken.sends(data)
        return Piece(data, part, self.alignment.text)
