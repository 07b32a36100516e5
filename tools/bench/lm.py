"""`python -m tools.bench.lm`: frames per second of the engine against transformers' generate, in one run, as ratios.

Then what reusing a prompt saves (`tools/bench/prefix.py`), which transformers has nothing to set against.

Both run the same float32 weights with the same number of threads. transformers runs in its best plain setting on a
CPU (eager attention, KV cache); the engine is the one the `lm` model serves, with sampling and windowing, but reads
every prompt, as transformers does.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import HiggsAudioV2ForConditionalGeneration

from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.types import Limits, Prompt, Request, SamplingParameters, TextSegment, WindowPlan
from tools.bench.listening import listen
from tools.bench.prefix import prefix_rows, prefix_saving
from tools.bench.report import bars, table, write

FRAMES = 120
PROMPT_POSITIONS = 80
STREAMS = 8
PLAIN_TEXT_IDS = 256  # ids below are text in every Higgs vocabulary
SAMPLING = SamplingParameters(temperature=0.7, top_k=50, top_p=0.9, ras_window=7, ras_max_repeats=2, seed=0)


class Contenders:
    """The engine and transformers on the same checkpoint and prompts."""

    def __init__(self, checkpoint: Path, bundle: Path, threads: int) -> None:
        self.threads = threads
        self._model: Any = HiggsAudioV2ForConditionalGeneration.from_pretrained(
            checkpoint, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.weights = bundle / "model_repository" / "lm" / "1" / "weights"
        settings = json.loads((bundle / "model_repository" / "lm" / "1" / "settings.json").read_text())
        self.limits = limits = replace(Limits(**settings["limits"]), prefix_cache_bytes=0)
        self._runner = OnnxRunner(self.weights, limits.max_streams, limits.max_positions, threads)
        self._engine = Engine(self._runner, limits)
        # Text only: a prompt with audio marks in it would mean something else to each side.
        self._prompts = np.random.default_rng(0).integers(0, PLAIN_TEXT_IDS, (STREAMS, PROMPT_POSITIONS))
        self._prompts[:, -1] = self._model.config.audio_bos_token_id

    def close(self) -> None:
        self._engine.close()

    @torch.no_grad()
    def transformers(self, streams: int) -> float:
        """Frames per second of one `generate` call over a batch; columns that only finish the delay do not count."""
        torch.set_num_threads(self.threads)
        ids = torch.from_numpy(self._prompts[:streams])
        started = time.perf_counter()
        columns = self._model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=SAMPLING.temperature,
            top_k=SAMPLING.top_k,
            top_p=SAMPLING.top_p,
            max_new_tokens=FRAMES + 8,
        )
        frames = columns.shape[1] - 8
        return streams * frames / (time.perf_counter() - started)

    def engine(self, streams: int) -> float:
        """Frames per second of so many concurrent streams, from submission to the last frame."""
        torch.set_num_threads(1)
        counts = [0] * streams

        def run(stream: int) -> None:
            prompt = Prompt((TextSegment(self._prompts[stream].astype(np.int64)),))
            request = Request(f"{stream}", prompt, SAMPLING, WindowPlan(10, 1.5, 50), FRAMES, 600.0)
            counts[stream] = sum(window.count for window in listen(self._engine, request))

        threads = [threading.Thread(target=run, args=(stream,)) for stream in range(streams)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started)


def main() -> None:
    """Measure, print, and write the figures and a plot."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.lm", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    contenders = Contenders(options.checkpoint, options.bundle, options.threads)
    contenders.engine(STREAMS)  # warm up both
    contenders.transformers(1)
    # Interleaved, so that a slow minute of the machine hits both sides.
    sides = {"transformers": contenders.transformers, "engine": contenders.engine}
    figures = {f"{side} x{streams}": 0.0 for streams in (1, STREAMS) for side in sides}
    for _ in range(options.rounds):
        for streams in (1, STREAMS):
            for side, run in sides.items():
                name = f"{side} x{streams}"
                figures[name] = max(figures[name], run(streams))
    contenders.close()
    single, batch = figures["transformers x1"], figures[f"transformers x{STREAMS}"]
    ratios = {
        "one stream, against one generate": (figures["engine x1"] / single, 2.5),
        f"{STREAMS} streams, against generate one after another": (figures[f"engine x{STREAMS}"] / single, 8.0),
        f"{STREAMS} streams, against one generate of {STREAMS}": (figures[f"engine x{STREAMS}"] / batch, 2.0),
    }
    print(table(("case", "frames/s"), [(name, f"{value:.1f}") for name, value in figures.items()]))
    print(table(("ratio", "measured", "wanted"), [(n, f"{r:.2f}x", f"{w:.1f}x") for n, (r, w) in ratios.items()]))
    saving = prefix_saving(options.checkpoint, contenders.weights, contenders.limits, options.threads)
    print(table(("prefix reuse", "measured"), prefix_rows(saving)))
    record = {"frames_per_second": figures, "ratios": {n: r for n, (r, _) in ratios.items()}, "prefix_reuse": saving}
    write(options.out, "lm", record)
    bars(options.out / "lm.png", "Codec frames per second, language model alone", figures)


if __name__ == "__main__":
    main()
