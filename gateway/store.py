"""Where speech is kept beside being heard: a folder or a bucket, and the threads and the memory that this may take."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue

from gateway.copies import Copy
from gateway.encoding import Output, with_length
from gateway.errors import GatewayError
from gateway.meaning import Meant
from gateway.metrics import Metrics, Spoken
from gateway.models import DEFAULT_MODEL
from gateway.settings import Settings
from gateway.stored_names import Names

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0  # for which a request that fails is repeated
THREADS = 8
PATIENCE_SECONDS = 1.0
_FAILURES = ("failed", "full", "stopped")
_LAST_SECONDS = 0.5  # for uploads to be aborted, where no time is left


class Store:
    """Raises ValueError, with one sentence, for settings that cannot be, and InvalidRequestError for an address."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        try:
            # Nobody else loads what it needs, which takes a while.
            from higgs_tts.storage import MOST_SIGNED_SECONDS, Storage, size_of  # noqa: PLC0415
        except ImportError as error:
            raise ValueError(f"--store needs a package that is missing: {error.name}.") from None
        seconds = settings.store_url_seconds
        if seconds and not 1 <= seconds <= MOST_SIGNED_SECONDS:
            raise ValueError(f"--store-url-seconds is {seconds:g}; it is 0, or 1 to {MOST_SIGNED_SECONDS}.")
        if settings.store_bytes <= 0:
            raise ValueError(f"--store-bytes is {settings.store_bytes}; nothing could be stored; give more than 0.")
        assert settings.store is not None
        self.storage, self.size_of = Storage(settings.store, seconds=RETRY_SECONDS), size_of
        self.is_for_all = settings.store_rule == "all"
        self.signing, self.patience = Patience(), Patience()
        self._names, self._url_seconds, self._metrics = Names(settings.store_name), seconds, metrics
        self._room, self._lock = settings.store_bytes, threading.Lock()
        self._open = set[Copy]()
        self.uploads, self._signers = Threads("upload", THREADS), Threads("signer", 1)

    def begin(
        self,
        spoken: Spoken,
        meant: Meant,
        output: Output,
        speed: float,
        session: str | None,
        bundle: str,
        text: str | None = None,
    ) -> Copy:
        """A copy of what is about to be spoken. session: what it belongs to; None for its request. text: all of
        it, where that is known."""
        session = session or spoken.request_id
        values = {
            "session_id": session,
            "request_id": spoken.request_id,
            "format": output.name,
            "voice": meant.voice or meant.kind,
            "key": spoken.key or "none",
        }
        name = self._names.new(values)
        seed = meant.params.seed
        options = json.dumps(meant.params.to_options(), ensure_ascii=False)
        metadata = {
            "text-sha256": hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest() if text else "",
            "voice": meant.voice or "",
            "clip-sha256": meant.clip,
            "seed": "0" if seed is None else str(seed),
            "model": DEFAULT_MODEL,
            "bundle": bundle,
            "format": output.name,
            "sample-rate": str(output.sample_rate),
            "speed": f"{speed:g}",
            "request-id": spoken.request_id,
            "session-id": session,
            "options": options,
        }
        whole = with_length if output.name == "wav" else bytes
        copy = Copy(self, name, {key: value for key, value in metadata.items() if value}, whole, self._signed(name))
        if not copy.is_over:
            self._open.add(copy)
        return copy

    def take(self, nbytes: int) -> bool:
        """Take so many bytes of the memory for all copies, or give them back; False where there are not as many."""
        with self._lock:
            if nbytes > self._room:
                return False
            self._room -= nbytes
        self._metrics.store_waiting.inc(nbytes)
        return True

    def is_over(self, copy: Copy, outcome: str, why: str | None) -> None:
        """Note what became of a copy. why: a sentence, where it was not stored."""
        self._open.discard(copy)
        self._metrics.stored.labels(outcome).inc()
        if outcome in _FAILURES:
            told = (copy.metadata["request-id"], copy.name, why)
            logger.warning("The speech of request %s was not stored as %s: %s", *told)

    async def close(self, seconds: float) -> None:
        """Let what has ended arrive, for so long; the rest is given up."""
        until = time.monotonic() + max(seconds, _LAST_SECONDS)
        for copy in list(self._open):
            copy.leave()
        while self._open and time.monotonic() < until:
            await asyncio.sleep(0.02)
        for copy in list(self._open):
            copy.tell("stopped", "The gateway is being stopped.")
        self.uploads.end()
        self._signers.end()

    def _signed(self, name: str) -> Future[str | None] | None:
        """An address that opens the file; it may take as long as whoever gives the credentials."""
        if not self._url_seconds or not self.storage.is_bucket or self.signing.is_lost:
            return None
        url = Future[str | None]()

        def sign() -> None:
            try:
                url.set_result(self.storage.presigned(name, self._url_seconds))
            except Exception:  # the log says what is wrong when the upload fails, too
                url.set_result(None)

        self._signers.do(sign)
        return url


class Threads:
    """They do work in turn. They may hang for as long as a bucket does, and hold up no end."""

    def __init__(self, name: str, count: int) -> None:
        self._count, self._work = count, SimpleQueue[Callable[[], None] | None]()
        for _ in range(count):
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def do(self, work: Callable[[], None]) -> None:
        """Have one of them do it, when it is free."""
        self._work.put(work)

    def end(self) -> None:
        """Nothing more is to be done."""
        for _ in range(self._count):
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()


class Patience:
    """Waits a second for what should come at once. If it does not, the next ones wait for nothing until it has come."""

    def __init__(self) -> None:
        self._missed: Future[str | None] | None = None

    @property
    def is_lost(self) -> bool:
        """Whether something did not come and still has not."""
        return self._missed is not None and not self._missed.done()

    async def wait(self, future: Future[str | None]) -> bool:
        """Whether it has come."""
        if not future.done() and not self.is_lost:
            await asyncio.wait({asyncio.wrap_future(future)}, timeout=PATIENCE_SECONDS)
            self._missed = None if future.done() else future
        return future.done()


def wants(store: Store | None, asked: bool | None) -> Store | None:
    """The store, if a speech goes there. asked: whether the client wants it; None leaves it to the operator.

    Raises GatewayError where there is none.
    """
    if asked and store is None:
        raise GatewayError(400, "This gateway stores no speech; its operator says where, with --store.", "store")
    is_wanted = asked if asked is not None else store is not None and store.is_for_all
    return store if is_wanted else None
