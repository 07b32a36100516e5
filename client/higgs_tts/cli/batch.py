"""Speaks a manifest's items on one server: streams in flight, retries, a result for each item."""

import queue
import random
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256

from ..audio import Reference
from ..client import HiggsClient, SpeechStream
from ..errors import AudioFormatError, HiggsError, OverloadedError, ServerUnavailableError
from ..pcm import AudioFile, remove_partials
from ..speech import Speech
from .manifest import Item, ReferenceFile, group_by_prefix
from .results import Failed, Result, Results, Spoken, file_sha256
from .throttle import Throttle

STREAMS = 16  # slots of the bundle's smallest target; more wait in the server's queue
RETRIES = 5
# Seconds before the first retry, doubled for each further one.
BACK_OFF = 0.5
MAX_BACK_OFF = 30.0


class Batch:
    """Speaks items into the folder of `results`, as many at a time as the server takes.

    file_format: wav, flac, ogg or mp3. streams: the most in flight at once. retries: further attempts for an
    item that failed. An overload refusal while other streams of this batch run does not count as the item's failure:
    the item waits for one of them to end, and the batch runs fewer at once.
    """

    def __init__(
        self,
        client: HiggsClient,
        results: Results,
        *,
        file_format: str = "wav",
        streams: int = STREAMS,
        retries: int = RETRIES,
    ) -> None:
        self._client = client
        self._results = results
        self._file_format = file_format
        self._streams = streams
        self._retries = retries
        self._throttle = Throttle(streams)
        self._live: set[SpeechStream] = set()
        self._stopping = threading.Event()
        self._load_reference = lru_cache(maxsize=4)(_load_reference)

    def file_name(self, item: Item) -> str:
        """The name of the item's audio file in the folder."""
        return f"{item.id}.{self._file_format}"

    def pending(self, items: Sequence[Item]) -> list[Item]:
        """The items that are not done, in the order to speak them in. Reads the audio files of the others.

        Removes any half-written files that a killed batch left.
        Items with the same voice and scene follow each other, so that the server finds the prefix of their
        prompts in its cache. Items that failed before come last: one that takes the server down must not
        block the others.
        """
        remove_partials(self._results.folder, {self.file_name(item) for item in items})
        todo = [item for item in items if not self._results.done(item, self.file_name(item))]
        failed = [item for item in todo if self._results.latest(item) is not None]
        fresh = [item for item in todo if self._results.latest(item) is None]
        return group_by_prefix(fresh) + group_by_prefix(failed)

    def run(self, items: Sequence[Item]) -> Generator[Result, None, None]:
        """Speak the items in this order; yield the result of each, already in the journal, as it is finished.

        Closing the iterator early ends the streams under way on the server and leaves their items undone.
        Raises OSError when the folder cannot be written, and ServerUnavailableError when no retry reached the
        server: trying the next item would only fail again. Can be used once.
        """
        todo: queue.SimpleQueue[Item] = queue.SimpleQueue()
        for item in items:
            todo.put(item)
        outcomes: queue.SimpleQueue[Result | Exception] = queue.SimpleQueue()
        workers = [
            threading.Thread(target=self._work, args=(todo, outcomes), name=f"higgs-batch-{index}", daemon=True)
            for index in range(min(self._streams, len(items)))
        ]
        try:
            for worker in workers:
                worker.start()
            for _ in items:
                outcome = outcomes.get()
                if isinstance(outcome, Exception):
                    raise outcome
                yield outcome
        finally:
            self._stop()
            for worker in workers:
                if worker.ident is not None:
                    worker.join()

    def _work(self, todo: "queue.SimpleQueue[Item]", outcomes: "queue.SimpleQueue[Result | Exception]") -> None:
        """Take one item after the other, until there is none or the batch stops."""
        try:
            while not self._stopping.is_set():
                try:
                    item = todo.get_nowait()
                except queue.Empty:
                    return
                result = self._finish(item)
                if result is None:
                    return
                # By the thread that made it: an interrupt hits only the main thread and could come in between.
                self._results.append(result)
                outcomes.put(result)
                if isinstance(result, Failed) and result.error == ServerUnavailableError.__name__:
                    outcomes.put(ServerUnavailableError(result.message))
                    return
        except Exception as error:
            outcomes.put(error)

    def _finish(self, item: Item) -> Result | None:
        """Try until the item is spoken or given up; None when the batch stops first."""
        attempts = failures = 0
        while self._throttle.acquire():
            try:
                spoken = self._speak(item, retries=attempts)
                self._throttle.succeeded()
                return spoken
            except HiggsError as caught:
                error = caught
                crowded = isinstance(error, OverloadedError) and self._throttle.refused()
            finally:
                self._throttle.release()
            if self._stopping.is_set():
                break
            if not crowded:
                failures += 1
                if not error.retryable or failures > self._retries:
                    return Failed(item.id, item.content, type(error).__name__, str(error), retries=attempts)
                self._stopping.wait(_back_off(failures))
            attempts += 1
        return None

    def _speak(self, item: Item, *, retries: int) -> Spoken:
        """One attempt. Raises HiggsError; OSError when the file cannot be written."""
        reference = None if item.reference is None else self._load_reference(item.reference)
        name = self.file_name(item)
        # Nobody listens while the batch runs: parts that can be retried are worth more than early ones.
        params = item.params if item.params.hold_parts is not None else replace(item.params, hold_parts=True)
        chunks = []
        with AudioFile(self._results.folder / name, self._client.sample_rate) as file:
            stream = self._client.stream(item.text, voice=item.voice, reference=reference, params=params)
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
            sha256=file_sha256(self._results.folder / name),
            seconds=speech.seconds,
            finish_reason=speech.finish_reason,
            seed=item.params.seed,
            time_to_first_audio=speech.time_to_first_audio,
            real_time_factor=speech.real_time_factor if speech.seconds else None,
            retries=retries,
            part_retries=speech.retries,
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
        self._throttle.stop()
        for stream in self._live.copy():
            stream.cancel()


def _back_off(failures: int) -> float:
    """Seconds to wait after so many failures in a row, shortened at random so that retries do not coincide."""
    return min(MAX_BACK_OFF, BACK_OFF * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)


def _load_reference(file: ReferenceFile) -> Reference:
    """The recording as it was when the manifest was read. Raises AudioFormatError when it is gone or has changed."""
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise AudioFormatError(f"Cannot read the reference {str(file.path)!r}: {error.strerror}.") from None
    if sha256(content).hexdigest() != file.sha256:
        raise AudioFormatError(f"The reference {str(file.path)!r} changed after the manifest was read.")
    return Reference(content, file.text)
