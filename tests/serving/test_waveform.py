"""Streamed audio equals transformers' full decode of the same codes: at the start, at every seam, at the end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from higgs_tts import GenerationParams, HiggsClient, Reference

from runtime.formats.speech_plan import SamplingParameters, WindowPlan
from serve.triton import TritonServer
from tests.serving.higgs import Higgs
from tests.serving.models import codes_of, first_prompt, infer, one_part, written

TOLERANCE = 1e-3  # of the audio's standard deviation, which is about 0.1 here: three steps of PCM16
GREEDY = {"temperature": 0.0, "ras_window": 0, "max_seconds": 8.0, "runaway_guard": False}
PLANS = {
    "one frame a chunk": {"first_chunk_seconds": 0.04, "chunk_growth": 1.0, "max_chunk_seconds": 0.04},
    "early, then growing": {"first_chunk_seconds": 0.2, "chunk_growth": 1.5, "max_chunk_seconds": 2.0},
    "half a second": {"first_chunk_seconds": 0.52, "chunk_growth": 1.0, "max_chunk_seconds": 0.52},
    "all at once": {"first_chunk_seconds": 10.0, "chunk_growth": 1.0, "max_chunk_seconds": 10.0},
}
TEXT, WORDS = "Seams are where streams go wrong.", "A tone that glides."


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("cloned", [False, True], ids=["no reference", "reference clip"])
def test_streamed_samples_are_those_of_the_full_decode(
    client: HiggsClient, higgs: Higgs, clip: np.ndarray, plan: str, cloned: bool, figure: Callable[[str, str], None]
) -> None:
    expected = higgs.generate(200, TEXT, clip if cloned else None, WORDS)
    audio = np.clip(higgs.audio(expected.codes), -1, 1)
    reference = Reference((clip, 24000), WORDS) if cloned else None
    params = GenerationParams(**GREEDY, **PLANS[plan])
    with client.stream(TEXT, reference=reference, params=params) as stream:
        chunks = list(stream)
    positions = [chunk.start_sample for chunk in chunks]
    assert positions == np.cumsum([0] + [len(chunk.samples) for chunk in chunks])[:-1].tolist()
    streamed = np.concatenate([chunk.samples for chunk in chunks])
    assert len(streamed) == len(audio)
    error = np.abs(streamed - audio) / audio.std()
    places = {"start": slice(0, 960), "end": slice(-960, None), "everywhere": slice(None)}
    places |= {f"seam at {p}": slice(p - 480, p + 480) for p in positions[1:]}
    for place, part in places.items():
        assert error[part].max() <= TOLERANCE, f"{place}: {error[part].max():.1e}"
    assert audio.std() > 0.01, "silence would equal anything"
    case = f"{plan}, {'with' if cloned else 'without'} a clip"
    figure(f"streamed audio against the full decode, {case}", f"{len(chunks)} chunks, off by {error.max():.1e} at most")


def test_a_stream_that_ends_by_itself_is_decoded_to_its_last_frame_and_no_further(
    server: TritonServer, client: HiggsClient, higgs: Higgs
) -> None:
    ids = first_prompt(written(infer(server.grpc_url, "prompt", {"text": TEXT}, ["plan"])))
    for seed in range(40):
        plan = one_part(ids, SamplingParameters(1.0, 50, 0.9, 0, 1, seed), WindowPlan(10, 1.5, 50), 500)
        codes, reason = codes_of(server.grpc_url, plan, np.zeros((8, 0), np.int32))
        if reason == "stop":
            break
    else:
        pytest.fail("no stream of forty ended by itself")
    params = GenerationParams(temperature=1.0, ras_window=0, seed=seed, max_seconds=20.0, runaway_guard=False)
    speech = client.synthesize(TEXT, params=params)
    assert speech.finish_reason == "stop"
    assert codes.max() < 1024
    audio = np.clip(higgs.audio(codes), -1, 1)
    assert len(speech.samples) == len(audio)
    assert np.abs(speech.samples - audio).max() <= TOLERANCE * audio.std()
