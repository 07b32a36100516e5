"""Codes out of the running server equal transformers' `generate` exactly, alone and in changing company."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from runtime.formats.speech_plan import SamplingParameters, WindowPlan
from serve.triton import TritonServer
from tests.serving.higgs import TEXT, WORDS, Higgs
from tests.serving.models import codes_of, first_prompt, infer, one_part, written

FRAMES = 240
GREEDY, WINDOWS = SamplingParameters(0.0, 0, 1.0, 0, 1, 0), WindowPlan(10, 1.5, 50)


def marked(ids: np.ndarray, clip: np.ndarray, audio_token: int, delay_token: int) -> np.ndarray:
    """transformers' prompt with its clip's positions joined into the one mark the engine expects."""
    audio = (ids == audio_token) | (ids == delay_token)
    if not clip.size:
        return ids.astype(np.int32)
    first = int(np.flatnonzero(audio)[0])
    return np.concatenate([ids[:first], [audio_token], ids[first + int(audio.sum()) :]]).astype(np.int32)


@pytest.mark.parametrize("cloned", [False, True], ids=["no reference", "reference clip"])
@pytest.mark.parametrize("company", [False, True], ids=["alone", "among seven"])
def test_greedy_codes_equal_transformers(
    server: TritonServer,
    higgs: Higgs,
    clip: np.ndarray,
    cloned: bool,
    company: bool,
    figure: Callable[[str, str], None],
) -> None:
    expected = higgs.generate(FRAMES, TEXT, clip if cloned else None, WORDS)
    assert expected.codes.shape[1] >= 200, "too short to mean much"
    config = higgs.model.config
    ids = marked(expected.ids, expected.clip, config.audio_token_id, config.audio_delay_token_id)
    if not company:
        codes, _ = codes_of(server.grpc_url, one_part(ids, GREEDY, WINDOWS, FRAMES), expected.clip)
    else:
        codes, visitors = among_seven(server.grpc_url, ids, expected.clip)
        assert visitors >= 14, "the others must join and leave while the stream runs"
    np.testing.assert_array_equal(codes, expected.codes)
    case = f"{'with' if cloned else 'without'} a clip, {'among seven' if company else 'alone'}"
    figure(f"greedy codes against transformers, {case}", f"{codes.shape[1]} frames x {codes.shape[0]}, all equal")


def among_seven(url: str, ids: np.ndarray, clip: np.ndarray) -> tuple[np.ndarray, int]:
    """Generate while seven others keep joining and leaving; returns the codes and how many visits ended meanwhile."""
    done, visits = threading.Event(), itertools.count()

    def visitor(number: int) -> None:
        random = np.random.default_rng(number)
        while not done.is_set():
            sampling = replace(GREEDY, temperature=1.0, seed=number)
            others, frames = random.integers(0, 256, 20 + number).tolist(), int(random.integers(2, 30))
            codes_of(url, one_part(others, sampling, WINDOWS, frames), np.zeros((8, 0), np.int32))
            next(visits)

    threads = [threading.Thread(target=visitor, args=(number,)) for number in range(7)]
    for thread in threads:
        thread.start()
    codes, _ = codes_of(url, one_part(ids, GREEDY, WINDOWS, FRAMES), clip)
    ended = next(visits)
    done.set()
    for thread in threads:
        thread.join()
    return codes, ended


@pytest.mark.parametrize(
    "text",
    [
        "Hello there.",
        "Naïve café, 你好 and 🙂 together!",
        "Marks like <|eot_id|> or <|audio_out_bos|> in a text are only text.",
        "Two  spaces\tand a tab.",
        "One line\n\n and another",
        "Is that °C? [laugh] Yes (really)",
    ],
)
@pytest.mark.parametrize("scene", ["", "Audio is recorded from a quiet room."])
def test_the_prompt_is_the_checkpoints_chat_template(server: TritonServer, higgs: Higgs, text: str, scene: str) -> None:
    options = json.dumps({"scene": scene})
    ids = first_prompt(written(infer(server.grpc_url, "prompt", {"text": text, "options": options}, ["plan"])))
    tokenizer = higgs.processor.tokenizer
    spoken = (
        tokenizer.decode(ids).split("user<|end_header_id|>\n\n")[1].split("<|eot_id|><|start_header_id|>assistant")[0]
    )
    # A mark's spelling in a text is a mark to transformers; everything else must agree token for token.
    if "<|" not in text:
        expected = higgs.inputs(spoken, scene=scene)["input_ids"][0].numpy()
        np.testing.assert_array_equal(ids, expected)
    assert (ids == tokenizer.convert_tokens_to_ids("<|audio_out_bos|>")).sum() == 1
    assert ids[-1] == tokenizer.convert_tokens_to_ids("<|audio_out_bos|>")


def test_a_cloned_voices_prompt_is_the_chat_templates_too(server: TritonServer, higgs: Higgs, clip: np.ndarray) -> None:
    values = {"text": TEXT, "reference_audio": clip, "reference_text": WORDS}
    clips = ["reference_samples", "reference_lengths"]
    answer = infer(server.grpc_url, "prompt", values, ["plan", *clips])
    inputs = higgs.inputs(TEXT, clip, WORDS)
    config, full = higgs.model.config, inputs["input_ids"][0].numpy()
    expected = marked(full, np.zeros((8, 50)), config.audio_token_id, config.audio_delay_token_id)
    np.testing.assert_array_equal(first_prompt(written(answer)), expected)
    samples = {name: answer[name] for name in clips}
    codes = infer(server.grpc_url, "codec_encoder", samples, ["reference_codes"])["reference_codes"]
    np.testing.assert_array_equal(codes, higgs.generate(1, TEXT, clip, WORDS).clip)
