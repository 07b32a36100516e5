"""Triton's model repository API, which is shut to all but the launcher."""

from __future__ import annotations

import http.client

from serve.access import OPERATOR, Access

FAILURES = (OSError, http.client.HTTPException, ValueError)  # what `ask` raises, or reading its answer


def ask(access: Access, path: str, timeout: float = 5.0) -> bytes:
    """The answer to a request for /v2/repository/PATH. Raises one of FAILURES for none, or one that is no success."""
    connection = http.client.HTTPConnection(access.url("http"), timeout=timeout)
    try:
        connection.request("POST", f"/v2/repository/{path}", "", {OPERATOR: access.key})
        response = connection.getresponse()
        answer = response.read()
        if response.status != http.client.OK:
            raise OSError(f"{path}: {answer.decode(errors='replace')}")
        return answer
    finally:
        connection.close()
