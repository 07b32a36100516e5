"""Refusals of the stages around the language model. The class name travels in the message to the client."""

from __future__ import annotations


class RequestError(Exception):
    """Base of every error that one request causes."""


class InvalidRequestError(RequestError):
    """A value of the request is missing, of the wrong kind, or out of range."""


class AudioFormatError(RequestError):
    """The reference audio cannot be used: not finite, silent, too short or too long."""


class AudioTokenizationError(RequestError):
    """The codec could not turn reference audio into codes, or codes into audio."""


class StateError(RequestError):
    """Nothing can be kept: the server has no state folder, or its disk refuses."""


class ModelLoadingError(RequestError):
    """A file of the bundle is missing or unreadable."""


def sentence(error: Exception) -> str:
    """What the client reads: the class, then what was wrong."""
    return f"{type(error).__name__}: {error}"
