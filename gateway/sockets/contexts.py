"""What ElevenLabs' sockets share: speeches that are called contexts, one after the other or at once."""

from __future__ import annotations

import base64
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from fastapi import WebSocket
from higgs_tts import GenerationParams, HiggsError
from pydantic import BaseModel, Field, ValidationError

from gateway.alignment import Aligned
from gateway.elevenlabs import DEFAULT_FORMAT, MOST_OF_NAME, output_of
from gateway.encoding import Output
from gateway.errors import GatewayError, as_refusal, refusal_of
from gateway.sockets.conversation import WebSocketConversation
from gateway.sockets.line import close_code
from gateway.sockets.live_speech import Asked, LiveSpeech

ModelT = TypeVar("ModelT", bound=BaseModel)
_LONGEST_IDLE = 300.0  # seconds that a client may ask for
MAX_CONTEXTS = 64  # of one connection, most of which say nothing
_DEFAULT = "default"  # what a context without a name is called
_CODES = {400: "invalid_request", 401: "authentication_required"}  # where an error has no word of its own


class Query(BaseModel):
    """What the address says. ElevenLabs has more, about its own models."""

    output_format: str = Field(DEFAULT_FORMAT, max_length=MOST_OF_NAME)
    language_code: str | None = Field(None, max_length=MOST_OF_NAME)
    seed: int | None = None
    inactivity_timeout: float | None = Field(None, gt=0)
    auto_mode: bool = False
    sync_alignment: bool = False


@dataclass
class Context:
    """One speech-to-be. asked: how it is to be spoken. is_flushed: whether the client had all that it has spoken."""

    name: str
    asked: Asked
    speech: LiveSpeech | None = None
    is_flushed: bool = True

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more text."""
        return self.speech is not None and self.speech.is_ended


ContextT = TypeVar("ContextT", bound=Context)


class Contexts(WebSocketConversation):
    """has_many: whether the client names its contexts; else there is one, and the socket ends with it.

    final, context_key: how the protocol calls the end of a context, and its name.
    """

    final: str
    context_key: str
    query: Query
    output: Output

    def __init__(self, websocket: WebSocket, has_many: bool) -> None:
        super().__init__(websocket)
        self.has_many = has_many
        self.contexts: dict[str, Context] = {}
        self._fault: GatewayError | None = None  # what ended the only context

    async def _converse(self) -> None:
        self.query = self.told(Query, dict(self.websocket.query_params))
        if self.query.inactivity_timeout is not None:
            self.line.idle_seconds = min(self.query.inactivity_timeout, _LONGEST_IDLE)
        self.output = output_of(self.query.output_format)
        message: dict[str, Any] | None = await self.first()
        if self.caller.key is None:
            self.caller.identify(_header(message or {}))
        while message is not None and not await self._is_last(message):
            message = await self.line.receive(unless=() if self.has_many else [*self._speeches])
        await self.until_spoken()
        if self._fault is not None:
            raise self._fault

    async def _is_last(self, message: dict[str, Any]) -> bool:
        """Take a message. An error that concerns one of many contexts is told, and the others go on."""
        if message.get("close_socket") is True:
            for context in self.contexts.values():
                if not context.is_closed:
                    self.close_context(context)
            return True
        name = self._name(message)
        try:
            if message.get("close_context") is True:
                await self._close(name)
                return False
            return await self.take(name, message)
        except (GatewayError, HiggsError) as error:
            if not self.has_many:
                raise
            await self.line.send(self._error(as_refusal(error), name))
            found = self.contexts.get(name)
            if found is not None and found.speech is not None:
                found.speech.interrupt()
            else:
                await self._end(name)
            return False

    def _name(self, message: dict[str, Any]) -> str:
        name = message.get("context_id")
        if name is None or not self.has_many:
            return _DEFAULT
        if not isinstance(name, str) or len(name) > MOST_OF_NAME:
            raise GatewayError(400, f"context_id is a text of at most {MOST_OF_NAME} characters.", "context_id")
        return name

    @abstractmethod
    async def take(self, name: str, message: dict[str, Any]) -> bool:
        """Do what a message says; returns whether it was the last. Raises GatewayError, HiggsError."""

    @abstractmethod
    def aligned(self, told: Aligned | None) -> dict[str, Any]:
        """What a message says of the words in its audio; of None, if it has the end of a file alone."""

    def open(self, context: ContextT) -> ContextT:
        """A new context, which takes its name from one that is closed. Raises GatewayError when there are too many."""
        if len(self.contexts) >= MAX_CONTEXTS:
            raise GatewayError(429, f"{MAX_CONTEXTS} contexts are open here already.", code="too_many_contexts")
        self.contexts[context.name] = context
        return context

    async def say(self, context: Context, text: str) -> None:
        """Text for a context, which begins to speak with the first that is more than blanks."""
        if context.speech is None:
            if not text.strip():
                return
            asked = replace(context.asked, session=context.name) if self.has_many else context.asked
            context.speech = await self.speech(asked)
            self.begin(self._speak(context, context.speech), context.speech)
        context.is_flushed = False
        context.speech.send(text)

    def close_context(self, context: Context) -> None:
        """What was flushed is still spoken; a context that had more, or that is closed once more, is interrupted."""
        if context.speech is None:
            return
        if context.is_flushed and not context.is_closed:
            context.speech.end()
        else:
            context.speech.interrupt()

    async def _close(self, name: str) -> None:
        context = self.contexts.get(name)
        if context is not None:
            self.close_context(context)
        if context is None or context.speech is None:
            await self._end(name)

    async def _speak(self, context: Context, speech: LiveSpeech) -> None:
        named = self._named(context.name)
        try:
            async for piece in speech.pieces():
                aligned = self.aligned(speech.alignment.take())
                if piece.data or any(aligned.values()):
                    audio = base64.b64encode(piece.data).decode() or None
                    await self.line.send({"audio": audio, **aligned, **named})
        except HiggsError as error:
            if not self.has_many:
                self._fault = as_refusal(error)
                return
            await self.line.send(self._error(as_refusal(error), context.name))
        await self._end(context.name, context)

    async def _end(self, name: str, context: Context | None = None) -> None:
        """Say that a context is over; one without a context of ours had nothing to say."""
        if self.contexts.get(name) is context or context is None:
            self.contexts.pop(name, None)
        about: dict[str, Any] = {}
        if context is not None and (speech := context.speech) is not None:
            about = speech.about()
        await self.line.send({"audio": None, self.final: True, **self._named(name), **about})

    def params(self, **others: Any) -> GenerationParams:
        """The options that the address gives, and others."""
        return GenerationParams(language=self.query.language_code, seed=self.query.seed, **others)

    def _named(self, name: str) -> dict[str, str]:
        return {self.context_key: name} if self.has_many else {}

    def _error(self, error: GatewayError, name: str | None = None) -> dict[str, Any]:
        code = error.code or _CODES.get(error.status, "server_error")
        named = {} if name is None else self._named(name)
        param = {"param": error.param} if error.param else {}
        return {"message": str(error), "error": code, "code": close_code(error), **param, **named}

    async def _tell(self, error: GatewayError) -> None:
        await self.line.send(self._error(error))

    def told(self, model: type[ModelT], values: Any) -> ModelT:
        """The values as the model has them. Raises GatewayError for the first that is wrong."""
        try:
            return model.model_validate(values)
        except ValidationError as error:
            fault = error.errors()[0]
            raise refusal_of(fault, fault["loc"]) from None


def _header(message: dict[str, Any]) -> str | None:
    """The key that a first message brings, as a header would."""
    key, bearer = message.get("xi_api_key"), message.get("authorization")
    if isinstance(key, str):
        return f"Bearer {key}"
    return bearer if isinstance(bearer, str) else None
