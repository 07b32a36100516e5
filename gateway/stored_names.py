"""What stored speech is called: names after the operator's template, below the store's prefix, no two alike."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Mapping
from datetime import UTC, datetime

DEFAULT = "generated/{session_id}/{timestamp}.{format}"
FIELDS = ("session_id", "request_id", "timestamp", "date", "random", "format", "voice", "key")
_UNIQUE = {"timestamp", "random"}
_MOST_OF_VALUE = 64  # characters
_MOST_OF_PART, _MOST_OF_NAME = 200, 800  # bytes; folders take 255, and buckets 1,024 with the prefix
_STRANGE = re.compile(r"[^A-Za-z0-9._:@=-]")


class Names:
    """template: text with FIELDS in braces. Raises ValueError, with one sentence, for one that could not be used."""

    def __init__(self, template: str) -> None:
        try:
            pieces = list(string.Formatter().parse(template))
        except ValueError as error:
            raise ValueError(f"--store-name {template!r}: {error}.") from None
        fields = {field for _, field, _, _ in pieces if field is not None}
        for _, field, form, conversion in pieces:
            if field is not None and (field not in FIELDS or form or conversion):
                raise ValueError(f"--store-name {template!r} has {{{field}}}; there are {', '.join(FIELDS)}.")
        if not fields & _UNIQUE:
            raise ValueError(f"--store-name {template!r} needs {{timestamp}} or {{random}}: no name may come twice.")
        longest = template.format_map(dict.fromkeys(FIELDS, "x" * _MOST_OF_VALUE))
        if not longest.isprintable() or "\\" in longest or any(part in ("", ".", "..") for part in longest.split("/")):
            raise ValueError(
                f"--store-name {template!r} is no path below a prefix: no part of it may be empty, '.' or '..'."
            )
        if len(longest.encode()) > _MOST_OF_NAME or any(
            len(one.encode()) > _MOST_OF_PART for one in longest.split("/")
        ):
            raise ValueError(
                f"--store-name {template!r} may become too long: a value has up to {_MOST_OF_VALUE} characters, a part "
                f"of a path {_MOST_OF_PART} bytes, all of it {_MOST_OF_NAME}."
            )
        self._template = template

    def new(self, values: Mapping[str, str]) -> str:
        """A name that there was not before. values: of the fields, but for those of time and chance; anything."""
        now = datetime.now(UTC)
        own = {
            "timestamp": f"{now:%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(4)}",
            "date": f"{now:%Y-%m-%d}",
            "random": secrets.token_hex(8),
        }
        return self._template.format_map({name: _plain(value) for name, value in values.items()} | own)


def _plain(value: str) -> str:
    """The value as a piece of a path: it holds no separator and does not begin with a dot."""
    return _STRANGE.sub("_", value[:_MOST_OF_VALUE]).lstrip(".") or "_"
