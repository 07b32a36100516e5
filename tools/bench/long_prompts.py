"""`python -m tools.bench.long_prompts`: what running streams notice while others bring clips as long as they may be.

First of the engine alone, whose streams leave frame by frame: the longest wait between two columns, and how far behind
their listeners the streams fall, who have enough in store or too little. Then through Triton, where the clip is encoded
too: whether a listener's player, which plays while it receives, runs dry.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from higgs_tts import AudioChunk, GenerationParams, HiggsClient, Reference

from runtime.engine.types import AudioSegment, Pace, Prompt, Request, Segment, TextSegment
from runtime.formats.speech_plan import WindowPlan
from serve.triton import TritonServer
from tools.bench.contenders import FRAMES, PLAIN_TEXT_IDS, PROMPT_POSITIONS, SAMPLING, STREAMS, Served
from tools.bench.listening import listen
from tools.bench.player import starved_seconds
from tools.bench.report import table, write

RUNNING = (1, STREAMS)
LISTENERS = 4
LONG_FRAMES = 3000  # of those that run: more than are ever reached
SECONDS = 20.0
TEXT = "My name is Anna and I live in London. The train to London leaves on Monday."


@dataclass(frozen=True)
class Gaps:
    """Seconds between two columns of a stream: in the middle, the longest, how long they were watched, and how far a
    stream fell behind a listener who hears a column every `frame` seconds.
    """

    median: float
    longest: float
    seconds: float
    behind: float

    @classmethod
    def between(cls, arrivals: list[list[float]], begin: float, end: float, frame: float) -> Gaps:
        """Of those streams whose columns arrived then, what ended between `begin` and `end`."""
        gaps = [
            after - before
            for stream in arrivals
            for before, after in itertools.pairwise(stream)
            if begin <= after <= end
        ]
        watched = [[after for after in stream if begin <= after <= end] for stream in arrivals]
        behind = max(after - begin - frame * number for one in watched for number, after in enumerate(one, 1))
        return cls(statistics.median(gaps), max(gaps), end - begin, max(0.0, behind))


def beside_a_clip(served: Served, running: int, columns: int, hurried: bool) -> tuple[Gaps, Gaps]:
    """Of so many streams while nothing else happens, and while a clip of so many columns is read. hurried: their
    listeners have little in store.
    """
    served.engine.pace(Pace(hurried=hurried))
    random, layout = np.random.default_rng(running), served.layout
    arrivals: list[list[float]] = [[] for _ in range(running)]
    over = threading.Event()

    def request(name: str, segments: tuple[Segment, ...], frames: int) -> Request:
        return Request(name, Prompt(segments), SAMPLING, WindowPlan(1, 1.0, 1), frames, 600.0)

    def run(place: int) -> None:
        text = TextSegment(random.integers(0, PLAIN_TEXT_IDS, PROMPT_POSITIONS))
        for _ in listen(served.engine, request(f"runs {place} of {running}, {hurried}", (text,), LONG_FRAMES)):
            arrivals[place].append(time.perf_counter())
            if over.is_set():
                return

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(running)]
    for thread in threads:
        thread.start()

    def wait_for(columns: int) -> float:
        while min(map(len, arrivals)) < columns:
            if not all(thread.is_alive() for thread in threads):
                raise RuntimeError("a stream has ended; the engines' checkpoint must be one that never ends by itself")
            time.sleep(0.01)
        return time.perf_counter()

    begun = wait_for(FRAMES // 4)
    wait_for(FRAMES)
    codes = random.integers(0, layout.first_special_id, (columns, layout.num_codebooks))
    text = TextSegment(random.integers(0, PLAIN_TEXT_IDS, PROMPT_POSITIONS))
    submitted = time.perf_counter()
    next(listen(served.engine, request(f"reads beside {running}, {hurried}", (text, AudioSegment(codes)), 1)))
    spoken = time.perf_counter()
    over.set()
    for thread in threads:
        thread.join()
    frame = served.frame_seconds
    return Gaps.between(arrivals, begun, submitted, frame), Gaps.between(arrivals, submitted, spoken, frame)


class Listeners:
    """Clients that hear the same text again and again while the context is open, each with a player."""

    def __init__(self, url: str) -> None:
        self._url, self._over = url, threading.Event()
        self.starved: list[float] = []  # seconds, a stream
        self.longest_wait = 0.0  # between two chunks of a stream
        self._threads = [threading.Thread(target=self._listen, args=(seed,)) for seed in range(LISTENERS)]

    def __enter__(self) -> Listeners:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _listen(self, seed: int) -> None:
        with HiggsClient(self._url) as client:
            while not self._over.is_set():
                with client.stream(TEXT, params=GenerationParams(seed=seed)) as stream:
                    chunks: list[AudioChunk] = [chunk for chunk in stream if len(chunk.samples)]
                self.starved.append(starved_seconds(chunks))
                waits = [after.received_at - before.received_at for before, after in itertools.pairwise(chunks)]
                self.longest_wait = max(self.longest_wait, *waits, 0.0)


def clips(voices: Path, seconds: float) -> Iterator[Reference]:
    """Endless clips of that length, no two alike, so that none is known."""
    samples, rate = soundfile.read(next(iter(sorted(voices.glob("*.wav")))), dtype="float32")
    long = np.resize(samples, int(seconds * rate))
    for number in itertools.count():
        noise = np.random.default_rng(number).normal(0, 1e-4, len(long)).astype(np.float32)
        yield Reference((long + noise, rate), TEXT)


def through_triton(bundle: Path, voices: Path) -> list[tuple[str, ...]]:
    """What listeners notice without newcomers, with such that bring no clip, and with such that bring one."""
    limits = json.loads((bundle / "manifest.json").read_text())["limits"]
    unknown = clips(voices, limits["reference_max_seconds"])
    cases = {"nobody else": None, "newcomers without a clip": False, "each with an unknown clip": True}
    rows: list[tuple[str, ...]] = []
    with TritonServer(bundle) as server, HiggsClient(server.grpc_url) as client:
        for reference in (None, next(unknown)):  # warm up
            client.synthesize(TEXT, reference=reference)
        for name, brings in cases.items():
            first: list[float] = []
            with Listeners(server.grpc_url) as listeners:
                until = time.monotonic() + SECONDS
                while time.monotonic() < until:
                    if brings is None:
                        time.sleep(1.0)
                        continue
                    params = GenerationParams(seed=len(first), max_seconds=1.0)
                    heard = client.synthesize(TEXT, reference=next(unknown) if brings else None, params=params)
                    first.append(heard.time_to_first_audio or 0.0)
            rows.append(
                (
                    name,
                    f"{sum(seconds > 0 for seconds in listeners.starved)} of {len(listeners.starved)}",
                    f"{max(listeners.starved):.2f} s",
                    f"{listeners.longest_wait:.2f} s",
                    f"{statistics.median(first):.2f} s" if first else "",
                )
            )
    return rows


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.long_prompts", description=__doc__.split("\n")[0])
    parser.add_argument("--engines", type=Path, nargs="+", required=True, help="bundles whose engine runs alone")
    parser.add_argument("--bundle", type=Path, required=True, help="that speaks, for Triton")
    parser.add_argument("--voices", type=Path, required=True, help="folder of clips")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows, record = [], {}
    for bundle in options.engines:
        served = Served(bundle, options.threads)
        settings = json.loads((bundle / "manifest.json").read_text())
        columns = round(settings["limits"]["reference_max_seconds"] / served.frame_seconds)
        for running, hurried in itertools.product(RUNNING, (False, True)):
            alone, beside = beside_a_clip(served, running, columns, hurried)
            name = f"{bundle.name} x{running}, {'little' if hurried else 'enough'} in store"
            record[name] = {"alone": vars(alone), "beside": vars(beside)}
            times = (alone.median, beside.median, beside.longest, beside.behind)
            rows.append((name, *(f"{1000 * one:.0f} ms" for one in times), f"{beside.seconds:.2f} s"))
        served.close()
    header = ("running", "a column", "beside a clip", "slowest", "most behind", "until it speaks")
    print(table(header, rows))
    heard = through_triton(options.bundle, options.voices)
    columns = ("beside them", "streams starved", "longest in all", "longest between chunks", "first audio of newcomers")
    print(table(columns, heard))
    write(options.out, "long_prompts", {"engine": record, "listeners": heard})


if __name__ == "__main__":
    main()
