"""Wyoming, which Home Assistant speaks, on a port of its own and without keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from higgs_tts import GenerationParams, HiggsError, VoiceProfile, __version__
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Attribution, Describe, Info, TtsProgram, TtsVoice
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeTextFormat,
    SynthesizeVoice,
)

from gateway.encoding import Output
from gateway.errors import GatewayError, as_refusal, shortened
from gateway.keys import Caller, Keys
from gateway.meaning import Meant
from gateway.metrics import Spoken
from gateway.models import DEFAULT_MODEL
from gateway.services import Services
from gateway.sockets.conversation import Conversation
from gateway.sockets.event_line import MOST_OF_LINE, EventLine
from gateway.sockets.live_speech import Asked, LiveSpeech

NAME = "wyoming"  # of the protocol, and of its route in logs
_LANGUAGES = ["en", "zh", "es", "fr"]


@asynccontextmanager
async def listening(address: tuple[str, int], house: Services) -> AsyncIterator[tuple[str, int]]:
    """Serve until the block ends; what is spoken then is spoken to its end, but no longer than `drain`.

    Returns host and port, which is a free one where port 0 was asked for. Raises OSError: it is taken.
    """
    leaving, conversations = asyncio.Event(), set[asyncio.Task[None]]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            if len(conversations) <= house.settings.max_requests:
                await _serve(EventLine(reader, writer, house, leaving), house)
            else:
                writer.close()
        finally:
            conversations.discard(task)

    host, port = address
    server = await asyncio.start_server(connected, host, port, limit=MOST_OF_LINE)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        leaving.set()
        if conversations:
            await asyncio.wait(conversations, timeout=house.settings.drain)
        for task in list(conversations):
            task.cancel()


async def _serve(line: EventLine, house: Services) -> None:
    spoken = Spoken(house.metrics, uuid4().hex)
    caller = Caller(Keys((), None), spoken)
    caller.identify(None)
    house.metrics.open.inc()
    try:
        await WyomingConversation(line, house, caller, spoken.request_id).run()
    finally:
        house.metrics.open.dec()
        spoken.leave_line(route=NAME)


class WyomingConversation(Conversation[EventLine]):
    """One speech after the other: of a whole text, or of one that is still being written."""

    def __init__(self, line: EventLine, house: Services, caller: Caller, request_id: str) -> None:
        super().__init__(line, house, caller, NAME, request_id)
        self._asked: Asked | None = None  # how the text is to be spoken that is being written
        self._speech: LiveSpeech | None = None  # of that text, once it has words
        self._before: asyncio.Task[None] | None = None  # what must be heard first

    async def _converse(self) -> None:
        while True:
            event = await self.line.receive()
            assert event is not None
            try:
                await self._take(event)
            except (KeyError, AttributeError, TypeError):
                await self._refuse(event, GatewayError(400, f"The event {shortened(event.type)!r} lacks something."))
            except (GatewayError, HiggsError) as error:
                await self._refuse(event, as_refusal(error))

    async def _take(self, event: Event) -> None:
        """Do what it says; what is not about speaking is ignored, as the protocol wants it."""
        if Describe.is_type(event.type):
            await self.line.send((await self._info()).event())
        elif Ping.is_type(event.type):
            await self.line.send(Pong(text=Ping.from_event(event).text).event())
        elif Synthesize.is_type(event.type) and self._asked is None:  # while text comes, it repeats it for old servers
            told = Synthesize.from_event(event)
            text = _text(told.text)
            speech = await self._begin(await self._how(told.voice, told.text_format), is_streaming=False)
            speech.send(text)
            speech.end()
        elif SynthesizeStart.is_type(event.type):
            start = SynthesizeStart.from_event(event)
            self._asked, self._speech = await self._how(start.voice, start.text_format), None
        elif SynthesizeChunk.is_type(event.type) and self._asked is not None:
            text = _text(SynthesizeChunk.from_event(event).text)
            if self._speech is None and text.strip():
                self._speech = await self._begin(self._asked, is_streaming=True)
            if self._speech is not None:
                self._speech.send(text)
        elif SynthesizeStop.is_type(event.type) and self._asked is not None:
            speech_or_none, self._asked, self._speech = self._speech, None, None
            if speech_or_none is not None:
                speech_or_none.end()
            else:
                await self.line.send(SynthesizeStopped().event())

    async def _refuse(self, event: Event, error: GatewayError) -> None:
        """Say why, and then what ends the speech, since clients wait for that."""
        await self._tell(error)
        is_streaming, speech = self._asked is not None or SynthesizeStart.is_type(event.type), self._speech
        self._asked = self._speech = None
        if speech is not None:
            speech.interrupt()
        elif is_streaming:
            await self.line.send(SynthesizeStopped().event())
        elif Synthesize.is_type(event.type):
            await self.line.send(AudioStop().event())

    async def _how(self, voice: SynthesizeVoice | None, text_format: str | None) -> Asked:
        if text_format not in (None, SynthesizeTextFormat.TEXT):
            raise GatewayError(400, f"text_format is {shortened(str(text_format))!r}; it is text here.", "text_format")
        name, language = (voice.name, voice.language) if voice else (None, None)
        found = await self.house.voices.resolve(_text(name)) if name else None
        output = Output("pcm", await self.house.client.sample_rate())
        return Asked(Meant(GenerationParams(language=language), found, None, ""), output)

    async def _begin(self, asked: Asked, is_streaming: bool) -> LiveSpeech:
        speech = await self.speech(asked)
        self._before = self.begin(self._speak(speech, asked.output.sample_rate, self._before, is_streaming), speech)
        return speech

    async def _speak(
        self, speech: LiveSpeech, rate: int, before: asyncio.Task[None] | None, is_streaming: bool
    ) -> None:
        if before is not None:
            await asyncio.wait({before})
        form = {"rate": rate, "width": 2, "channels": 1}
        await self.line.send(AudioStart(**form).event())
        try:
            async for piece in speech.pieces():
                if piece.data:
                    await self.line.send(AudioChunk(audio=piece.data, **form).event())
        except HiggsError as error:
            await self._tell(as_refusal(error))
        await self.line.send(AudioStop().event())
        if is_streaming:
            await self.line.send(SynthesizeStopped().event())

    async def _info(self) -> Info:
        maker = Attribution("Boson AI", "https://www.boson.ai")
        voices = [
            TtsVoice(one.name, maker, True, one.name, None, _languages(one))
            for one in (await self.house.voices.voices(fresh=False)).values()
        ]
        return Info(tts=[TtsProgram(DEFAULT_MODEL, maker, True, "Higgs Audio V2", __version__, voices, True)])

    async def _tell(self, error: GatewayError) -> None:
        await self.line.send(Error(text=str(error), code=error.code or str(error.status)).event())


def _text(told: Any) -> str:
    """Raises GatewayError for what is no text."""
    if not isinstance(told, str):
        raise GatewayError(400, "text is no text.", "text")
    return told


def _languages(voice: VoiceProfile) -> list[str]:
    """Those that it is offered for: the model speaks all in any voice."""
    own = str(voice.metadata.get("language") or "").partition("-")[0].lower()
    return [own, *(one for one in _LANGUAGES if one != own)] if own in _LANGUAGES else _LANGUAGES
