"""Signatures on what one model of a server writes for another, which no client can make.

Whoever reaches the server can address each of its models. Its launcher gives them a key that is new with each start,
and what travels from model to model is signed with it: HMAC-SHA256 over what it is, the request's id and every byte.
"""

from __future__ import annotations

import hmac
import os

import numpy as np

from runtime.formats.errors import InvalidRequestError

KEY_VARIABLE = "HIGGS_SIGNING_KEY"
_LENGTH = 64  # of a signature, in front of what it covers
_WRITERS = {"speech plan": "prompt", "clips": "prompt", "codes": "codec_encoder", "window": "lm"}

Piece = str | np.ndarray


class Seal:
    """Signs, and checks what was signed. Without a key everything is accepted as it is."""

    def __init__(self, key: str | None) -> None:
        self._keyed = hmac.new(key.encode(), digestmod="sha256") if key else None

    @classmethod
    def from_environment(cls) -> Seal:
        """With the key that the launcher gave to its models."""
        return cls(os.environ.get(KEY_VARIABLE))

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return self._keyed is not None

    def sealed(self, what: str, text: str, *pieces: Piece) -> str:
        """The text with a signature in front, which also covers what kind of thing it is and the pieces beside it."""
        return text if self._keyed is None else self._signature(what, text, pieces) + text

    def opened(self, what: str, sealed: str | None, *pieces: Piece) -> str:
        """The text that was sealed. Raises InvalidRequestError unless a model of this server has sealed it."""
        if self._keyed is None:
            return sealed or ""
        signature, text = (sealed or "")[:_LENGTH].encode(errors="replace"), (sealed or "")[_LENGTH:]
        if not hmac.compare_digest(signature, self._signature(what, text, pieces).encode()):
            raise InvalidRequestError(
                f"the {what} must be what {_WRITERS[what]} wrote; send requests to higgs_audio_v2 instead"
            )
        return text

    def _signature(self, what: str, text: str, pieces: tuple[Piece, ...]) -> str:
        assert self._keyed is not None
        signing = self._keyed.copy()
        for piece in (what, text, *pieces):
            content = piece.encode(errors="surrogatepass") if isinstance(piece, str) else piece.tobytes()
            signing.update(b"%d:" % len(content))  # so that no two lists of pieces are the same bytes
            signing.update(content)
        return signing.hexdigest()
