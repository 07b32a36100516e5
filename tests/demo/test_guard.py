"""The runaway guard lets the demo voice speak: held-out sentences at every preset's temperature, through the engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from convert.torchaudio_shim import install
from runtime.engine.inflight.engine import Engine
from runtime.engine.inflight.onnx_runner import OnnxRunner
from runtime.engine.runaway import RunawayDetector
from runtime.engine.types import (
    FinishReason,
    FrameWindow,
    Limits,
    ModelDescription,
    Prompt,
    Request,
    RunawayGuard,
    SamplingParameters,
    TextSegment,
    WindowPlan,
)
from tests.demo.conftest import CHECKPOINT
from tools.bench.listening import listen

install()

from transformers import AutoProcessor  # noqa: E402

SENTENCES = 32
GUARD = RunawayGuard(loop_frames=50, loop_repeats=3, silence_frames=75)
WATCHED = 0.5  # of what the guard allows; speech that came closer would be ended by a little bad luck


@pytest.fixture(scope="module")
def repository(voice_bundle: Path) -> Path:
    return voice_bundle / "model_repository"


@pytest.fixture(scope="module")
def limits(repository: Path) -> Limits:
    return Limits(**json.loads((repository / "lm" / "1" / "settings.json").read_text())["limits"])


def test_the_guard_does_not_fire_on_held_out_sentences_nor_come_near_it(
    repository: Path, limits: Limits, figure: Callable[[str, str], None]
) -> None:
    runner = OnnxRunner(repository / "lm" / "1" / "weights", limits.max_streams, limits.max_positions, threads=1)
    engine = Engine(runner, limits)
    processor = AutoProcessor.from_pretrained(CHECKPOINT)
    sentences = [entry["written"] for entry in json.loads((CHECKPOINT / "held_out.json").read_text())[:SENTENCES]]
    free_streams = threading.Semaphore(limits.max_streams)
    spoken: list[list[FrameWindow]] = []

    def speak(number: int, sentence: str, temperature: float) -> None:
        turns = [("system", "Generate audio following instruction."), ("user", sentence)]
        chat = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
        inputs = processor.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        prompt = Prompt((TextSegment(inputs["input_ids"][0].numpy()),))
        sampling = SamplingParameters(temperature, 50, 0.95, 7, 2, seed=number)
        request = Request(f"{number} {temperature}", prompt, sampling, WindowPlan(10, 1.5, 50), 500, 600.0, GUARD)
        with free_streams:
            spoken.append(list(listen(engine, request)))

    threads = [
        threading.Thread(target=speak, args=(number, sentence, temperature))
        for number, sentence in enumerate(sentences)
        for temperature in (0.3, 0.7, 1.0)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.close()
    assert len(spoken) == 3 * SENTENCES
    assert not [windows for windows in spoken if windows[-1].finish_reason is FinishReason.RUNAWAY]

    closer = RunawayGuard(
        loop_frames=GUARD.loop_frames,
        loop_repeats=round(GUARD.loop_repeats * WATCHED),
        silence_frames=round(GUARD.silence_frames * WATCHED),
    )
    frames = 0
    for windows in spoken:
        detector = RunawayDetector(runner.layout, closer, limits.silence_codes)
        said = np.concatenate([w.codes[:, w.context : w.context + w.count] for w in windows], axis=1)
        assert not any(detector.append(frame) is not None for frame in said.T)
        frames += said.shape[1]
    figure("held-out sentences under the runaway guard", f"{len(spoken)} streams, {frames} frames, none ended")


def test_silence_is_told_from_sound_and_behind_speech_within_a_second(repository: Path, limits: Limits) -> None:
    """The guard knows silence by the codes the encoder gives it; after speech it takes those of plain silence soon."""
    session = onnxruntime.InferenceSession(repository / "codec_encoder" / "1" / "encoder.onnx")

    def encoded(audio: np.ndarray) -> np.ndarray:
        codes: np.ndarray = session.run(None, {"audio": audio[None].astype(np.float32)})[0][0]
        return codes

    def silent(codes: np.ndarray) -> float:
        own = limits.silence_codes
        return float((np.isin(codes[0], own[0]) & np.isin(codes[1], own[1])).mean())

    seconds = np.arange(24000 * 2) / 24000
    voice = 0.2 * np.sin(2 * np.pi * (150 + 60 * np.sin(9 * seconds)) * seconds) * (1 + np.sin(20 * seconds))
    assert silent(encoded(voice)) < 0.1
    assert silent(encoded(2e-4 * np.random.default_rng(7).standard_normal(len(seconds)))) > 0.9
    codes = encoded(np.concatenate([voice, np.zeros(24000 * 4)]))
    layout = ModelDescription.read(repository / "lm" / "1" / "weights" / "lm.json").layout
    detector = RunawayDetector(layout, RunawayGuard(silence_frames=50), limits.silence_codes)
    told = [number for number, frame in enumerate(codes.T) if detector.append(frame) is not None]
    assert 50 + 50 - 1 <= told[0] <= 50 + 50 + 25
