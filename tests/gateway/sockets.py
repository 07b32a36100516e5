"""The other end of a socket, which keeps what it is told."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.gateway.running import ANSWER_SECONDS

VLLM = "/v1/audio/speech/stream"
ONE, MANY = "/v1/text-to-speech/tone/stream-input", "/v1/text-to-speech/tone/multi-stream-input"
DIALOGUE = "/v1/text-to-dialogue/stream-input"
# What makes each of them wait for text.
FIRST: dict[str, dict[str, Any]] = {
    VLLM: {"type": "session.config", "voice": "tone"},
    ONE: {"text": " "},
    MANY: {"text": " ", "context_id": "a"},
    DIALOGUE: {"voices": ["tone"]},
}
Message = Any  # the object of a text message, or the bytes of a binary one


def opened(address: str, path: str, *messages: dict[str, Any], **headers: str) -> ClientConnection:
    """A connection on which these messages were sent. headers: of the handshake, with `_` for `-`.

    Raises websockets' InvalidStatus for a handshake that is refused.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = address.replace("http", "ws", 1) + path
    connection = connect(url, additional_headers=named, proxy=None, open_timeout=ANSWER_SECONDS, ping_interval=None)
    tell(connection, *messages)
    return connection


def tell(connection: ClientConnection, *messages: dict[str, Any]) -> None:
    for message in messages:
        connection.send(json.dumps(message))


def told(connection: ClientConnection) -> Message:
    """The next message."""
    message = connection.recv(timeout=ANSWER_SECONDS)
    return message if isinstance(message, bytes) else json.loads(message)


def until(connection: ClientConnection, **values: Any) -> list[Message]:
    """The messages up to one that has these values."""
    messages: list[Message] = []
    while True:
        messages.append(message := told(connection))
        if isinstance(message, dict) and values.items() <= message.items():
            return messages


def rest(connection: ClientConnection) -> tuple[list[Message], int, str]:
    """The messages until it is closed, with which code, and for which reason."""
    messages: list[Message] = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(told(connection))
    assert connection.close_code is not None and connection.close_reason is not None
    return messages, connection.close_code, connection.close_reason
