"""Web and e-mail addresses, spelled as they are read out: "anna dot lee at example dot org"."""

from __future__ import annotations

import re

from runtime.text.readings.lexicon import LEXICONS
from runtime.text.readings.numerals import cardinal, digits

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)"
_PATH = r"(?:/[A-Za-z0-9._~-]*)*"
_DOMAINS = "com|org|net|edu|gov|info|io|co\\.uk|gouv\\.fr|com\\.cn|com\\.mx|com\\.ar|gob\\.es|gob\\.mx|ac\\.uk"
_WHOLE = re.compile(
    rf"(?:(https?)://)?({_HOST}+{_PATH})"  # a web address
    rf"|([A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?)@({_HOST}+)"
)
_RUN = re.compile(r"[!-~]+")
_KNOWN = re.compile(rf"://|^www\.|@|^[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.(?:{_DOMAINS})(?:/|$)")
_MAY_HOLD = re.compile(rf"://|@|www\.|\.(?:{_DOMAINS})")
_HINT = re.compile(r"[@/.]")
_LONGEST = 100
_BRACKETS = re.compile(r"""^[("'\[<]+|[)"'\],.;:!?>]+$""")


def split_addresses(text: str, language: str) -> list[tuple[str, bool]]:
    """The text in pieces, each with whether it is an address; one that is not read whole stays as it is."""
    if not _MAY_HOLD.search(text):
        return [(text, False)]
    pieces: list[tuple[str, bool]] = []
    plain_from = 0
    for run in _RUN.finditer(text):
        written = run[0]
        if not _HINT.search(written) or not _KNOWN.search(_BRACKETS.sub("", written)):
            continue
        start = run.start()
        pieces.append((text[plain_from:start], False))
        pieces.append((_spoken(written, language), True))
        plain_from = run.end()
    pieces.append((text[plain_from:], False))
    return pieces


def _spoken(run: str, language: str) -> str:
    address = _BRACKETS.sub("", run)
    before, _, behind = run.partition(address)
    match = _WHOLE.fullmatch(address) if len(address) <= _LONGEST else None
    if not match or "//" in address.replace("://", ""):
        return run
    words = LEXICONS[language]
    said = []
    for part in re.findall(r"[A-Za-z]+|[0-9]+|[^A-Za-z0-9]", address.rstrip("/")):
        if part.isdigit():
            said.append(cardinal(int(part), language) if len(part) < 3 and part[0] != "0" else digits(part, language))
        else:
            said.append(words.address.get(part, part))
    return f"{before}{' '.join(said)}{behind}"
