"""ElevenLabs' sockets for several voices in turn: `text-to-dialogue`. Each voice is a speaker of one transcript."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, Field, StringConstraints

from gateway.alignment import Aligned
from gateway.errors import GatewayError, shortened
from gateway.meaning import Meant
from gateway.sockets.contexts import Context, Contexts
from gateway.sockets.live_speech import Asked

PATH = "/v1/text-to-dialogue"
router = APIRouter()
VoiceId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


@router.websocket(PATH + "/stream-input")
async def stream_input(websocket: WebSocket) -> None:
    """One dialogue."""
    await TextToDialogue(websocket, has_many=False).run()


@router.websocket(PATH + "/multi-stream-input")
async def multi_stream_input(websocket: WebSocket) -> None:
    """Any number of dialogues."""
    await TextToDialogue(websocket, has_many=True).run()


class Registration(BaseModel):
    """What the first message of a context must have."""

    voices: list[VoiceId] = Field(min_length=1, max_length=10)


class Input(BaseModel):
    """Something that a voice says. new_turn: whether it had ended its turn before."""

    text: str
    voice_id: VoiceId
    new_turn: bool = False


class Inputs(BaseModel):
    """Any message of a context."""

    inputs: list[Input] = Field([], max_length=1000)
    flush: bool = False


@dataclass
class Dialogue(Context):
    """speakers: the label of each voice; "" where there is one. last: the voice that spoke last."""

    speakers: dict[str, str] | None = None
    last: str | None = None

    def written(self, said: Input) -> str:
        """As the transcript has it. Raises GatewayError for a voice that was not announced."""
        speakers = self.speakers or {}
        if said.voice_id not in speakers:
            raise GatewayError(400, f"voices does not have {shortened(said.voice_id)!r}.", "inputs")
        goes_on = self.last == said.voice_id and not said.new_turn
        is_first, self.last = self.last is None, said.voice_id
        text = said.text.replace("\n", " ")
        if goes_on or len(speakers) == 1:
            return text
        return f"{'' if is_first else chr(10)}{speakers[said.voice_id]}: {text}"


class TextToDialogue(Contexts):
    """A context begins with its voices; a closed one is spoken to its end."""

    final, context_key = "is_final", "context_id"

    async def take(self, name: str, message: dict[str, Any]) -> bool:
        context = self.contexts.get(name)
        if context is None or context.is_closed:
            context = self.open(await self._registered(name, message))
        assert isinstance(context, Dialogue)
        told = self.told(Inputs, message)
        for said in told.inputs:
            await self.say(context, context.written(said))
        if told.flush and context.speech is not None:
            context.speech.flush()
        return False

    def close_context(self, context: Context) -> None:
        context.is_flushed = True  # as if it had been: the protocol says so
        super().close_context(context)

    async def _registered(self, name: str, message: dict[str, Any]) -> Dialogue:
        voices = dict.fromkeys(self.told(Registration, message).voices)
        names = {voice: await self.house.voices.resolve(voice) or voice for voice in voices}
        if len(names) == 1:
            meant = Meant(self.params(), next(iter(names.values())), None, "")
            return Dialogue(name, Asked(meant, self.output), speakers=dict.fromkeys(names, ""))
        labels = {voice: f"Speaker {number}" for number, voice in enumerate(names, 1)}
        speakers = {label: names[voice] for voice, label in labels.items()}
        meant = Meant(self.params(speakers=speakers, dialogue="on"), None, None, "")
        return Dialogue(name, Asked(meant, self.output), speakers=labels)

    def aligned(self, told: Aligned | None) -> dict[str, Any]:
        if told is None or not self.query.sync_alignment:
            return {"alignment": None}
        names = ("chars", "char_start_times_ms", "char_durations_ms")
        return {"alignment": dict(zip(names, told.characters(), strict=True))}
