"""vLLM-Omni's socket and SGLang-Omni's dialect: configuration, utterances, units, times of words, errors."""

from __future__ import annotations

import base64
import io
from typing import Any

import av
import httpx
import numpy as np
import pytest
from higgs_tts import GenerationParams, HiggsClient
from higgs_tts.pcm import to_s16

from serve.triton import TritonServer
from tests.gateway.sockets import VLLM, Message, opened, rest, tell, told, until

RATE = 24_000
CONFIG = {"type": "session.config", "voice": "tone", "max_part_seconds": 0.4, "temperature": 0}
STREAMED = CONFIG | {"stream_audio": True, "response_format": "pcm"}
TEXT = "Nine birds sing. Ten birds sing too."
DONE, CLOSE = {"type": "input.done"}, {"type": "session.close"}


def text(*pieces: str) -> list[dict[str, str]]:
    return [{"type": "input.text", "text": piece} for piece in pieces]


def sound(messages: list[Message]) -> bytes:
    return b"".join(message for message in messages if isinstance(message, bytes))


def events(messages: list[Message]) -> list[dict[str, Any]]:
    return [message for message in messages if isinstance(message, dict)]


@pytest.fixture(scope="module")
def whole(server: TritonServer) -> bytes:
    """The same text by gRPC, in pieces too, as s16le samples."""
    with HiggsClient(server.grpc_url) as client:
        params = GenerationParams(max_part_seconds=0.4, temperature=0)
        return to_s16(client.synthesize(iter([TEXT]), voice="tone", params=params).samples).tobytes()


def test_utterances_are_spoken_in_turn_as_grpc_speaks_them(address: str, whole: bytes) -> None:
    """Sent at once, in pieces or whole, and on one connection."""
    with opened(address, VLLM, STREAMED, *text(*TEXT), DONE, *text(TEXT), DONE, CLOSE) as connection:
        messages, code, _ = rest(connection)
    kinds = [event["type"] for event in events(messages)]
    assert kinds == ["session.configured", *(["audio.start", "audio.done", "session.done"] * 2)] and code == 1000
    assert sound(messages) == whole * 2
    start, done, end = events(messages)[1:4]
    assert (start["sample_rate"], start["channels"], start["format"]) == (RATE, 1, "pcm")
    assert start["sentence_text"] == "Nine birds sing.", "the rest was not known yet"
    assert done["total_bytes"] == len(whole) and done["error"] is False
    assert end["total_sentences"] == 1 and end["finish_reason"] == "length"
    assert [part["written"] for part in end["report"]["parts"]] == ["Nine birds sing.", "Ten birds sing too."]
    assert [event["utterance_index"] for event in events(messages)[1:]] == [0, 0, 0, 1, 1, 1]


def test_sentences_are_files_of_their_own(address: str, whole: bytes) -> None:
    config = CONFIG | {"split_granularity": "sentence", "response_format": "flac"}
    with opened(address, VLLM, config, *text(TEXT), DONE) as connection:
        messages = until(connection, type="session.done")
    order = ["bytes" if isinstance(message, bytes) else message["type"] for message in messages]
    assert order == ["session.configured", *(["audio.start", "bytes", "audio.done"] * 2), "session.done"]
    starts = [event["sentence_text"] for event in events(messages) if event["type"] == "audio.start"]
    assert starts == ["Nine birds sing.", "Ten birds sing too."]
    files = [message for message in messages if isinstance(message, bytes)]
    frames = [av.open(io.BytesIO(file), "r").decode(audio=0) for file in files]
    samples = [np.concatenate([frame.to_ndarray()[0] for frame in one]) for one in frames]
    difference = np.concatenate(samples).astype(int) - np.frombuffer(whole, "<i2")
    assert np.abs(difference).max() <= 1, "FFmpeg rounds in another way"
    assert events(messages)[-1]["total_sentences"] == 2


@pytest.mark.parametrize("granularity", ["none", "sentence"])
def test_words_have_times(address: str, whole: bytes, granularity: str) -> None:
    """They come with the audio in which they begin, and count from the beginning of their unit."""
    config = STREAMED | {"word_timestamps": True, "split_granularity": granularity}
    with opened(address, VLLM, config, *text(TEXT), DONE) as connection:
        messages = events(until(connection, type="session.done"))
    chunks = [event for event in messages if event["type"] == "audio.chunk"]
    assert b"".join(base64.b64decode(chunk["audio_b64"]) for chunk in chunks) == whole
    units = [
        [one for one in chunks if one["sentence_index"] == unit] for unit in range(chunks[-1]["sentence_index"] + 1)
    ]
    assert len(units) == (2 if granularity == "sentence" else 1)
    for unit in units:
        assert [chunk["chunk_id"] for chunk in unit] == [*range(len(unit))]
        assert unit[0]["timestamps"][0]["start_ms"] <= unit[0]["chunk_end_ms"], (
            "the first word comes with the first audio"
        )
        starts = [one["start_ms"] for chunk in unit for one in chunk["timestamps"] or ()]
        assert starts == sorted(starts) and starts[-1] <= unit[-1]["chunk_end_ms"]
        for chunk in unit:
            if chunk["audio_b64"]:
                inside = (chunk["chunk_start_ms"] - 1, chunk["chunk_end_ms"] + 1)
                assert all(inside[0] <= one["start_ms"] <= inside[1] for one in chunk["timestamps"] or ())
            assert all(one["start_ms"] <= one["end_ms"] for one in chunk["timestamps"] or ())
    said = [[one["word"] for chunk in unit for one in chunk["timestamps"] or ()] for unit in units]
    cut = [word["text"] for word in messages[-1]["report"]["parts"][1]["words"]]  # by its length
    assert [word for unit in said for word in unit] == ["Nine", "birds", "sing.", *cut] and cut[0] == "Ten"
    assert len(said) == 1 or said[0] == ["Nine", "birds", "sing."]


def test_sglangs_dialect_ends_with_its_utterance(address: str, whole: bytes) -> None:
    config = {"type": "session.config", "session": {key: STREAMED[key] for key in STREAMED if key != "type"}}
    with opened(address, VLLM, config) as connection:
        configured = told(connection)
        assert configured["type"] == "session.configured" and configured["session_id"]
        tell(connection, *text(TEXT), DONE)
        messages, code, _ = rest(connection)
    assert sound(messages) == whole and code == 1000
    assert events(messages)[0]["id"] == events(messages)[1]["id"]


def test_what_was_begun_can_be_cancelled(address: str, http: httpx.Client) -> None:
    lasting = STREAMED | {"max_part_seconds": 30, "runaway_guard": False}
    with opened(address, VLLM, lasting, *text("Nine birds sing. " * 40)) as connection:
        until(connection, type="audio.start")
        tell(connection, {"type": "input.cancel"})
        done = events(until(connection, type="session.done"))[-1]
        assert done["finish_reason"] == "cancelled"
        part = done["report"]["parts"][0]
        assert part["finish_reason"] == "cancelled" and 0 < part["characters"][1] < 17 * 40
        tell(connection, CONFIG, *text("Nine."), DONE)  # and the connection stays
        assert events(until(connection, type="session.done"))[-1]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"type": "input.text"}, "The first message is session.config, not 'input.text'."),
        (CONFIG | {"response_format": "mp4"}, "response_format is 'mp4'"),
        (CONFIG | {"split_granularity": "word"}, "split_granularity is 'word'"),
        (CONFIG | {"speed": 9}, "speed is 9"),
        (CONFIG | {"model": "gpt-9"}, "There is no model 'gpt-9'"),
        (CONFIG | {"word_timestamps": True}, "word_timestamps needs stream_audio and pcm."),
        (CONFIG | {"ref_audio": "nothing"}, "ref_audio is no data URL"),
        (CONFIG | {"strict": True, "sped": 1}, "There is no field 'sped'"),
        (CONFIG | {"sample_rate": 44_100, "response_format": "opus"}, "sample_rate is 44100"),
    ],
)
def test_a_first_message_that_is_wrong_ends_it(address: str, config: dict[str, Any], sentence: str) -> None:
    with opened(address, VLLM, config) as connection:
        (error,), code, _ = rest(connection)
    assert error["type"] == "error" and error["message"].startswith(sentence) and code == 1008


def test_later_mistakes_are_told_and_forgiven(address: str) -> None:
    with opened(
        address, VLLM, CONFIG, *text("Nine birds"), CONFIG, {"type": "x"}, {"type": "input.text"}
    ) as connection:
        assert told(connection)["type"] == "session.configured"
        told_of = [told(connection)["message"] for _ in range(3)]
        assert [sentence.split()[0] for sentence in told_of] == ["An", "There", "input.text"]
        tell(connection, DONE, DONE)
        ends = [events(until(connection, type="session.done"))[-1] for _ in range(2)]
        assert [(end["utterance_index"], end["total_sentences"]) for end in ends] == [(0, 1), (1, 0)]


def test_a_speech_that_the_server_refuses_is_told_in_its_frame(address: str) -> None:
    with opened(address, VLLM, STREAMED | {"voice": "nobody"}, *text("Nine."), DONE, *text("Ten."), DONE) as connection:
        for _ in range(2):
            error, done = events(until(connection, type="session.done"))[-2:]
            assert error["type"] == "error" and "voice 'nobody' is unknown" in error["message"]
            assert done["total_sentences"] == 0
