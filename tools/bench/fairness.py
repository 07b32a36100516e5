"""`python -m tools.bench.fairness`: a short request's first audio beside long streams, and what it costs them."""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from pathlib import Path

from higgs_tts import GenerationParams, HiggsClient

from serve.triton import TritonServer
from tools.bench.report import table

LONG_STREAMS = (0, 6, 14)
SECONDS = 20.0
_SHORT, _LONG = "Hello there.", "My name is Anna and I live in London. The train to London leaves on Monday. " * 60
_BEGINNING_SECONDS, _PAUSE_SECONDS = 5.0, 1.0
_STALLED_SECONDS = 300.0


class LongStreams:
    """So many clients that listen to long speeches, while the context is open."""

    def __init__(self, url: str, count: int) -> None:
        self._stop, self._heard = threading.Event(), [0.0] * count
        self._threads = [threading.Thread(target=self._listen, args=(url, number)) for number in range(count)]

    @property
    def heard(self) -> float:
        """Seconds of audio, of all of them."""
        return sum(self._heard)

    def __enter__(self) -> LongStreams:
        for thread in self._threads:
            thread.start()
        time.sleep(_BEGINNING_SECONDS if self._threads else 0.0)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _listen(self, url: str, number: int) -> None:
        params = GenerationParams(seed=number)
        with (
            HiggsClient(url, chunk_timeout=_STALLED_SECONDS, first_chunk_timeout=_STALLED_SECONDS) as client,
            client.stream(_LONG, params=params) as stream,
        ):
            for chunk in stream:
                self._heard[number] += len(chunk.samples) / chunk.sample_rate
                if self._stop.is_set():
                    return


def short_requests(url: str, seconds: float) -> tuple[list[float], float]:
    """Short requests, one after another for so long: seconds to the first audio of each, seconds of audio of all."""
    times: list[float] = []
    heard = 0.0
    until = time.monotonic() + seconds
    with HiggsClient(url, first_chunk_timeout=_STALLED_SECONDS) as client:
        while time.monotonic() < until:
            speech = client.synthesize(_SHORT, params=GenerationParams(seed=len(times), max_seconds=1.0))
            times.append(speech.time_to_first_audio or 0.0)
            heard += speech.seconds
            time.sleep(_PAUSE_SECONDS)
    return times, heard


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.fairness", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    options = parser.parse_args(arguments)
    rows = []
    for count in LONG_STREAMS:
        with TritonServer(options.bundle) as server, LongStreams(server.grpc_url, count) as streams:
            short_requests(server.grpc_url, 0.1)  # warms up
            before, started = streams.heard, time.monotonic()
            time.sleep(SECONDS if count else 0.0)
            alone = (streams.heard - before) / (time.monotonic() - started)
            before, started = streams.heard, time.monotonic()
            times, heard = short_requests(server.grpc_url, SECONDS)
            beside = (streams.heard - before + heard) / (time.monotonic() - started)
        paces = (f"{alone:.1f}", f"{beside:.1f}") if count else ("", "")
        rows.append((str(count), f"{statistics.median(times):.2f} s", f"{max(times):.2f} s", *paces))
    columns = ("long streams", "first audio, median", "slowest", "audio s/s without it", "with it")
    print(table(columns, rows))


if __name__ == "__main__":
    main()
