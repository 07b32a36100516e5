"""Somebody who does nothing but listen, and notices whether anything is lost, late or different."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import numpy as np
from higgs_tts import AudioChunk, GenerationParams, HiggsClient, HiggsError, Speech

TEXT = "My name is Anna and I live in London. The train to London leaves on Monday."
PARAMS = GenerationParams(seed=5)


@dataclass
class Noticed:
    """Of some streams: how many ended whole and equal, what went wrong, and the longest wait for a next chunk.

    `turned_away`: heard nothing; `lost`: broke after some audio; `different`: ended, with other samples.
    """

    whole: int = 0
    turned_away: int = 0
    lost: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    longest_wait: float = 0.0


class Bystander(threading.Thread):
    """Streams one text again and again until stopped."""

    def __init__(self, url: str) -> None:
        super().__init__(name="bystander", daemon=True)
        self._url = url
        self._over, self._lock, self._noticed = threading.Event(), threading.Lock(), Noticed()
        self._expected = Speech.from_chunks(self._chunks(), 0.0)

    def run(self) -> None:
        while not self._over.is_set():
            self._listen()

    def take(self) -> Noticed:
        """What was noticed since the last call."""
        with self._lock:
            noticed, self._noticed = self._noticed, Noticed()
            return noticed

    def stop(self) -> None:
        """Returns when the last stream has ended."""
        self._over.set()
        self.join()

    def _listen(self) -> None:
        chunks: list[AudioChunk] = []
        try:
            self._chunks(chunks)
        except HiggsError as error:
            with self._lock:
                if chunks:
                    self._noticed.lost.append(f"{type(error).__name__}: {error}")
                else:
                    self._noticed.turned_away += 1
            time.sleep(0.2)
            return
        heard, expected = Speech.from_chunks(chunks, 0.0), self._expected
        with self._lock:
            if np.array_equal(heard.samples, expected.samples):
                self._noticed.whole += 1
            else:
                self._noticed.different.append(
                    f"{len(heard.samples)} samples for {len(expected.samples)}, {heard.finish_reason}, {heard.parts}"
                )

    def _chunks(self, chunks: list[AudioChunk] | None = None) -> list[AudioChunk]:
        """One stream's chunks, added to `chunks` as they come."""
        chunks = [] if chunks is None else chunks
        with HiggsClient(self._url) as client, client.stream(TEXT, params=PARAMS) as stream:
            last = time.monotonic()
            for chunk in stream:
                now = time.monotonic()
                with self._lock:
                    self._noticed.longest_wait = max(self._noticed.longest_wait, now - last)
                last = now
                chunks.append(chunk)
        return chunks
