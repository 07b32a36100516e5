"""What can go wrong while a server starts."""

from __future__ import annotations


class LaunchError(Exception):
    """The server cannot start or did not become ready; says what was found and what would be right."""


class DeviceError(LaunchError):
    """No GPU of this machine will do; says which ones there are and what is needed."""
