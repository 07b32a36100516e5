"""Request ids of streams: whoever knows one may control its stream, so only a long random one can be controlled."""

from __future__ import annotations

_SHORTEST_SECRET = 32  # characters, as many as a random UUID has


def is_secret(request_id: str) -> bool:
    """Whether an id is long enough to be known to its stream's owner only."""
    return len(request_id) >= _SHORTEST_SECRET
