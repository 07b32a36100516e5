"""Long text through the real server: every word in order, one seamless stream, flat memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from higgs_tts import GenerationParams, HiggsClient

from build.exports import Exports
from build.interpreter import Interpreter
from build.manifest import write_manifest
from build.repository import assemble
from build.targets import load_target
from serve.manifest import MANIFEST_FILE
from serve.triton import TritonServer
from tools.bench.metrics import metrics

SENTENCE = "Sentence number {} of the chapter says a little more than the one before it. "
CHARACTERS = 30_000
# `make soak` speaks whole parts; here each is cut short, so that the chapter takes a minute and not half an hour.
PART_SECONDS = float(os.environ.get("HIGGS_SOAK_PART_SECONDS", "0.2"))
CUT_SHORT = {"seed": 2, "max_part_seconds": PART_SECONDS, "runaway_guard": False, "timeout_seconds": 7200.0}
GROWTH = 24 * 2**20  # bytes over a chapter, of all models together


def chapter(characters: int) -> str:
    text, number = "", 0
    while len(text) < characters:
        number += 1
        text += SENTENCE.format(number) + ("\n\n" if number % 10 == 0 else "")
    return text[:characters]


def models_memory() -> int:
    """Resident bytes of the Python processes of every server that this process started."""
    children = psutil.Process().children(recursive=True)
    return sum(child.memory_info().rss for child in children if "python_backend_stub" in child.name())


@pytest.fixture
def own_server(bundle: Path) -> Iterator[TritonServer]:
    with TritonServer(bundle) as running:
        yield running


@pytest.fixture
def forgetful_server(bundle: Path, tmp_path: Path) -> Iterator[TritonServer]:
    """With so small a prefix cache that it is full before memory is measured."""
    target = replace(load_target("cpu"), prefix_cache_positions=2048)
    exports = Exports.read(bundle / "exports")
    assemble(exports, target, None, tmp_path / "model_repository", "forgetful")
    write_manifest(tmp_path / MANIFEST_FILE, tmp_path / "model_repository", exports, target, "forgetful", Interpreter())
    with TritonServer(tmp_path) as running:
        yield running


@pytest.mark.long
def test_a_chapter_streams_with_flat_memory(forgetful_server: TritonServer, figure: Callable[[str, str], None]) -> None:
    params = GenerationParams(**CUT_SHORT, chunk_words=30, context_parts=2)
    with HiggsClient(forgetful_server.grpc_url, chunk_timeout=120.0) as client:
        client.synthesize(chapter(3_000), params=params)  # memory is measured once everything has been used
        settled, settled_triton = models_memory(), forgetful_server.memory_bytes() - models_memory()
        started, seconds, parts, highest = time.monotonic(), 0.0, set(), 0
        with client.stream(chapter(CHARACTERS), params=params) as stream:
            for chunk in stream:
                seconds += len(chunk.samples) / chunk.sample_rate
                if chunk.part not in parts:
                    highest = max(highest, models_memory())
                parts.add(chunk.part)
        elapsed = time.monotonic() - started
    assert chunk.report is not None
    said = " ".join(part.text for part in chunk.report.parts)
    assert [word for word in said.split() if word == "Sentence"] == ["Sentence"] * chapter(CHARACTERS).count("Sentence")
    assert sorted(parts) == list(range(len(chunk.report.parts)))
    assert len(parts) > 100
    growth = highest - settled
    assert growth < GROWTH, f"memory of the models grew by {growth / 2**20:.1f} MiB"
    # Triton itself keeps the responses of a stream until its last one: the audio, 96 kB a second, and little more.
    triton_growth = forgetful_server.memory_bytes() - models_memory() - settled_triton
    assert triton_growth < GROWTH + seconds * 24_000 * 4, f"Triton grew by {triton_growth / 2**20:.1f} MiB"
    time.sleep(0.6)
    page = metrics(forgetful_server.metrics_url)
    assert page["higgs_live_streams"] == 0
    assert page["higgs_parts_total"] >= len(parts)
    figure(
        f"a chapter of {CHARACTERS} characters",
        f"{len(parts)} parts, {seconds:.0f} s of audio in {elapsed:.0f} s; "
        f"the models grew by {growth / 2**20:.1f} MiB, Triton by {triton_growth / 2**20:.1f} MiB",
    )


def test_what_was_spoken_is_read_once_and_not_again(
    own_server: TritonServer, figure: Callable[[str, str], None]
) -> None:
    """Each part's prompt goes on where the one before it ended: what that one said and its own words are new."""
    name = "higgs_prefix_positions_reused_total"
    with HiggsClient(own_server.grpc_url) as client:
        params = GenerationParams(seed=2, max_part_seconds=4.0, runaway_guard=False, chunk_words=12, context_parts=8)
        speech = client.synthesize(chapter(500), voice="tone", params=params)
    time.sleep(0.6)
    reused = metrics(own_server.metrics_url)[name]
    frames = round(25 * sum(part.stop - part.start for part in speech.parts[:-1]))
    assert reused > 2 * frames, "a part is context of several, and new only to the first of them"
    figure("prefix reuse over one text", f"{reused:.0f} positions in {len(speech.parts)} parts, {frames} frames spoken")


def test_the_same_text_and_seed_give_the_same_audio(client: HiggsClient) -> None:
    params = GenerationParams(**CUT_SHORT, chunk_words=15)
    first, again = (client.synthesize(chapter(600), params=params) for _ in range(2))
    other = client.synthesize(chapter(600), params=GenerationParams(**CUT_SHORT | {"seed": 3}, chunk_words=15))
    np.testing.assert_array_equal(first.samples, again.samples)
    assert len(first.parts) > 3
    assert np.abs(first.samples[:9600] - other.samples[:9600]).max() > 0.01


def test_a_long_text_is_bounded_as_a_whole(client: HiggsClient) -> None:
    params = GenerationParams(**CUT_SHORT, chunk_words=15, max_seconds=2.0)
    speech = client.synthesize(chapter(2_000), params=params)
    assert speech.finish_reason == "length"
    assert 1.0 < speech.seconds <= 2.0


def test_a_cancelled_chapter_ends_at_once(server: TritonServer, client: HiggsClient) -> None:
    with client.stream(chapter(20_000), params=GenerationParams(**CUT_SHORT, chunk_words=15)) as stream:
        for chunk in stream:
            if chunk.part == 2:
                break
        stream.cancel()
        started = time.monotonic()
        rest = list(stream)
    assert rest[-1].finish_reason == "cancelled"
    assert time.monotonic() - started < 5
    time.sleep(0.6)
    assert metrics(server.metrics_url)["higgs_live_streams"] == 0
