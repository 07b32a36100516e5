"""One speech on its way to the store, beside its way to the listener, who never waits for it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from higgs_tts import HiggsError

if TYPE_CHECKING:
    from gateway.store import Store

logger = logging.getLogger(__name__)

PIECE = 8 << 20  # bytes; with more than these, a copy sets out before its speech has ended
_MOST_WAITING = 4 * PIECE  # of one copy
_MOST_LEFT = 2 * PIECE  # of what has left, that may still be in memory: a piece on its way, and the next one's bytes
_OVERHEAD = 16 << 10  # bytes that a copy takes beside the sound
_MOST_METADATA = 1900  # bytes; S3 takes 2,048
MORE = ".json"  # behind a name: the file that holds all metadata, where the object has not all of them
_GOING, _ENDED, _DROPPED = range(3)
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class Copy:
    """Its methods but `_work` are called on the loop. name: in the store. metadata: what is known at the beginning.

    whole: what a file is made into of which no part has left when all of it is there.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        metadata: dict[str, str],
        whole: Callable[[bytes], bytes],
        url: Future[str | None] | None,
    ) -> None:
        self.name, self.metadata = name, metadata
        # Of a folder, clients learn no more than the name.
        self.address = quote(store.storage.address_of(name) if store.storage.is_bucket else name, safe=_ASCII)
        self._store, self._whole, self._url = store, whole, url
        self._outcome = Future[str | None]()  # a sentence, where it was not stored
        self._lock = threading.Lock()
        self._parts: list[bytes] = []
        self._state, self._is_at_work, self._is_told = _GOING, False, False
        self._waiting = self._held = 0  # bytes in `_parts`; bytes of the store's memory that are taken
        self._file: Any = None  # once a piece has left
        with self._lock:
            has_room = self._take(_OVERHEAD)
        if not has_room:
            self._give_up_for_room()

    @property
    def is_over(self) -> bool:
        """Whether it is known what became of it."""
        return self._outcome.done()

    def add(self, data: bytes) -> None:
        """More of the sound."""
        with self._lock:
            if self._state != _GOING or not data:
                return
            if has_room := self._waiting <= _MOST_WAITING and self._take(len(data)):
                self._parts.append(data)
                self._waiting += len(data)
                if self._waiting > PIECE:
                    self._begin_work()
        if not has_room:
            self._give_up_for_room()

    def end(self, about: Mapping[str, str]) -> None:
        """That was all. about: what else is known of it now."""
        with self._lock:
            if self._state == _GOING and self._held > _OVERHEAD:
                self.metadata = {**about, **self.metadata}
                self._state = _ENDED
                self._begin_work()
        self.drop("dropped", "There was no sound to be stored.")

    def drop(self, outcome: str, why: str, detail: str | None = None) -> None:
        """It is not to be stored, unless it has ended. outcome: as metrics call it. why, detail: as in `tell`."""
        with self._lock:
            if self._state != _GOING:
                return
            self._state = _DROPPED
            self._forget()
        self.tell(outcome, why, detail)
        with self._lock:
            if self._file is not None:
                self._begin_work()
            elif not self._is_at_work:
                self._let_go(0)

    def leave(self) -> None:
        """Nobody hears it to its end."""
        self.drop("dropped", "The speech was not heard to its end.")

    def tell(self, outcome: str, why: str | None = None, detail: str | None = None) -> None:
        """What became of it; the first word counts. detail: for the log, where the client's sentence says less."""
        with self._lock:
            if self._is_told:
                return
            self._is_told = True
        self._store.is_over(self, outcome, detail or why)
        self._outcome.set_result(why)

    async def headers(self) -> dict[str, str]:
        """Where it will be."""
        url = await self._link()
        return {"x-stored": self.address} | ({"x-stored-url": url} if url else {})

    async def word(self) -> dict[str, Any]:
        """What is said of it at the end, when it can be known within a second."""
        is_over = await self._store.patience.wait(self._outcome)
        why = self._outcome.result() if is_over else "The store has not answered yet."
        about = {"stored": why is None, "stored_address": self.address}
        url = await self._link()
        return about | ({"stored_url": url} if url else {}) | ({"stored_error": why} if why else {})

    async def last_headers(self) -> dict[str, str]:
        """The same as headers of a whole answer."""
        word = await self.word()
        why = {"x-stored-error": word["stored_error"]} if "stored_error" in word else {}
        return {"x-was-stored": str(word["stored"]).lower()} | why

    async def _link(self) -> str | None:
        return self._url.result() if self._url and await self._store.signing.wait(self._url) else None

    def _take(self, nbytes: int) -> bool:
        """Take memory of the store's. Called with the lock."""
        if has_room := self._store.take(nbytes):
            self._held += nbytes
        return has_room

    def _let_go(self, left: int) -> None:
        """Take no more of the store's memory than so many bytes, and what waits. Called with the lock."""
        excess = max(0, self._held - self._waiting - left)
        self._held -= excess
        self._store.take(-excess)

    def _forget(self) -> None:
        """What waits goes nowhere. Called with the lock."""
        self._parts, nbytes, self._waiting = [], self._waiting, 0
        self._held -= nbytes
        self._store.take(-nbytes)

    def _give_up_for_room(self) -> None:
        self.drop("full", "Too much waits for the store already.")

    def _begin_work(self) -> None:
        """Have a thread take care of it, if none does. Called with the lock."""
        if not self._is_at_work:
            self._is_at_work = True
            self._store.uploads.do(self._work)

    def _work(self) -> None:
        """In one thread of the store at a time: send what has come."""
        while True:
            with self._lock:
                parts, state = self._parts, self._state
                if not parts and state == _GOING:
                    self._is_at_work = False
                    return
                self._parts, self._waiting = [], 0
            if state == _DROPPED:  # somebody has told why
                self._undo(None)
                return
            try:
                self._send(parts, state == _ENDED)
            except Exception as error:
                self._undo(error)
                return
            with self._lock:
                self._let_go(0 if state == _ENDED else _OVERHEAD + _MOST_LEFT)
            if state == _ENDED:
                self.tell("stored")
                return

    def _send(self, parts: list[bytes], is_last: bool) -> None:
        """Which leaves nothing in `parts`: so much memory is not taken twice."""
        storage, is_whole = self._store.storage, self._file is None and is_last
        metadata = self._fitting()
        if len(metadata) < len(self.metadata) or not is_whole:
            metadata["more"] = self.name.rpartition("/")[2] + MORE
        if is_last and "more" in metadata:
            everything = json.dumps(self.metadata, ensure_ascii=False, indent=1)
            storage.write(self.name + MORE, everything.encode())
        if is_whole:
            data = b"".join(parts)
            parts.clear()
            storage.write(self.name, self._whole(data), metadata)
            return
        if self._file is None:
            self._file = storage.growing(self.name, metadata, ahead=1)
        parts.reverse()
        while parts:
            self._file.write(parts.pop())
        if is_last:
            self._file.__exit__(None, None, None)

    def _fitting(self) -> dict[str, str]:
        """As many of the metadata as an object takes, the first ones first."""
        fitting: dict[str, str] = {}
        room = _MOST_METADATA - self._store.size_of({"more": self.name + MORE})
        for name, value in self.metadata.items():
            room_left = room - self._store.size_of({name: value})
            if room_left >= 0:
                fitting[name], room = value, room_left
        return fitting

    def _undo(self, error: Exception | None) -> None:
        """Nothing of it is kept, and nobody works on it any more. error: why, where nobody has told it yet."""
        if self._file is not None:
            reason = error or InterruptedError()
            try:
                self._file.__exit__(type(reason), reason, None)
            except Exception as second:
                logger.warning("Pieces of %s may be left in the store: %s", self.name, second)
        with self._lock:
            self._state, self._file = _DROPPED, None
            self._forget()
            self._let_go(0)
        if error is None:
            return
        if not isinstance(error, (HiggsError, OSError)):
            logger.error("A speech could not be stored.", exc_info=error)
        self.tell("failed", "The store could not be reached or used; the gateway's log says why.", str(error))
