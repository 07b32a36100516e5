"""Requests that no client should send: each is refused with a sentence, and none breaks the gateway."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

PATH = "/v1/audio/speech"
JSON = {"content-type": "application/json"}
SHORT = {"input": "Nine birds.", "response_format": "pcm", "max_seconds": 0.2}
SURROGATE = "\ud800"
DEEP = "[" * 900 + "]" * 900


def post(http: httpx.Client, body: bytes, headers: dict[str, str] = JSON) -> httpx.Response:
    return http.post(PATH, content=body, headers=headers)


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"input": SURROGATE}, "input"),
        ({"voice": SURROGATE}, "voice"),
        ({"instructions": SURROGATE}, "scene"),
        ({"lexicon": {"birds": SURROGATE}}, "lexicon"),
        ({"extra": {"language": SURROGATE}}, "language"),
        ({"extra": {"speakers": json.loads(DEEP)}}, "speakers"),
        ({"ref_audio": "data:audio/wav;base64,AAAA", "ref_text": SURROGATE}, "ref_text"),
        ({"ref_audio": SURROGATE}, "ref_audio"),
        ({"input": "\0"}, None),
        ({"voice": "\0"}, None),
        ({"seed": 10**400}, None),
        ({"temperature": float("nan")}, None),
        ({"speed": float("inf")}, "speed"),
        ({"speed": float("nan")}, "speed"),
    ],
)
def test_what_json_can_hold_but_no_field_can_be_is_refused(
    http: httpx.Client, fields: dict[str, Any], param: str | None
) -> None:
    answer = post(http, json.dumps(SHORT | fields).encode())
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"a"', b"{", b'{"input": "\xff"}', b'{"x": ' + b"[" * 100_000, b"\xff\xfe\0"]
)
def test_a_body_that_is_no_request_is_refused(http: httpx.Client, body: bytes) -> None:
    answer = post(http, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("named", [None, "text/plain", "application/x-www-form-urlencoded", "\\;;"])
def test_a_body_that_is_not_called_json_is_refused_by_its_name(http: httpx.Client, named: str | None) -> None:
    answer = post(http, json.dumps(SHORT).encode(), {"content-type": named} if named else {})
    assert answer.status_code == 415
    message = answer.json()["error"]["message"]
    assert message.startswith("The header content-type is ") and message.endswith("application/json.")


def test_unknown_fields_are_named_however_they_are_called(http: httpx.Client) -> None:
    many = {f"field_{number}": None for number in range(3000)}
    told = []
    for fields in ({"é\r\nset-cookie: a=b": json.loads(DEEP)}, many):
        answer = post(http, json.dumps(SHORT | fields).encode())
        assert answer.status_code == 200 and "set-cookie" not in answer.headers
        told.append(answer.headers["x-ignored-fields"])
    assert told[0].startswith("\\xe9") and told[1].startswith("field_0, field_1, ")
    assert len(told[1]) < 1000


def test_head_is_answered_as_get_is(http: httpx.Client) -> None:
    for path in ("/health", "/health/live", "/v1/", "/v1/models"):
        answer = http.head(path)
        assert answer.status_code == 200 and not answer.content
    assert http.head(PATH).headers["allow"] == "POST"


def test_a_wrong_method_is_told_the_right_ones(http: httpx.Client) -> None:
    answer = http.put("/v1/audio/voices")
    assert answer.status_code == 405 and answer.headers["allow"] == "GET, POST"


def test_the_page_knows_the_statuses_and_the_formats(http: httpx.Client) -> None:
    page = http.get("/openapi.json").json()
    answers = page["paths"][PATH]["post"]["responses"]
    assert {"200", "400", "401", "415", "429", "503"} <= answers.keys() and "422" not in answers
    assert {"audio/mpeg", "audio/pcm", "text/event-stream"} <= answers["200"]["content"].keys()
    assert "429" not in page["paths"]["/health"]["get"]["responses"]
    assert not page["components"]["schemas"].keys() & {"HTTPValidationError", "ValidationError"}
