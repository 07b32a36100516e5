"""The client's ways to speak, on the real bundle: they all give the same audio."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from higgs_tts import AsyncHiggsClient, GenerationParams, HiggsClient, Reference

from serve.triton import TritonServer

TEXT = "One sentence, four ways to hear it."
PARAMS = GenerationParams(seed=11, max_seconds=1.6, max_retries=0)


def test_asyncio_the_command_line_and_a_pipe_equal_the_client(
    server: TritonServer, client: HiggsClient, tmp_path: Path
) -> None:
    expected = client.synthesize(TEXT, params=PARAMS).samples

    async def collect() -> np.ndarray:
        speaker = AsyncHiggsClient(server.grpc_url)
        chunks = [chunk.samples async for chunk in speaker.stream(TEXT, params=PARAMS)]
        await speaker.close()
        return np.concatenate(chunks)

    np.testing.assert_array_equal(asyncio.run(collect()), expected)
    command = [
        sys.executable,
        "-m",
        "higgs_tts",
        TEXT,
        "--url",
        server.grpc_url,
        "--seed",
        "11",
        "--max-seconds",
        "1.6",
    ]
    wav = tmp_path / "out.wav"
    subprocess.run([*command, "-o", str(wav)], check=True, capture_output=True)
    np.testing.assert_allclose(soundfile.read(wav, dtype="float32")[0], expected, atol=1 / 32767)
    piped = subprocess.run([*command, "-o", "-"], check=True, capture_output=True).stdout
    np.testing.assert_allclose(np.frombuffer(piped, "<i2") / 32767, expected, atol=1 / 32767)


def test_a_voice_profile_and_its_own_clip_sound_the_same(client: HiggsClient, bundle: Path, clip: np.ndarray) -> None:
    stored = bundle / "model_repository" / "prompt" / "1" / "voices" / "tone.wav"
    by_name = client.synthesize(TEXT, voice="tone", params=PARAMS).samples
    by_clip = client.synthesize(TEXT, reference=Reference(stored, "a rising tone"), params=PARAMS).samples
    np.testing.assert_allclose(by_name, by_clip, atol=1e-3 * by_clip.std())
    other = client.synthesize(TEXT, reference=Reference((clip, 24000), "a rising tone"), params=PARAMS).samples
    plain = client.synthesize(TEXT, params=PARAMS).samples
    for different in (other, plain):
        assert np.abs(by_name[: len(different)] - different[: len(by_name)]).max() > 0.01
