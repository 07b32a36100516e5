"""OpenAI's Python client as its users write it; only `base_url` is another one."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.http_clients.conftest import KEY, SLOW_KEY
from tests.http_clients.sound import FORMATS, LONG, RATE, TEXT, decoded, is_alike

MODEL, VOICE = "gpt-4o-mini-tts", "alloy"


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def speech(client: OpenAI) -> np.ndarray:
    """The sentence as the samples that are in every format."""
    answer = client.audio.speech.create(model=MODEL, voice=VOICE, input=TEXT, response_format="pcm")
    return decoded(answer.read(), "pcm")


def test_create_gives_mp3_unless_told(client: OpenAI, speech: np.ndarray) -> None:
    answer = client.audio.speech.create(model="tts-1", voice=VOICE, input=TEXT)
    assert answer.response.headers["content-type"] == "audio/mpeg"
    assert is_alike(decoded(answer.content, "mp3"), speech)


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_is_written_to_a_file(client: OpenAI, speech: np.ndarray, tmp_path: Path, name: str) -> None:
    file = tmp_path / f"speech.{name}"
    with client.audio.speech.with_streaming_response.create(
        model=MODEL, voice=VOICE, input=TEXT, response_format=name
    ) as answer:
        answer.stream_to_file(file)
        assert answer.request_id
    assert is_alike(decoded(file.read_bytes(), name), speech)


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_come_in_pieces(base_url: str, speech: np.ndarray, name: str) -> None:
    async def pieces() -> list[bytes]:
        async with (
            AsyncOpenAI(base_url=base_url, api_key="none") as client,
            client.audio.speech.with_streaming_response.create(
                model=MODEL, voice=VOICE, input=TEXT, response_format=name
            ) as answer,
        ):
            return [piece async for piece in answer.iter_bytes()]

    found = asyncio.run(pieces())
    assert len(found[0]) < sum(map(len, found)) / 2
    assert is_alike(decoded(b"".join(found), name), speech)


def test_events_carry_the_sound_and_its_usage(client: OpenAI, speech: np.ndarray) -> None:
    with client.audio.speech.with_streaming_response.create(
        model=MODEL, voice=VOICE, input=TEXT, response_format="wav", stream_format="sse"
    ) as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    sound = b"".join(base64.b64decode(one["audio"]) for one in events if one["type"] == "speech.audio.delta")
    assert is_alike(decoded(sound, "wav"), speech)
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["output_tokens"] == round(25 * len(speech) / RATE)  # 25 frames a second


def test_our_options_go_in_the_extra_body(client: OpenAI, speech: np.ndarray) -> None:
    def said(**options: object) -> np.ndarray:
        answer = client.audio.speech.create(
            model=MODEL, voice="awb", input=TEXT, response_format="pcm", extra_body=options
        )
        return decoded(answer.read(), "pcm")

    assert len(said(max_seconds=0.4)) == round(0.4 * RATE)
    assert not np.array_equal(said(seed=7), said(seed=8))
    assert np.array_equal(said(extra={"seed": 7}), said(seed=7))


def test_a_voice_may_be_an_object_and_instructions_are_the_scene(client: OpenAI) -> None:
    for voice in ("slt", {"id": "slt"}, {"id": "voice_slt"}):
        answer = client.audio.speech.create(
            model=MODEL,
            voice=voice,
            input=TEXT,
            instructions="A quiet room.",
            speed=1.25,
            extra_body={"max_seconds": 0.4},
        )
        assert answer.content


def test_models_are_listed_and_found(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"tts-1", "tts-1-hd", MODEL} <= {*names}
    assert client.models.retrieve(names[0]).id == names[0]


@pytest.mark.parametrize(
    "fields, kind, param",
    [
        ({"input": ""}, openai.BadRequestError, "input"),
        ({"speed": 9}, openai.BadRequestError, "speed"),
        ({"voice": "nobody"}, openai.BadRequestError, None),
        ({"extra_body": {"temperature": "hot"}}, openai.BadRequestError, "temperature"),
        ({"model": "gpt-2"}, openai.NotFoundError, "model"),
    ],
)
def test_refusals_have_the_clients_classes(
    client: OpenAI, fields: dict[str, object], kind: type[openai.APIStatusError], param: str | None
) -> None:
    with pytest.raises(kind) as caught:
        client.audio.speech.create(**{"model": MODEL, "voice": VOICE, "input": TEXT} | fields)
    assert caught.value.type == "invalid_request_error" and caught.value.param == param
    assert caught.value.request_id and isinstance(caught.value.body, dict) and caught.value.body["message"]


def test_keys_and_limits_have_the_clients_classes(keyed: str) -> None:
    with OpenAI(base_url=keyed, api_key=KEY) as known, OpenAI(base_url=keyed, api_key="hk-wrong") as stranger:
        assert known.models.list().data
        with pytest.raises(openai.AuthenticationError) as caught:
            stranger.audio.speech.create(model=MODEL, voice=VOICE, input=TEXT)
    assert caught.value.code == "invalid_api_key" and caught.value.type == "authentication_error"
    with OpenAI(base_url=keyed, api_key=SLOW_KEY, max_retries=0) as slow:
        slow.models.list()
        with pytest.raises(openai.RateLimitError) as refused:
            slow.audio.speech.create(model=MODEL, voice=VOICE, input=TEXT)
    assert refused.value.type == "rate_limit_error"
    assert 0 < int(refused.value.response.headers["retry-after"]) <= 60


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
def test_a_speech_that_fails_half_way_does_not_look_whole(client: OpenAI, stream_format: Any) -> None:
    """The server is told to give up when audio has long left."""
    received: list[bytes] = []
    with (
        client.audio.speech.with_streaming_response.create(
            model=MODEL,
            voice=VOICE,
            input=" ".join([LONG] * 8),
            response_format="pcm",
            stream_format=stream_format,
            extra_body={"timeout_seconds": 8.0},
        ) as answer,
        pytest.raises(httpx2.RemoteProtocolError),
    ):
        received.extend(answer.iter_bytes())
    data = b"".join(received)
    assert len(data) > RATE
    if stream_format == "sse":
        error = json.loads(data.decode().strip().rpartition("data: ")[2])
        assert error["type"] == "speech.audio.error" and "time limit" in error["error"]["message"]


def test_a_client_that_closes_frees_its_slot(client: OpenAI, is_freed: Callable[[], bool]) -> None:
    with client.audio.speech.with_streaming_response.create(model=MODEL, voice=VOICE, input=LONG) as answer:
        parts = answer.iter_bytes()  # httpx hangs up when it is let go
        next(parts)
    assert is_freed()
