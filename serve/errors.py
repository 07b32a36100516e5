"""What can go wrong while a server starts."""

from __future__ import annotations


class LaunchError(Exception):
    """The server cannot start or did not become ready; says what was found and what would be right."""
