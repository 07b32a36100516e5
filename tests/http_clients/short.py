"""Loaded by schemathesis: speeches that it makes up are short ones, unless they say how long they may be."""

from __future__ import annotations

from typing import Any

import schemathesis

SECONDS = 0.2


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Bounds the speech."""
    if isinstance(case.body, dict):
        case.body.setdefault("max_seconds", SECONDS)
