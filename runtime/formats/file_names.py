"""Names in any script, as text and as paths.

Triton's Python processes treat paths as ASCII, whatever the locale, and carry other bytes through as surrogate escapes
(PEP 383). So they are handed the UTF-8 bytes of a name in that form, and names are read back from it.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path


def canonical(name: str) -> str:
    """The name in NFC: an accented letter can be one character or a letter plus a combining mark; this picks one."""
    return unicodedata.normalize("NFC", name)


def path_name(text: str) -> str:
    """A file name as system calls take it. Raises UnicodeEncodeError for a name that is not text."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def text_name(path: str | Path) -> str:
    """The inverse of `path_name`; bytes that are not UTF-8 become surrogate escapes."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def shown(path: str | Path) -> str:
    """A path in a message, which must be text."""
    return os.fsencode(path).decode("utf-8", "replace")
