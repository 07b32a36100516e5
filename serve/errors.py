"""What can go wrong while a server starts."""

from __future__ import annotations


class LaunchError(Exception):
    """The server cannot start or did not become ready; the message says what was found and what would be right."""


class DeviceError(LaunchError):
    """No GPU of this machine fits; the message says which GPUs there are and what is needed."""
