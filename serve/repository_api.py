"""Triton's model repository API, which is shut to all but the launcher."""

from __future__ import annotations

import http.client
from contextlib import closing, nullcontext

from serve.access import OPERATOR, Access

FAILURES = (OSError, http.client.HTTPException, ValueError)  # what `ask` raises, or reading its answer
_ANSWER_SECONDS = 5.0


def connect(access: Access, timeout: float = _ANSWER_SECONDS) -> http.client.HTTPConnection:
    """A connection to this very server, for several questions; it is not made again when it breaks. Raises OSError."""
    connection = http.client.HTTPConnection(access.url("http"), timeout=timeout)
    connection.connect()
    connection.auto_open = 0
    return connection


def ask(
    access: Access, path: str, timeout: float = _ANSWER_SECONDS, connection: http.client.HTTPConnection | None = None
) -> bytes:
    """The answer to a request for /v2/repository/PATH. Raises one of FAILURES for none, or one that is no success."""
    with nullcontext(connection) if connection else closing(connect(access, timeout)) as asked:
        asked.request("POST", f"/v2/repository/{path}", "", {OPERATOR: access.key})
        response = asked.getresponse()
        answer = response.read()
        if response.status != http.client.OK:
            raise OSError(f"{path}: {answer.decode(errors='replace')}")
        return answer
