"""Text on standard input: all of it, or, where it is still being written, its pieces as they come."""

import codecs
import os
import select
import time
from collections.abc import Iterator

from ..errors import InvalidRequestError
from .text_file import UTF16, plain_text

_NAME = "The text on standard input"
_AT_ONCE = 0.25  # seconds: a file that is piped in has ended by then
_MOST = 2**16  # bytes at a time


def piped_text(descriptor: int, whole: bool) -> str | Iterator[str]:
    """The text, if it ends at once, or is wanted whole; otherwise its pieces.

    Raises InvalidRequestError, also while iterating.
    """
    content, until = b"", time.monotonic() + _AT_ONCE
    while whole or select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
        piece = os.read(descriptor, _MOST)
        if not piece:
            return plain_text(content, _NAME)
        content += piece
    return _pieces(descriptor, content)


def _pieces(descriptor: int, content: bytes) -> Iterator[str]:
    while len(content) < len(codecs.BOM_UTF8) and (more := os.read(descriptor, _MOST)):
        content += more
    encoding = "utf-16" if content.startswith(UTF16) else "utf-8-sig"
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while content:
            yield decoder.decode(content)
            content = os.read(descriptor, _MOST)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{_NAME} is not {encoding.removesuffix('-sig').upper()}: {error.reason}.") from None
