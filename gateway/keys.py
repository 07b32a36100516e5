"""API keys: who may call, how often, and how many speeches at a time. The limits hold for each gateway by itself.

A file of keys is TOML; `python -m gateway.keys NAME` makes a key and prints its entry:

    [alice]
    sha256 = "…"                  # of the key, which is kept nowhere
    requests_per_minute = 120     # without it, as many as come
    streams = 4                   # speeches at a time; without it, any number
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import tomllib
from pydantic import BaseModel, Field, PositiveInt, ValidationError

from gateway.errors import GatewayError
from gateway.metrics import Spoken

logger = logging.getLogger(__name__)

_PREFIX = "hk-"
_LOOK_SECONDS = 2.0  # between two looks at the file


class _Entry(BaseModel, extra="forbid"):
    """What a file says of a key."""

    sha256: str = Field(pattern="^[0-9A-Fa-f]{64}$")
    requests_per_minute: PositiveInt | None = None
    streams: PositiveInt | None = None


@dataclass
class Key:
    """Somebody who may call. `tokens` is what is left of the minute's requests, and fills up again as it passes."""

    name: str
    requests_per_minute: int | None = None
    streams: int | None = None
    speaking: int = 0
    tokens: float = 0.0
    filled_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.tokens = self.requests_per_minute or 0

    def limit(self, other: Key) -> None:
        """Take the name and the limits of another one."""
        had_limit = self.requests_per_minute is not None
        self.name, self.requests_per_minute, self.streams = other.name, other.requests_per_minute, other.streams
        self.tokens = min(self.tokens, other.tokens) if had_limit else other.tokens

    def take(self) -> None:
        """Count a request. Raises GatewayError when there were too many."""
        if self.requests_per_minute is None:
            return
        now, per_second = time.monotonic(), self.requests_per_minute / 60
        self.tokens = min(self.requests_per_minute, self.tokens + (now - self.filled_at) * per_second)
        self.filled_at = now
        if self.tokens < 1:
            raise GatewayError(
                429,
                f"This key's limit of requests a minute is {self.requests_per_minute}.",
                code="rate_limit_exceeded",
                retry_after=(1 - self.tokens) / per_second,
            )
        self.tokens -= 1

    def begin_speech(self) -> None:
        """Count a speech as begun, which `end_speech` ends. Raises GatewayError when there are too many."""
        if self.streams is not None and self.speaking >= self.streams:
            raise GatewayError(
                429, f"This key's limit of speeches at a time is {self.streams}.", code="too_many_streams"
            )
        self.speaking += 1

    def end_speech(self) -> None:
        """A speech is over."""
        self.speaking -= 1


class Keys:
    """All keys, by their hashes; with none, anybody may call. A file that changes is read again.

    Raises ValueError with one sentence when the file is not a valid one.
    """

    def __init__(self, plain: tuple[str, ...], file: Path | None) -> None:
        self._keys = {_hash(key): Key(f"environment-{number}") for number, key in enumerate(plain, 1)}
        self._anybody = Key("anybody")
        self._file, self._from_file = file, dict[str, Key]()
        self._state, self._looked_at = _state(file), time.monotonic()
        if file is not None:
            self._from_file = _read(file)
        if not self._keys and self and not self._from_file:
            raise ValueError(f"{file} holds no keys; without --keys-file anybody may call.")

    def __bool__(self) -> bool:
        return bool(self._keys) or self._file is not None

    def owner(self, header: str | None) -> Key:
        """Who calls, by the request's Authorization header. Raises GatewayError when the caller may not."""
        if not self:
            return self._anybody
        self._look()
        scheme, _, given = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise GatewayError(401, "Send an API key: Authorization: Bearer KEY.", code="missing_api_key")
        digest = _hash(given.strip())
        key = self._from_file.get(digest) or self._keys.get(digest)
        if key is None:
            raise GatewayError(401, "There is no such API key.", code="invalid_api_key")
        return key

    def _look(self) -> None:
        """Read the file again, if it has changed; the keys of before hold while it is not valid. An empty one is."""
        now = time.monotonic()
        if self._file is None or now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at, before, self._state = now, self._state, _state(self._file)
        if self._state == before:
            return
        try:
            keys = _read(self._file)
        except ValueError as error:
            logger.warning("The API keys stay as they are: %s", error)
            return
        for digest, key in keys.items():
            if (known := self._from_file.get(digest)) is not None:  # who speaks now still counts
                known.limit(key)
                keys[digest] = known
        self._from_file = keys


class Caller:
    """Who is at the other end, once `identify` knows. spoken: told the key's name."""

    def __init__(self, keys: Keys, spoken: Spoken) -> None:
        self._keys, self._spoken = keys, spoken
        self.key: Key | None = None

    def identify(self, header: str | None) -> Key:
        """By an Authorization header, or what would be one; counts a request. Raises GatewayError."""
        key = self._keys.owner(header)
        self._spoken.key = key.name
        key.take()
        self.key = key
        return key


def _state(file: Path | None) -> tuple[int, ...]:
    """A stamp that changes with the file."""
    try:
        told = file.stat() if file else None
    except OSError:
        told = None
    return (told.st_mtime_ns, told.st_size, told.st_ino) if told else ()


def _read(file: Path) -> dict[str, Key]:
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read {file} ({error.strerror}).") from error
    except ValueError as error:
        raise ValueError(f"{file} is not TOML: {error}.") from error
    keys = {}
    for name, entry in entries.items():
        try:
            told = _Entry.model_validate(entry, strict=True)
        except ValidationError as error:
            fault = error.errors()[0]
            raise ValueError(f"{file}: {'.'.join([name, *map(str, fault['loc'])])}: {fault['msg']}.") from error
        keys[told.sha256.lower()] = Key(name, told.requests_per_minute, told.streams)
    return keys


def _hash(key: str) -> str:
    # Keys are random and long, so nobody guesses one from its hash, and no salt is needed.
    return hashlib.sha256(key.encode()).hexdigest()


def main() -> None:
    """Print a new key and its entry for the file."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m gateway.keys NAME")
    key = _PREFIX + secrets.token_urlsafe(32)
    print(f"key, shown only now: {key}\n", file=sys.stderr)
    print(f'[{json.dumps(sys.argv[1])}]\nsha256 = "{_hash(key)}"')


if __name__ == "__main__":
    main()
