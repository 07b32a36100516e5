"""Decodes text: UTF-8, or UTF-16 with a byte order mark."""

import codecs

from ..errors import InvalidRequestError

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def plain_text(content: bytes, name: str) -> str:
    """The text, without its byte order mark. Raises InvalidRequestError, which names the text and the bad byte."""
    encoding = "utf-16" if content.startswith(UTF16) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"{name} is not {encoding.removesuffix('-sig').upper()}: byte {error.start} "
            f"(0x{error.object[error.start]:02x}) cannot be read; save it as UTF-8."
        ) from None
