"""The body of `POST /v1/audio/speech`: OpenAI's fields, the extensions that peers have, and every option of ours."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, get_args, get_type_hints

from higgs_tts import GenerationParams
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from gateway.encoding import FORMATS, LEAST_RATE, LEAST_SPEED, MOST_RATE, MOST_SPEED, FormatName, rate_fault
from gateway.errors import GatewayError, shortened
from gateway.models import DEFAULT_MODEL

MAX_REFERENCE_CHARACTERS = 10_000
_TOLD = get_type_hints(GenerationParams)
_MOST_ENTRIES = 1000  # of an option; the server takes fewer


def _few(value: Any) -> Any:
    """Before each entry is looked at: millions of them would take the time and memory of everybody."""
    if isinstance(value, dict) and len(value) > _MOST_ENTRIES:
        raise ValueError(f"at most {_MOST_ENTRIES} entries are taken")
    return value


class VoiceId(BaseModel):
    """A voice by its id, as OpenAI's custom voices are named."""

    id: str = Field(min_length=1, max_length=200)


class OpenAIFields(BaseModel):
    """What OpenAI's clients send."""

    model: str = Field(DEFAULT_MODEL, max_length=200, description="`GET /v1/models` lists them.")
    input: str = Field(min_length=1, description="What to say: plain text, or a transcript with `Name:` labels.")
    voice: Annotated[str, Field(max_length=200)] | VoiceId | None = Field(
        None, description='A voice of `GET /v1/audio/voices`, by name or `{"id": …}`; without one, the model\'s own.'
    )
    instructions: str | None = Field(
        None, description="How and where it is spoken: the model's description of the scene."
    )
    response_format: FormatName = "mp3"
    speed: float = Field(1.0, ge=LEAST_SPEED, le=MOST_SPEED, description="Times as fast, at the same pitch.")
    stream_format: Literal["audio", "sse"] = "audio"


class PeersFields(OpenAIFields):
    """What peers take beside them."""

    stream: bool = Field(True, description="false: one answer with its length, finish reason and report as headers.")
    ref_audio: str | None = Field(None, description="A recording whose voice to take: a data URL.")
    ref_text: str | None = Field(
        None, max_length=MAX_REFERENCE_CHARACTERS, description="What the recording says, word for word."
    )
    sample_rate: int | None = Field(None, ge=LEAST_RATE, le=MOST_RATE, description="Of the answer, in Hz.")
    strict: bool = Field(False, description="Refuse unknown fields instead of naming them in `x-ignored-fields`.")
    store: bool | None = Field(
        None, description="Keep the speech where the operator said; by default as the operator decided."
    )
    session_id: str | None = Field(
        None,
        max_length=64,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@=-]*$",
        description="What stored speech belongs to; a part of its name.",
    )
    extra: Annotated[dict[str, Any], BeforeValidator(_few)] = Field(
        {}, description="The options below, where a client's own fields would clash."
    )


def _option(one: dataclasses.Field[Any]) -> tuple[Any, Any]:
    return (Annotated[_TOLD[one.name], BeforeValidator(_few)], Field(None, description=one.metadata["meaning"]))


OPTIONS = {one.name: one for one in dataclasses.fields(GenerationParams)}
SpeechRequest: Any = create_model(
    "SpeechRequest",
    __base__=PeersFields,
    __config__=None,
    __doc__="Speech to be made. Options that are not given take the server's defaults.",
    **{name: _option(one) for name, one in OPTIONS.items()},  # type: ignore[call-overload]
)
SpeechRequest.model_config = ConfigDict(extra="allow")
SpeechRequest.model_rebuild(force=True)


def ignored_fields(body: PeersFields) -> list[str]:
    """The unknown fields, sorted. Raises GatewayError for them where the request is strict, and in `extra` always."""
    unknown = sorted({*(body.model_extra or {})})
    strange = sorted(body.extra.keys() - OPTIONS.keys())
    if strange:
        raise GatewayError(400, f"extra has no option {shortened(strange[0])!r}.", "extra")
    if unknown and body.strict:
        raise GatewayError(
            400, f"There is no field {shortened(unknown[0])!r}, and the request is strict.", shortened(unknown[0])
        )
    return unknown


def generation_params(body: PeersFields) -> GenerationParams:
    """The options, from the body's own fields, `extra` and `instructions`. The server checks their values.

    Raises GatewayError where two places contradict each other.
    """
    values = {name: value for name in OPTIONS if (value := getattr(body, name)) is not None}
    for name in sorted(values.keys() & body.extra.keys()):
        raise GatewayError(400, f"{name} stands both in the body and in extra; give it once.", name)
    values |= body.extra
    if body.instructions:
        if values.get("scene"):
            raise GatewayError(400, "instructions and scene say the same thing; give one of them.", "instructions")
        values["scene"] = body.instructions
    for name, value in values.items():
        _check(name, value)
    return GenerationParams(**values)


def _check(name: str, value: Any) -> None:
    """Raises GatewayError for what no option can be, though JSON holds it: deep nesting, and halves of characters."""
    inside = [*value, *value.values()] if isinstance(value, dict) else [value]
    if any(isinstance(one, (dict, list)) for one in inside):
        raise GatewayError(400, f"{name} has a list or an object in it where only text and numbers can be.", name)
    try:
        "".join(one for one in inside if isinstance(one, str)).encode()
    except UnicodeEncodeError as error:
        raise GatewayError(400, f"{name} has a lone surrogate in it, which is no character.", name) from error


def output_rate(body: PeersFields, source_rate: int) -> int:
    """Sample rate of the answer in Hz. Raises GatewayError where the format does not have the one asked for."""
    rate = body.sample_rate or source_rate
    if (fault := rate_fault(body.response_format, rate)) is not None:
        raise GatewayError(400, fault, "sample_rate")
    return rate


assert set(get_args(FormatName)) == FORMATS.keys()
