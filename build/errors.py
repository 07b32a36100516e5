"""What can go wrong while a bundle is built."""

from __future__ import annotations


class BuildError(Exception):
    """The bundle cannot be built; the message says what was found and what would be right."""
