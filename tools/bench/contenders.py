"""Who speaks in the benchmark of the language model: transformers' generate, and the engine on a bundle."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from transformers import HiggsAudioV2ForConditionalGeneration

from build.repository import VERSION
from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.onnx_runner import AUDIO_GRAPH, OnnxRunner
from runtime.engine.types import CodebookLayout, Limits, Prompt, Request, SamplingParameters, TextSegment
from runtime.formats.speech_plan import WindowPlan
from tools.bench.listening import listen
from tools.bench.machine import Machine
from tools.bench.step_work import StepWork

FRAMES = 120
PROMPT_POSITIONS = 80
STREAMS = 8
PLAIN_TEXT_IDS = 256  # ids below are text in every Higgs vocabulary
SAMPLING = SamplingParameters(temperature=0.7, top_k=50, top_p=0.9, ras_window=7, ras_max_repeats=2, seed=0)


@dataclass(frozen=True)
class Rate:
    """Frames of all streams together in a second, and the processor's seconds for one frame."""

    frames_per_second: float
    processor_seconds: float


class Contender(Protocol):
    def rate(self, streams: int) -> Rate:
        """Of so many streams of FRAMES, prompts included."""


def prompts() -> np.ndarray:
    """int64 [STREAMS, PROMPT_POSITIONS]; text only: audio marks would mean something else to each side."""
    return np.random.default_rng(0).integers(0, PLAIN_TEXT_IDS, (STREAMS, PROMPT_POSITIONS))


class Generate:
    """transformers on a checkpoint, in `fp32` or `bf16`: one batch that begins and ends together."""

    def __init__(self, checkpoint: Path, kind: str, threads: int) -> None:
        self._threads = threads
        self._model: Any = HiggsAudioV2ForConditionalGeneration.from_pretrained(
            checkpoint, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[kind], attn_implementation="eager"
        ).eval()
        self._delay = self._model.config.num_codebooks  # columns that only finish the delay do not count
        self._prompts = prompts()
        self._prompts[:, -1] = self._model.config.audio_bos_token_id

    @torch.no_grad()
    def rate(self, streams: int) -> Rate:
        """As `Contender.rate`."""
        torch.set_num_threads(self._threads)
        ids = torch.from_numpy(self._prompts[:streams])

        def speak() -> int:
            columns = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=SAMPLING.temperature,
                top_k=SAMPLING.top_k,
                top_p=SAMPLING.top_p,
                max_new_tokens=FRAMES + self._delay,
            )
            return streams * int(columns.shape[1] - self._delay)

        return timed(speak)


class Served:
    """The engine on the language model of a bundle."""

    def __init__(self, bundle: Path, threads: int) -> None:
        folder = bundle / "model_repository" / "lm" / VERSION
        self.precision = str(json.loads((bundle / "manifest.json").read_text())["limits"]["precision"])
        self.weights = folder / "weights"
        settings = json.loads((folder / "settings.json").read_text())
        self.frame_seconds = float(settings["frame_seconds"])
        limits = Limits(**settings["limits"], frame_seconds=self.frame_seconds)
        self.limits = replace(limits, prefix_cache_bytes=0)
        self.work = StepWork.of(self.weights / AUDIO_GRAPH)
        self._runner = OnnxRunner(self.weights, self.limits.max_streams, self.limits.max_positions, threads)
        self.engine = Engine(self._runner, self.limits)
        self._prompts = prompts()

    def close(self) -> None:
        self.engine.close()

    @property
    def layout(self) -> CodebookLayout:
        return self._runner.layout

    @property
    def positions(self) -> int:
        """Of a stream when it ends."""
        return PROMPT_POSITIONS + FRAMES + self._runner.layout.num_codebooks

    @property
    def stream_bytes(self) -> int:
        """Keys and values of a stream when it ends."""
        return self.positions * self._runner.position_bytes

    def floor_seconds(self, machine: Machine, streams: int) -> float:
        """Of a step, at least: weights once, each stream's keys and values half way through. Operations of
        float32 weights alone count: those of others are done in eight bits, whose peak is not measured.
        """
        operations = streams * self.work.operations if self.precision == "fp32" else 0
        return machine.seconds(self.work.weight_bytes + streams * self.stream_bytes / 2, operations)

    def rate(self, streams: int) -> Rate:
        """As `Contender.rate`, from submission to the last frame."""
        torch.set_num_threads(1)

        def speak() -> int:
            counts = [0] * streams

            def run(stream: int) -> None:
                prompt = Prompt((TextSegment(self._prompts[stream].astype(np.int64)),))
                request = Request(f"{stream}", prompt, SAMPLING, WindowPlan(10, 1.5, 50), FRAMES, 600.0)
                counts[stream] = sum(window.count for window in listen(self.engine, request))

            threads = [threading.Thread(target=run, args=(stream,)) for stream in range(streams)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return sum(counts)

        return timed(speak)


def timed(speak: Callable[[], int]) -> Rate:
    """Of a call that returns how many frames it spoke."""
    started, used = time.perf_counter(), time.process_time()
    frames = speak()
    return Rate(frames / (time.perf_counter() - started), (time.process_time() - used) / frames)
