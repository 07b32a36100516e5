"""Addresses of buckets, for whoever may lack the packages of the extra `storage`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import InvalidRequestError

if TYPE_CHECKING:
    from .storage import Storage


def is_address(word: str) -> bool:
    """Whether it names a bucket (or a folder, as file://…) rather than a path."""
    return "://" in word


def open_storage(address: str, *, seconds: float | None = None) -> Storage:
    """The storage at an address, as `Storage`. Raises InvalidRequestError, also where its packages are missing."""
    try:
        from .storage import RETRY_SECONDS, Storage  # noqa: PLC0415  (others do without its packages)
    except ImportError:
        raise InvalidRequestError(f"{address} needs: pip install 'higgs-tts-client[storage]'") from None
    return Storage(address, seconds=RETRY_SECONDS if seconds is None else seconds)
