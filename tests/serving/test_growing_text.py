"""Text in pieces through the real server: the same samples as the whole text, no slot while nothing is there to say."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import numpy as np
import psutil
import pytest
from higgs_tts import (
    AsyncHiggsClient,
    AudioChunk,
    GenerationParams,
    GenerationTimeoutError,
    HiggsClient,
    InvalidRequestError,
    Speech,
)

from serve.triton import TritonServer
from tests.serve.launching import wait_for
from tests.text.test_growing_text import DIALOGUE, cut, prose
from tests.text.test_wrapped_prose import TRICKY
from tools.bench.metrics import metrics

CUTS = int(os.environ.get("HIGGS_RANDOM_CUTS", "6"))  # of each language; `make test-long` tries 125
SHORT = GenerationParams(seed=5, chunk_method="sentence", max_part_seconds=0.6, runaway_guard=False)
ENDLESS = GenerationParams(seed=3, runaway_guard=False, max_seconds=20.0, max_chunk_seconds=0.5)


def assert_equal(one: Speech, other: Speech) -> None:
    assert one.report == other.report
    np.testing.assert_array_equal(one.samples, other.samples)


def written(chunks: list[AudioChunk]) -> list[str]:
    report = chunks[-1].report
    assert report is not None
    return [part.written for part in report.parts]


@pytest.mark.parametrize("language", sorted(TRICKY))
def test_random_cuts_give_the_samples_of_the_whole_text(client: HiggsClient, language: str) -> None:
    chance = random.Random(11)
    params = GenerationParams(**SHORT.to_options() | {"language": language})
    for _ in range(CUTS):
        text = prose(language, chance)
        assert_equal(client.synthesize(cut(text, chance), params=params), client.synthesize(text, params=params))


def test_a_dialogue_with_voices_comes_in_pieces(client: HiggsClient) -> None:
    options = SHORT.to_options() | {"speakers": {"Anna": "tone", "Bob": "feminine"}}
    params = GenerationParams(**options)
    assert_equal(
        client.synthesize(cut(DIALOGUE, random.Random(1)), params=params), client.synthesize(DIALOGUE, params=params)
    )


def test_a_reference_is_read_while_the_text_is_still_awaited(client: HiggsClient) -> None:
    params = GenerationParams(**SHORT.to_options() | {"hold_parts": True})
    whole = client.synthesize("One more. Two more.", voice="tone", params=params)
    with client.session(voice="tone", params=params) as session:
        session.send("One more. Two more.")
        session.end()
        chunks = list(session)
    assert_equal(Speech.from_chunks(chunks, session.started_at), whole)


def test_text_is_spoken_as_it_comes(client: HiggsClient) -> None:
    with client.session(params=SHORT) as session:
        session.send("This is the first of them. ")
        first = next(session)
        assert len(first.samples) and first.part == 0
        session.send("And this")
        rest = [first]
        while rest[-1].stop < 0.55:  # all but the end that is open
            rest.append(next(session))
        session.send(" is another. ")
        while rest[-1].part == 0:
            rest.append(next(session))
        session.end()
        rest += list(session)
    assert written(rest) == ["This is the first of them.", "And this is another."]


def test_flush_speaks_the_beginning_of_a_sentence(client: HiggsClient) -> None:
    with client.session(params=SHORT) as session:
        session.send("It is not over")
        session.flush()
        assert len(next(session).samples)
        session.send(" yet.")
        session.end()
        assert written(list(session)) == ["It is not over", "yet."]


def test_an_interruption_frees_the_slot_and_tells_what_was_heard(client: HiggsClient, server: TritonServer) -> None:
    given = "Well then. There is nobody who will ever hear the end of this very long sentence. Nor this one."
    with client.session(params=ENDLESS) as session:
        session.send(given)
        chunks = [next(session) for _ in range(2)]
        session.interrupt()
        started = time.monotonic()
        chunks += list(session)
        assert time.monotonic() - started < 2
    report = chunks[-1].report
    assert chunks[-1].finish_reason == "cancelled" and report is not None
    assert 0 < report.parts[-1].characters[1] < len(given)
    assert report.heard(0.0) == 0 < report.heard(0.2) < report.heard(1000.0) == report.parts[-1].characters[1]
    wait_for(lambda: metrics(server.metrics_url)["higgs_live_streams"] == 0, 5)


def test_silent_sessions_cost_no_slot_and_end_with_a_sentence(server: TritonServer) -> None:
    before = models_memory()
    params = GenerationParams(text_timeout_seconds=4.0)
    with HiggsClient(server.grpc_url) as client:
        sessions = [client.session(params=params) for _ in range(200)]
        wait_for(lambda: metrics(server.metrics_url)["higgs_streams_without_text"] == 200, 10)
        assert metrics(server.metrics_url)["higgs_live_streams"] == 0
        assert client.synthesize("Hello.", params=SHORT).seconds > 0
        assert models_memory() - before < 30 * 2**20
        for session in sessions:
            with pytest.raises(GenerationTimeoutError, match="no more text came for 4 s"):
                list(session)
        wait_for(lambda: metrics(server.metrics_url)["higgs_streams_without_text"] == 0, 5)


VANISHING = """
import sys, time
from higgs_tts import HiggsClient
client = HiggsClient(sys.argv[1])
session = client.session()
session.send("Here I am. And then")
next(session)
print("speaking", flush=True)
time.sleep(60)
"""


def test_a_client_that_is_killed_between_two_pieces_leaves_nothing(server: TritonServer) -> None:
    wait_for(lambda: metrics(server.metrics_url)["higgs_streams_without_text"] == 0, 5)
    process = subprocess.Popen([sys.executable, "-c", VANISHING, server.grpc_url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "speaking\n"
    wait_for(lambda: metrics(server.metrics_url)["higgs_streams_without_text"] == 1, 10)
    process.kill()
    process.wait()
    wait_for(lambda: metrics(server.metrics_url)["higgs_streams_without_text"] == 0, 5)
    assert metrics(server.metrics_url)["higgs_live_streams"] == 0


def test_what_cannot_be_spoken_ends_the_session_alone(client: HiggsClient) -> None:
    for pieces, words in (
        (["Good. ", "A\0b. "], "U\\+0000"),
        (["😀"], "nothing to say"),
        (['[{"role": "user", "content": "Hi."}]'], "messages and ChatML as a whole"),
    ):
        with pytest.raises(InvalidRequestError, match=words):
            client.synthesize(pieces, params=SHORT)
    with pytest.raises(InvalidRequestError, match="chunk_method semantic needs the whole text"):
        client.synthesize(["Hello."], params=GenerationParams(chunk_method="semantic"))
    assert client.synthesize(["Hello."], params=SHORT).finish_reason in ("stop", "length")


def test_pieces_that_fail_end_the_stream_with_their_error(client: HiggsClient) -> None:
    def broken() -> Iterator[str]:
        yield "Hello there. "
        raise LookupError("no more words")

    with pytest.raises(LookupError, match="no more words"):
        client.synthesize(broken(), params=SHORT)


def test_the_command_line_speaks_while_its_pipe_fills(server: TritonServer) -> None:
    words = [sys.executable, "-m", "higgs_tts", "-", "-o", "-", "--quiet", "--url", server.grpc_url]
    words += ["--max-part-seconds", "0.6", "--no-runaway-guard"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"This is the first of them. Dr")
        process.stdin.flush()
        assert len(process.stdout.read(4800)) == 4800
        process.stdin.write(". Grün is not.".encode()[:7])
        process.stdin.flush()
        time.sleep(0.1)
        process.stdin.write(". Grün is not.".encode()[7:])
        process.stdin.close()
        assert len(process.stdout.read()) > 20_000
    assert process.returncode == 0


def test_asynchronous_pieces(client: HiggsClient, server: TritonServer) -> None:
    text = "This is the first of them. And this is another."

    async def words() -> AsyncIterator[str]:
        for word in text.split():
            yield f"{word} "
            await asyncio.sleep(0.01)

    async def speak() -> Speech:
        async with AsyncHiggsClient(server.grpc_url) as other:
            return await other.synthesize(words(), params=SHORT)

    assert_equal(asyncio.run(speak()), client.synthesize(text, params=SHORT))


def models_memory() -> int:
    """Resident bytes of the models' processes."""
    children = psutil.Process().children(recursive=True)
    return sum(child.memory_info().rss for child in children if "python_backend_stub" in child.name())
