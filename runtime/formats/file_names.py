"""Names in any script, as text and as paths.

Triton's Python processes take paths for ASCII, whatever the locale; bytes beyond it they carry through as halves of
characters (PEP 383). So the UTF-8 bytes of a name are handed to them as such, and read back from them.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path


def canonical(name: str) -> str:
    """The one form of a name that can be written with accents of its own or put together (NFC)."""
    return unicodedata.normalize("NFC", name)


def path_name(text: str) -> str:
    """A file's name as the system's calls take it. Raises UnicodeEncodeError for what is no text."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def text_name(path: str | Path) -> str:
    """What was given to `path_name`; bytes that are no UTF-8 are halves of characters."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def shown(path: str | Path) -> str:
    """A path in a message, which must be text."""
    return os.fsencode(path).decode("utf-8", "replace")
