"""What a served bundle must do, one check each: a name, a verdict, and the figures in a line."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from higgs_tts import GenerationParams, HiggsClient, Reference, Speech

from bench import parity
from bench.served import ServedBundle
from bench.serving import Level, measure
from bench.triton_models import metrics
from convert.checkpoint import Checkpoint
from serve import health

TEXT, WORDS = "Seams are where streams go wrong.", "A tone that glides."
GREEDY: dict[str, Any] = {
    "temperature": 0.0,
    "ras_window": 0,
    "first_chunk_seconds": 0.2,
    "max_chunk_seconds": 1.0,
    "runaway_guard": False,
}
# In standard deviations of the audio, against float32 in torch. ONNX Runtime adds up in another order; TensorRT may
# also choose Winograd's convolutions, whose rounding is ten times as large. At a deviation of 0.1, which is usual, a
# step of PCM16 is 3e-4.
AUDIO_TOLERANCE = {"onnxruntime": 1e-3, "tensorrt": 1e-2, "tensorrt-rtx": 1e-2}
SEAM_SAMPLES = 480  # on each side
CANCELLED = 20
_VANISHING = """
import sys, time
from higgs_tts import GenerationParams, HiggsClient
stream = HiggsClient(sys.argv[1]).stream("I will be gone soon.", params=GenerationParams(temperature=0.0, ras_window=0,
    max_seconds=100.0, first_chunk_seconds=0.2, max_chunk_seconds=0.5, runaway_guard=False))
next(stream)
print("speaking", flush=True)
time.sleep(60)
"""


@dataclass(frozen=True)
class Verdict:
    """One check's outcome. `passed` is None for what is only reported, because nothing was promised that could fail,
    and for what was `skipped`, because this machine cannot run it.
    """

    name: str
    passed: bool | None
    figures: str
    skipped: bool = False


@dataclass(frozen=True)
class Bench:
    """The server under test, what its bundle was made of (its manifest), and how much is asked of it."""

    server: ServedBundle
    manifest: dict[str, Any]
    checkpoint: Checkpoint
    seconds: float  # of audio of a compared generation
    streams: tuple[int, ...]  # levels of concurrency, the last is the most

    @property
    def precision(self) -> str:
        return str(self.manifest["limits"]["precision"])


def clip() -> np.ndarray:
    """Two seconds to imitate: a gliding tone with noise, float32 at 24 kHz."""
    seconds = np.arange(48000) / 24000
    noise = np.random.default_rng(0).standard_normal(48000) * 0.02
    return (0.3 * np.sin(2 * np.pi * (150 + 100 * seconds) * seconds) + noise).astype(np.float32)


def speaks(bench: Bench) -> Verdict:
    """The health check."""
    result = health.check(bench.server.grpc_url, bench.server.metrics_url, 60.0)
    return Verdict("health", result.well, result.reason)


def codes_and_audio(bench: Bench, cloned: bool) -> list[Verdict]:
    """Greedy codes against transformers' choices, and the stream of chunks against the full decode of those codes."""
    case = "with a clip" if cloned else "without a clip"
    options = GREEDY | {"max_seconds": bench.seconds}
    with HiggsClient(bench.server.grpc_url) as client:
        reference = Reference((clip(), 24000), WORDS) if cloned else None
        chunks = list(client.stream(TEXT, reference=reference, params=GenerationParams(**options)))
    spoken = parity.speak(bench.server.grpc_url, TEXT, options, (clip(), WORDS) if cloned else None)
    weight_error = float(bench.manifest["language_model"]["logits_error"]["maximum"])
    agreement = parity.compare(spoken, bench.checkpoint, bench.precision, weight_error)
    frames = spoken.codes.shape[1]
    verdicts = [Verdict(f"greedy codes, {case}", agreement.holds, f"{frames} frames: {agreement}")]

    codec = bench.manifest["codec"]
    audio = parity.full_decode(spoken.codes, codec["source"], codec["revision"])
    streamed = np.concatenate([chunk.samples for chunk in chunks])
    name = f"seam-free audio, {case}"
    if len(streamed) != len(audio):
        words = f"{len(streamed)} samples were streamed, {len(audio)} decoded: the same request spoke differently"
        return [*verdicts, Verdict(name, False, words)]
    deviation = float(audio.std())
    if not deviation:
        return [*verdicts, Verdict(name, False, "the decoded audio is silent, which would equal anything")]
    error = np.abs(streamed - audio) / deviation
    seams = [chunk.start_sample for chunk in chunks[1:]]
    worst = max((error[max(0, s - SEAM_SAMPLES) : s + SEAM_SAMPLES].max() for s in seams), default=0.0)
    tolerance = AUDIO_TOLERANCE[bench.manifest["limits"]["codec_engine"]]
    figures = f"{len(chunks)} chunks, off by {error.max():.1e}, at their {len(seams)} seams by {worst:.1e}"
    holds = bool(error.max() <= tolerance and len(seams) > 0)
    allowed = f"{tolerance:.0e} of the audio's deviation of {deviation:.2g} allowed"
    return [*verdicts, Verdict(name, holds, f"{figures} at most ({allowed})")]


def concurrency(bench: Bench) -> Verdict:
    """All streams complete, and where arithmetic does not depend on the batch, each is what it is alone."""
    streams = bench.streams[-1]

    def speak(client: HiggsClient, seed: int) -> Speech:
        params = GenerationParams(seed=seed, temperature=0.8, max_seconds=0.8 + 0.04 * (seed % 20), runaway_guard=False)
        return client.synthesize(f"Stream number {seed} says its own sentence.", params=params)

    with HiggsClient(bench.server.grpc_url) as client:
        alone = [speak(client, seed) for seed in range(streams)]
        with ThreadPoolExecutor(streams) as pool:
            together = list(pool.map(lambda seed: speak(client, seed), range(streams)))
    complete = sum(speech.finish_reason in ("stop", "length") and speech.seconds > 0 for speech in together)
    tolerance = AUDIO_TOLERANCE["onnxruntime"]
    same = sum(
        len(one.samples) == len(other.samples)
        and bool(np.abs(one.samples - other.samples).max(initial=0) <= tolerance * one.samples.std())
        for one, other in zip(alone, together, strict=True)
    )
    # In 16 bits and less, kernels of other batch sizes round otherwise, and a near-tie may fall the other way.
    exact = bench.precision == "fp32"
    passed = complete == streams and (same == streams or not exact)
    return Verdict(
        "concurrency", passed, f"{complete} of {streams} streams complete, {same} equal to their single runs"
    )


def cancelling(bench: Bench) -> Verdict:
    """Clients that cancel, and one that is killed, free their slots."""
    url, page = bench.server.grpc_url, bench.server.metrics_url
    long = GenerationParams(**GREEDY | {"max_seconds": 100.0})
    before = metrics(page)["higgs_cancelled_total"]
    with HiggsClient(url) as client:
        for _ in range(CANCELLED):
            with client.stream("Nobody will hear the end of this.", params=long) as stream:
                next(stream)
    vanishing = subprocess.Popen([sys.executable, "-c", _VANISHING, url], stdout=subprocess.PIPE, text=True)
    assert vanishing.stdout is not None
    spoke = vanishing.stdout.readline() == "speaking\n"
    vanishing.send_signal(signal.SIGKILL)
    vanishing.wait()
    killed = time.monotonic()

    def freed() -> bool:
        now = metrics(page)
        gone = now["higgs_cancelled_total"] - before
        return gone == CANCELLED + 1 and now["higgs_live_streams"] == 0 == now["higgs_waiting_requests"]

    passed = spoke and wait_for(freed, 10.0)
    gone = metrics(page)["higgs_cancelled_total"] - before
    figures = f"{gone:.0f} of {CANCELLED + 1} streams (the last one's client was killed) freed their slots"
    return Verdict("cancel", passed, f"{figures}, {time.monotonic() - killed:.1f} s later at the latest")


def speed(bench: Bench) -> list[Level]:
    """First audio, real-time factor and throughput at each level of concurrency."""
    with HiggsClient(bench.server.grpc_url) as client:
        measure(bench.server.metrics_url, client, 2)  # warm up
        return [measure(bench.server.metrics_url, client, streams) for streams in bench.streams]


def real_time(bench: Bench, levels: list[Level]) -> Verdict:
    """How many of the measured streams at once are spoken faster than they last. A GPU must manage one; a CPU is
    promised nothing, for the real model is too large for most."""
    fast = max((level.streams for level in levels if level.real_time_factor < 1), default=0)
    passed = fast >= 1 if bench.manifest["requires"]["gpu_architecture"] else None
    return Verdict("real time", passed, f"{fast} streams at once are faster than real time")


def stopping(bench: Bench) -> Verdict:
    """The server stops in order, and never had to restart a model."""
    restarts = sum("restarting" in line for line in bench.server.said)
    seconds, code = bench.server.stop()
    passed = code == 0 and restarts == 0
    return Verdict("clean stop", passed, f"stopped in {seconds:.1f} s with code {code}, after {restarts} restarts")


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
