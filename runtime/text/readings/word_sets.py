"""Lists of words as they are written down: one string, a space between two; long ones in a file beside the code."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import tomllib


def words(listed: str) -> frozenset[str]:
    """The words of a list, in the case that `str.casefold` gives them."""
    return frozenset(listed.casefold().split())


def listed(file: Path, name: str) -> frozenset[str]:
    """The words of a list in a TOML file, which is an array of such strings."""
    return words(" ".join(_tables(file)[name]))


@cache
def _tables(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text("utf-8"))
