"""`python -m tools.bench.voices`: what a known voice saves until the first audio, and what a batch saves."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from higgs_tts import GenerationParams, HiggsClient, Reference
from higgs_tts.cli.command import main as higgs_tts

from serve.triton import TritonServer
from tools.bench.metrics import metrics
from tools.bench.report import table, write

RUNS = 12
ITEMS = 24
TEXT = "Hello from Higgs Audio, streamed out of Triton."
PARAMS = GenerationParams(preset="fast_generation", max_seconds=3.0)
_SOURCES = 'higgs_reference_codes_total{{source="{}"}}'


@dataclass(frozen=True)
class FirstAudio:
    """Milliseconds until the first audio: the median, and the median of what it is more than with no voice."""

    p50: float
    against_none: float


def milliseconds(client: HiggsClient, voice: str | Reference | None) -> float:
    """Until the first audio of one request."""
    name, clip = (None, voice) if isinstance(voice, Reference) else (voice, None)
    with client.stream(TEXT, voice=name, reference=clip, params=PARAMS) as stream:
        return 1000 * (next(stream).received_at - stream.started_at)


def compare(client: HiggsClient, cases: Mapping[str, Sequence[str | Reference]]) -> dict[str, FirstAudio]:
    """Each case by name, among them "no voice", in turns: what else the machine does touches all of them alike."""
    times: dict[str, list[float]] = {"no voice": [], **{name: [] for name in cases}}
    for turn in range(RUNS):
        times["no voice"].append(milliseconds(client, None))
        for name, voices in cases.items():
            times[name].append(milliseconds(client, voices[turn]))
    return {
        name: FirstAudio(
            statistics.median(values),
            statistics.median(value - none for value, none in zip(values, times["no voice"], strict=True)),
        )
        for name, values in times.items()
    }


def clips(client: HiggsClient, name: str) -> list[Reference]:
    """The voice's clip in as many versions that differ by a little noise: to the server, other clips."""
    voice = client.voice(name)
    assert voice.samples is not None
    made = []
    for seed in range(RUNS):
        noise = 1e-4 * np.random.default_rng(seed).standard_normal(len(voice.samples))
        made.append(Reference((np.clip(voice.samples + noise, -1, 1), voice.sample_rate), voice.transcript))
    return made


def measure_first_audio(bundle: Path, state: Path) -> dict[str, FirstAudio]:
    """Every case by name; that just so many clips were encoded is asked of the server's own count."""
    with TritonServer(bundle, state=state) as server, HiggsClient(server.grpc_url) as client:
        name = _voice_names(client)[0]
        for voice in (None, name):  # warm up
            milliseconds(client, voice)
        fresh = clips(client, name)
        cases: dict[str, Sequence[str | Reference]]
        cases = {"new clip": fresh, "the same clip again": fresh, "voice profile": [name] * RUNS}
        figures = compare(client, cases)
        _expect(server, encoder=RUNS + 1)
    with TritonServer(bundle, state=state) as server, HiggsClient(server.grpc_url) as client:
        milliseconds(client, None)
        again = "known clip after a restart"
        figures[again] = compare(client, {again: fresh})[again]
        _expect(server, encoder=0)
    return figures


def measure_batch(bundle: Path, folder: Path) -> dict[str, float]:
    """Seconds of audio a second: items of all voices by `higgs-tts batch`, and the same items one by one."""
    with TritonServer(bundle) as server, HiggsClient(server.grpc_url) as client:
        names = _voice_names(client)
        for name in names:  # warm up
            milliseconds(client, name)
        chosen = [names[n % len(names)] for n in range(ITEMS)]
        started = time.monotonic()
        spoken = [client.synthesize(TEXT, voice=name, params=_seeded(n)).seconds for n, name in enumerate(chosen)]
        alone = sum(spoken) / (time.monotonic() - started)
        manifest = folder / "manifest.jsonl"
        lines = [{"text": TEXT, "voice": name, **_seeded(n).to_options()} for n, name in enumerate(chosen)]
        manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
        started = time.monotonic()
        higgs_tts(["batch", str(manifest), "--out", str(folder / "speech"), "--url", server.grpc_url, "--quiet"])
        elapsed = time.monotonic() - started
        results = [json.loads(line) for line in (folder / "speech" / "results.jsonl").read_text().splitlines()]
        together = sum(result["seconds"] for result in results) / elapsed
    return {"one by one": alone, "higgs-tts batch": together}


def _seeded(seed: int) -> GenerationParams:
    return GenerationParams(preset="fast_generation", max_seconds=3.0, seed=seed)


def _voice_names(client: HiggsClient) -> list[str]:
    names = [voice.name for voice in client.voices() if voice.audio_path]
    if not names:
        raise SystemExit("bench: the bundle has no voice with a clip; build it with --voices voices")
    return names


def _expect(server: TritonServer, encoder: int) -> None:
    """Figures mean nothing unless just so many clips were encoded."""
    time.sleep(0.6)  # Triton publishes metrics four times a second
    found = metrics(server.metrics_url)[_SOURCES.format("encoder")]
    if found != encoder:
        raise SystemExit(f"bench: {found:.0f} clips were encoded, {encoder} were expected")


def first_audio_table(figures: Mapping[str, FirstAudio]) -> str:
    """The cases as a Markdown table."""
    rows = [(name, f"{case.p50:.0f} ms", f"{case.against_none:+.0f} ms") for name, case in figures.items()]
    return table(("voice", "first audio p50", "against none"), rows)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.voices", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        first = measure_first_audio(options.bundle, Path(scratch) / "state")
        batch = measure_batch(options.bundle, Path(scratch))
    print(first_audio_table(first))
    rates = [(name, f"{value:.2f}") for name, value in batch.items()]
    print(table((f"{ITEMS} items of all voices", "audio s/s"), rates))
    times = {name: asdict(case) for name, case in first.items()}
    write(options.out, "voices", {"first_audio_ms": times, "batch_audio_seconds_per_second": batch})


if __name__ == "__main__":
    main()
