"""What a served bundle must do. The report has a line for each test: its name, and the figures it recorded."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from higgs_tts import GenerationParams, HiggsClient, Reference, Speech

from convert.checkpoint import Checkpoint
from serve import health
from tests.acceptance import parity
from tests.acceptance.report import FIGURES, LEVELS
from tests.acceptance.served import ServedBundle, gpu_bytes
from tools.bench.metrics import metrics
from tools.bench.serving import Level, measure

Record = Callable[[str, object], None]

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
ENDLESS = "Nobody will hear the end of this. " * 40  # it must outlast the way of a cancel, on the fastest GPU too
_VANISHING = """
import sys, time
from higgs_tts import GenerationParams, HiggsClient
stream = HiggsClient(sys.argv[1]).stream(sys.argv[2], params=GenerationParams(temperature=0.0, ras_window=0,
    max_seconds=100.0, first_chunk_seconds=0.2, max_chunk_seconds=0.5, runaway_guard=False))
next(stream)
print("speaking", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module", params=[False, True], ids=["without a clip", "with a clip"])
def reference(request: pytest.FixtureRequest, clip: np.ndarray) -> Reference | None:
    """Whom to imitate."""
    return Reference((clip, 24000), WORDS) if request.param else None


@pytest.fixture(scope="module")
def spoken(server: ServedBundle, reference: Reference | None, clip: np.ndarray, seconds: float) -> parity.Spoken:
    """A greedy generation out of the server's models, one after another."""
    options = GREEDY | {"max_seconds": seconds}
    return parity.speak(server.grpc_url, TEXT, options, (clip, WORDS) if reference else None)


@pytest.fixture(scope="module")
def levels(server: ServedBundle, streams: tuple[int, ...]) -> list[Level]:
    """First audio, real-time factor and throughput at each level of concurrency."""
    with HiggsClient(server.grpc_url) as client:
        measure(server.metrics_url, client, 2)  # warm up
        return [measure(server.metrics_url, client, level) for level in streams]


def test_serve(server: ServedBundle, record_property: Record) -> None:
    """The launcher says that the bundle is ready."""
    record_property(FIGURES, f"ready after {server.start_seconds:.1f} s")


def test_health(server: ServedBundle, record_property: Record) -> None:
    """The health check has it speak."""
    result = health.check(server.grpc_url, server.metrics_url, 60.0)
    record_property(FIGURES, result.reason)
    assert result.well


def test_greedy_codes(
    spoken: parity.Spoken, checkpoint: Checkpoint, manifest: dict[str, Any], record_property: Record
) -> None:
    """Each code is transformers' choice, or a near-tie no wider than the engine's arithmetic explains."""
    weight_error = float(manifest["language_model"]["logits_error"]["maximum"])
    agreement = parity.compare(spoken, checkpoint, manifest["limits"]["precision"], weight_error)
    record_property(FIGURES, f"{spoken.codes.shape[1]} frames: {agreement}")
    assert agreement.holds


def test_seam_free_audio(
    server: ServedBundle,
    spoken: parity.Spoken,
    reference: Reference | None,
    manifest: dict[str, Any],
    seconds: float,
    record_property: Record,
) -> None:
    """The stream of chunks is transformers' full decode of the same codes."""
    with HiggsClient(server.grpc_url) as client:
        params = GenerationParams(**GREEDY | {"max_seconds": seconds})
        chunks = list(client.stream(TEXT, reference=reference, params=params))
    audio = parity.full_decode(spoken.codes, manifest["codec"]["source"], manifest["codec"]["revision"])
    streamed = np.concatenate([chunk.samples for chunk in chunks])
    lengths = f"{len(streamed)} samples were streamed, {len(audio)} decoded"
    assert len(streamed) == len(audio), f"{lengths}: the same request spoke differently"
    deviation = float(audio.std())
    assert deviation, "the decoded audio is silent, which would equal anything"
    error = np.abs(streamed - audio) / deviation
    seams = [chunk.start_sample for chunk in chunks[1:]]
    worst = max((error[max(0, s - SEAM_SAMPLES) : s + SEAM_SAMPLES].max() for s in seams), default=0.0)
    tolerance = AUDIO_TOLERANCE[manifest["limits"]["codec_engine"]]
    figures = f"{len(chunks)} chunks, off by {error.max():.1e}, at their {len(seams)} seams by {worst:.1e} at most"
    record_property(FIGURES, f"{figures} ({tolerance:.0e} of the audio's deviation of {deviation:.2g} allowed)")
    assert error.max() <= tolerance
    assert seams


def test_concurrency(
    server: ServedBundle, manifest: dict[str, Any], streams: tuple[int, ...], record_property: Record
) -> None:
    """All streams complete, and where arithmetic does not depend on the batch, each is what it is alone."""
    most = streams[-1]

    def speak(client: HiggsClient, seed: int) -> Speech:
        params = GenerationParams(seed=seed, temperature=0.8, max_seconds=0.8 + 0.04 * (seed % 20), runaway_guard=False)
        return client.synthesize(f"Stream number {seed} says its own sentence.", params=params)

    with HiggsClient(server.grpc_url) as client:
        alone = [speak(client, seed) for seed in range(most)]
        with ThreadPoolExecutor(most) as pool:
            together = list(pool.map(lambda seed: speak(client, seed), range(most)))
    complete = sum(speech.finish_reason in ("stop", "length") and speech.seconds > 0 for speech in together)
    tolerance = AUDIO_TOLERANCE["onnxruntime"]
    same = sum(
        len(one.samples) == len(other.samples)
        and bool(np.abs(one.samples - other.samples).max(initial=0) <= tolerance * one.samples.std())
        for one, other in zip(alone, together, strict=True)
    )
    record_property(FIGURES, f"{complete} of {most} streams complete, {same} equal to their single runs")
    assert complete == most
    # In 16 bits and less, kernels of other batch sizes round otherwise, and a near-tie may fall the other way.
    assert same == most or manifest["limits"]["precision"] != "fp32"


def test_cancel(server: ServedBundle, record_property: Record) -> None:
    """Clients that cancel, and one that is killed, free their slots."""
    url, page = server.grpc_url, server.metrics_url
    long = GenerationParams(**GREEDY | {"max_seconds": 100.0})
    before = metrics(page)["higgs_cancelled_total"]
    with HiggsClient(url) as client:
        for _ in range(CANCELLED):
            with client.stream(ENDLESS, params=long) as stream:
                next(stream)
    command = [sys.executable, "-c", _VANISHING, url, ENDLESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as vanishing:
        assert vanishing.stdout is not None
        spoke = vanishing.stdout.readline() == "speaking\n"
        vanishing.kill()
    killed = time.monotonic()

    def freed(now: dict[str, float]) -> bool:
        gone = now["higgs_cancelled_total"] - before
        return gone == CANCELLED + 1 and now["higgs_live_streams"] == 0 == now["higgs_waiting_requests"]

    while not freed(now := metrics(page)) and time.monotonic() < killed + 10.0:
        time.sleep(0.05)
    gone = now["higgs_cancelled_total"] - before
    figures = f"{gone:.0f} of {CANCELLED + 1} streams (the last one's client was killed) freed their slots"
    record_property(FIGURES, f"{figures}, {time.monotonic() - killed:.1f} s later at the latest")
    assert spoke
    assert freed(now)


def test_real_time(levels: list[Level], manifest: dict[str, Any], record_property: Record) -> None:
    """One stream at least is spoken faster than it lasts."""
    record_property(LEVELS, levels)
    fast = max((level.streams for level in levels if level.real_time_factor < 1), default=0)
    record_property(FIGURES, f"{fast} streams at once are faster than real time")
    if not manifest["requires"]["gpu_architecture"]:
        pytest.skip("only measured: the real model is too large for most CPUs")
    assert fast >= 1


def test_memory(
    server: ServedBundle, manifest: dict[str, Any], gpu_bytes_before: dict[str, int], record_property: Record
) -> None:
    """The server takes no more of a GPU's memory than its manifest asks for."""
    figures = f"{server.memory_bytes() / 2**30:.2f} GiB of host memory"
    promised = manifest["requires"]["gpu_memory_bytes"]
    if promised is None:
        record_property(FIGURES, figures)
        pytest.skip("only measured: of host memory nothing was promised")
    taken = max((used - gpu_bytes_before.get(uuid, 0) for uuid, used in gpu_bytes().items()), default=0)
    figures += f", {taken / 2**30:.2f} of the {promised / 2**30:.2f} GiB of GPU memory that the manifest asks for"
    record_property(FIGURES, figures)
    assert 0 < taken <= promised


def test_clean_stop(server: ServedBundle, record_property: Record) -> None:
    """The server stops in order, and never had to restart a model. The last check, for there is no server behind it."""
    restarts = sum("restarting" in line for line in server.said)
    seconds, code = server.stop()
    record_property(FIGURES, f"stopped in {seconds:.1f} s with code {code}, after {restarts} restarts")
    assert (code, restarts) == (0, 0)
