"""Speaks a manifest's items on servers: a thread for each item on its way, retries, a result for each."""

import queue
import random
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256

from ..audio import Reference
from ..client import HiggsClient, SpeechStream
from ..errors import AudioFormatError, HiggsError, ServerUnavailableError
from ..pcm import AudioFile
from ..speech import Speech
from .files import Files
from .manifest import Item, ReferenceFile, group_by_prefix
from .results import Failed, Output, Result, Spoken, file_sha256
from .servers import RETRIES, Server, Servers
from .throttle import back_off

LOSSES = 5  # servers that may go away under an item without its fault
UPLOADS = 64  # on their way at a time, beside the streams

Outcomes = queue.SimpleQueue[Result | Exception | None]


class Batch:
    """Speaks items into an output, as many at a time as the servers take.

    file_format: wav, flac, ogg or mp3. retries: further attempts for an item that failed. An overload refusal while
    other streams of this batch run does not count as the item's failure: it waits for one of them to end, and the
    batch runs fewer at once. Neither does a server that goes away while others answer.
    """

    def __init__(
        self,
        servers: Servers,
        output: Output,
        *,
        file_format: str = "wav",
        retries: int = RETRIES,
        files: Files | None = None,
    ) -> None:
        self._servers = servers
        self._output = output
        self._file_format = file_format
        self._retries = retries
        self._files = files or Files()
        self._live: set[SpeechStream] = set()
        self._threads: set[threading.Thread] = set()
        self._uploads = threading.BoundedSemaphore(UPLOADS)
        self._stopping = threading.Event()
        self._load_reference = lru_cache(maxsize=4)(self._reference)

    def file_name(self, item: Item) -> str:
        """The name of the item's audio file in the output."""
        return f"{item.id}.{self._file_format}"

    def pending(self, items: Sequence[Item]) -> list[Item]:
        """The items that are not done, in the order to speak them in.

        Items with the same voice and scene follow each other, so that the server finds the prefix of their
        prompts in its cache. Items that failed before come last: one that takes the server down must not
        block the others. Batches that share an output take an order of chance each, so that they seldom meet.
        """
        self._output.look({self.file_name(item): item for item in items})
        todo = [item for item in items if not self._output.done(item, self.file_name(item))]
        if self._output.is_shared:
            random.shuffle(todo)
        failed = [item for item in todo if self._output.latest(item) is not None]
        fresh = [item for item in todo if self._output.latest(item) is None]
        return group_by_prefix(fresh) + group_by_prefix(failed)

    def run(self, items: Sequence[Item]) -> Generator[Result | None, None, None]:
        """Speak the items in this order; yield the result of each, already kept, as it is finished.

        None stands for an item that another batch has spoken meanwhile.
        Closing the iterator early ends the streams under way on the servers and leaves their items undone.
        Raises OSError and StorageError when the output cannot be written, and ServerUnavailableError when no server
        is left: trying the next item would only fail again. Can be used once.
        """
        outcomes: Outcomes = queue.SimpleQueue()
        dispatcher = threading.Thread(target=self._hand_out, args=(items, outcomes), name="higgs-batch", daemon=True)
        try:
            dispatcher.start()
            for _ in items:
                outcome = outcomes.get()
                if isinstance(outcome, Exception):
                    raise outcome
                yield outcome
        finally:
            self._stop()
            if dispatcher.ident is not None:
                dispatcher.join()
            for thread in self._threads.copy():
                thread.join()

    def _hand_out(self, items: Sequence[Item], outcomes: Outcomes) -> None:
        """Give each item to a server as soon as one has room."""
        try:
            self._servers.start()
            for item in items:
                with self._uploads:  # a bucket that is slow holds the batch up, before it fills the disk
                    server = self._servers.acquire()
                if server is None:
                    outcomes.put(self._servers.gone)
                    return
                thread = threading.Thread(target=self._work, args=(item, server, outcomes), name=item.id, daemon=True)
                self._threads.add(thread)
                thread.start()
        except Exception as error:
            outcomes.put(error)

    def _work(self, item: Item, server: Server, outcomes: Outcomes) -> None:
        """Speak one item and keep the result."""
        try:
            result = self._finish(item, server)
            if result is not None:
                # By the thread that made it: an interrupt hits only the main thread and could come in between.
                with self._uploads:
                    result = self._output.append(result)
            outcomes.put(self._servers.gone or result)
        except Exception as error:
            outcomes.put(error)
        finally:
            self._threads.discard(threading.current_thread())

    def _finish(self, item: Item, server: Server | None) -> Result | None:
        """Try until the item is spoken or given up; None when another batch has spoken it, or this one stops.

        Raises StorageError where it cannot be known whether another has: no item is to blame for that.
        """
        attempts = failures = losses = 0
        while server is not None:
            try:
                if self._output.taken(item, self.file_name(item)):
                    return None
                began = time.monotonic()
                try:
                    spoken = self._speak(item, server.client, retries=attempts)
                except HiggsError as caught:
                    error = caught
                    is_to_blame = self._servers.failed(server, error, began)
                else:
                    self._servers.succeeded(server)
                    return spoken
            finally:
                self._servers.release(server)
            if self._stopping.is_set():
                return None
            failures += is_to_blame
            losses += not is_to_blame and isinstance(error, ServerUnavailableError)
            if (is_to_blame and not error.retryable) or failures > self._retries or losses > LOSSES:
                return Failed(item.id, item.content, type(error).__name__, str(error), retries=attempts)
            if is_to_blame:
                self._stopping.wait(back_off(failures))
            server = self._servers.acquire()
            attempts += 1
        if gone := self._servers.gone:
            return Failed(item.id, item.content, type(gone).__name__, str(gone), retries=attempts - 1)
        return None

    def _speak(self, item: Item, client: HiggsClient, *, retries: int) -> Spoken:
        """One attempt. Raises HiggsError; OSError when the file cannot be written."""
        bundle = client.bundle()
        reference = None if item.reference is None else self._load_reference(item.reference)
        name = self.file_name(item)
        # Nobody listens while the batch runs: parts that can be retried are worth more than early ones.
        params = item.params if item.params.hold_parts is not None else replace(item.params, hold_parts=True)
        chunks = []
        with AudioFile(self._output.folder / name, client.sample_rate) as file:
            stream = client.stream(item.text, voice=item.voice, reference=reference, params=params)
            with self._cancellable(stream):
                for chunk in stream:
                    file.write(chunk.samples)
                    chunks.append(chunk)
            speech = Speech.from_chunks(chunks, stream.started_at)
            if speech.finish_reason == "cancelled":
                raise HiggsError("The server cancelled the speech before its end.", code="cancelled")
        return Spoken(
            id=item.id,
            content=item.content,
            file=name,
            sha256=file_sha256(self._output.folder / name),
            seconds=speech.seconds,
            finish_reason=speech.finish_reason,
            seed=item.params.seed,
            time_to_first_audio=speech.time_to_first_audio,
            real_time_factor=speech.real_time_factor if speech.seconds else None,
            retries=retries,
            part_retries=speech.retries,
            bundle=bundle,
        )

    @contextmanager
    def _cancellable(self, stream: SpeechStream) -> Iterator[None]:
        """While inside, the stream ends with the batch."""
        self._live.add(stream)
        try:
            with stream:
                if self._stopping.is_set():
                    stream.cancel()
                yield
        finally:
            self._live.discard(stream)

    def _stop(self) -> None:
        self._stopping.set()
        self._servers.stop()
        for stream in self._live.copy():
            stream.cancel()

    def _reference(self, file: ReferenceFile) -> Reference:
        """The recording that the manifest's reader saw. Raises AudioFormatError when it has changed or is gone."""
        try:
            content = self._files.read(file.path)
        except OSError as error:
            raise AudioFormatError(f"Cannot read the reference {str(file.path)!r}: {error.strerror}.") from None
        if sha256(content).hexdigest() != file.sha256:
            raise AudioFormatError(f"The reference {str(file.path)!r} changed after the manifest was read.")
        return Reference(content, file.text)
