"""`python -m tools.bench.growing_text`: when a growing text is heard first, and gaps in its sound."""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from higgs_tts import AudioChunk, GenerationParams, HiggsClient

from serve.triton import TritonServer
from tools.bench.player import starved_seconds
from tools.bench.report import table

PAIRS, STREAMS, TOGETHER = 20, 100, 8
WORDS_PER_SECOND = 20
_FIRST, _REST = "My name is Anna and I live in London.", "The train to London leaves on Monday. " * 4
ALLOWED_SECONDS = 0.05  # after the first sentence's last word, beyond what a whole text takes


def written(text: str) -> Iterator[str]:
    """The words, as fast as a language model writes them; the space comes with the next one."""
    started = time.monotonic()
    for number, word in enumerate(text.split()):
        time.sleep(max(0.0, started + (number + 1) / WORDS_PER_SECOND - time.monotonic()))
        yield f" {word}" if number else word


def first_sound(client: HiggsClient, seed: int) -> tuple[float, float]:
    """Seconds to the first sound of the first sentence, as a whole text; and of a text that begins with it, from the
    sentence's last word.
    """
    params = GenerationParams(seed=seed)
    whole = client.synthesize(_FIRST, params=params).time_to_first_audio or 0.0
    last_word = len(_FIRST.split()) / WORDS_PER_SECOND
    with client.stream(written(f"{_FIRST} {_REST}"), params=params) as stream:
        started = time.monotonic()
        while not len(next(stream).samples):
            pass
        return whole, time.monotonic() - started - last_word


def listened(url: str, count: int) -> list[float]:
    """Seconds without sound, between the first and the last, of so many growing texts, TOGETHER at a time."""
    waiting, starved = list(range(count)), []
    lock = threading.Lock()

    def listen() -> None:
        with HiggsClient(url) as client:
            while True:
                with lock:
                    if not waiting:
                        return
                    seed = waiting.pop()
                with client.stream(written(f"{_FIRST} {_REST}"), params=GenerationParams(seed=seed)) as stream:
                    chunks: list[AudioChunk] = list(stream)
                starved.append(starved_seconds(chunks))

    threads = [threading.Thread(target=listen) for _ in range(TOGETHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return starved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    arguments = parser.parse_args()
    with TritonServer(arguments.bundle) as server, HiggsClient(server.grpc_url) as client:
        first_sound(client, 0)
        pairs = [first_sound(client, seed) for seed in range(1, PAIRS + 1)]
        whole, growing = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
        starved = listened(server.grpc_url, STREAMS)
    rows = [
        (f"first sound of a whole text, median of {PAIRS}", f"{whole:.0f} ms"),
        (f"after the first sentence's last word, {WORDS_PER_SECOND} words a second", f"{growing:.0f} ms"),
        ("difference", f"{growing - whole:+.0f} ms, of {1000 * ALLOWED_SECONDS:.0f} allowed"),
        (
            f"{STREAMS} texts, {TOGETHER} at a time",
            f"{sum(seconds > 0 for seconds in starved)} ran dry, {max(starved):.2f} s at most",
        ),
    ]
    print(table(("text in pieces", ""), rows))


if __name__ == "__main__":
    main()
