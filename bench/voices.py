"""`python -m bench.voices`: what a known voice saves until the first audio, and a batch against one item by one."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from higgs_tts import GenerationParams, HiggsClient, Reference
from higgs_tts.command import main as higgs_tts

from bench.report import table, write
from bench.triton_models import metrics
from serve.triton import TritonServer

RUNS = 12
ITEMS = 24
TEXT = "Hello from Higgs Audio, streamed out of Triton."
PARAMS = GenerationParams(preset="fast_generation", max_seconds=3.0)
_SOURCES = 'higgs_reference_codes_total{{source="{}"}}'


def first_audio(client: HiggsClient, voices: Iterable[str | Reference | None]) -> float:
    """Milliseconds until the first audio of each, median."""
    times = []
    for voice in voices:
        name, clip = (None, voice) if isinstance(voice, Reference) else (voice, None)
        with client.stream(TEXT, voice=name, reference=clip, params=PARAMS) as stream:
            times.append(next(stream).received_at - stream.started_at)
    return 1000 * statistics.median(times)


def clips(client: HiggsClient, name: str) -> list[Reference]:
    """The voice's clip in as many versions that differ by a little noise: to the server, other clips."""
    voice = client.voice(name)
    assert voice.samples is not None
    made = []
    for seed in range(RUNS):
        noise = 1e-4 * np.random.default_rng(seed).standard_normal(len(voice.samples))
        made.append(Reference((np.clip(voice.samples + noise, -1, 1), voice.sample_rate), voice.transcript))
    return made


def measure_first_audio(bundle: Path, state: Path) -> dict[str, float]:
    """The cases by name, in milliseconds; each says by the server's own count where the codes came from."""
    with TritonServer(bundle, state=state) as server, HiggsClient(server.grpc_url) as client:
        name = _voice_names(client)[0]
        first_audio(client, [None, name])  # warm up
        fresh = clips(client, name)
        figures = {
            "no voice": first_audio(client, [None] * RUNS),
            "new clip": first_audio(client, fresh),
            "the same clip again": first_audio(client, fresh),
            "voice profile": first_audio(client, [name] * RUNS),
        }
        _expect(server, encoder=RUNS + 1)
    with TritonServer(bundle, state=state) as server, HiggsClient(server.grpc_url) as client:
        first_audio(client, [None, None])
        figures["known clip after a restart"] = first_audio(client, fresh)
        _expect(server, encoder=0)
    return figures


def measure_batch(bundle: Path, folder: Path) -> dict[str, float]:
    """Seconds of audio a second: items of all voices by `higgs-tts batch`, and the same items one by one."""
    with TritonServer(bundle) as server, HiggsClient(server.grpc_url) as client:
        names = _voice_names(client)
        first_audio(client, names)
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
        raise SystemExit("bench.voices: the bundle has no voice with a clip; build it with --voices voices")
    return names


def _expect(server: TritonServer, encoder: int) -> None:
    """Figures mean nothing unless just so many clips were encoded."""
    time.sleep(0.6)  # Triton publishes metrics four times a second
    found = metrics(server.metrics_url)[_SOURCES.format("encoder")]
    if found != encoder:
        raise SystemExit(f"bench.voices: {found:.0f} clips were encoded, {encoder} were expected")


def first_audio_table(figures: dict[str, float]) -> str:
    """A Markdown table; the last column is what the voice costs over none."""
    base = figures["no voice"]
    rows: Sequence[tuple[str, ...]] = [
        (name, f"{value:.0f} ms", f"{value - base:+.0f} ms" if name != "no voice" else "")
        for name, value in figures.items()
    ]
    return table(("voice", "first audio p50", "against none"), rows)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.voices", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        first = measure_first_audio(options.bundle, Path(scratch) / "state")
        batch = measure_batch(options.bundle, Path(scratch))
    print(first_audio_table(first))
    print(
        table((f"{ITEMS} items of all voices", "audio s/s"), [(name, f"{value:.2f}") for name, value in batch.items()])
    )
    write(options.out, "voices", {"first_audio_ms": first, "batch_audio_seconds_per_second": batch})


if __name__ == "__main__":
    main()
