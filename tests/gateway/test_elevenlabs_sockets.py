"""ElevenLabs' sockets: contexts and their ends, alignment, formats, dialogues, errors; and the HTTP beside them."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import av
import httpx
import pytest

from gateway.settings import Settings
from serve.triton import TritonServer
from tests.gateway.running import running
from tests.gateway.sockets import DIALOGUE, FIRST, MANY, ONE, Message, opened, rest, tell, told, until
from tests.gateway.test_leaving import wait_until_it_speaks

PCM = "?output_format=pcm_8000"
LASTING = "Nine birds sing and ten birds sing and no bird sleeps. " * 20


def sound(messages: list[Message], **named: str) -> bytes:
    """Of one context, or of the only one."""
    told_of = [one for one in messages if isinstance(one, dict) and named.items() <= one.items()]
    return b"".join(base64.b64decode(one["audio"]) for one in told_of if one.get("audio"))


def say(address: str, path: str, *messages: dict[str, Any]) -> list[Message]:
    """What comes on a connection until it ends well."""
    with opened(address, path, *messages) as connection:
        answers, code, _ = rest(connection)
    assert code == 1000, answers
    return answers


@pytest.fixture(scope="module")
def nine(address: str) -> bytes:
    """The shortest speech, as samples at 8 kHz."""
    return sound(say(address, ONE + PCM, FIRST[ONE], {"text": "Nine. "}, {"text": ""}))


def test_the_only_context_ends_the_socket(address: str, nine: bytes) -> None:
    pieces = [{"text": piece, "try_trigger_generation": True} for piece in ("Ni", "ne", ". ")]
    messages = say(address, ONE + PCM, FIRST[ONE], *pieces, {"text": ""})
    assert sound(messages) == nine and len(nine) > 8000
    final = messages[-1]
    assert final["isFinal"] is True and final["audio"] is None and "contextId" not in final
    assert [one.get("isFinal") for one in messages[:-1]] == [None] * (len(messages) - 1)


def spoken(alignments: list[dict[str, Any]]) -> list[str]:
    """The words, which a message may part from the space behind them."""
    return "".join(character for one in alignments for character in one["chars"]).split()


def test_alignment_comes_with_its_audio(address: str) -> None:
    """Its times restart with each message, whose audio lasts as long: so clients add them up, or the audio."""
    text = "Nine birds. Ten birds. "
    messages = say(address, ONE + PCM, {"text": " ", "voice_settings": {"speed": 1.25}}, {"text": text}, {"text": ""})
    assert all(one["alignment"] == one["normalizedAlignment"] for one in messages if "alignment" in one)
    assert all(one["alignment"] for one in messages[:-2]) and spoken([messages[0]["alignment"]])[0].startswith("Nine")
    assert spoken([one["alignment"] for one in messages if one.get("alignment")]) == text.split()
    clock, audio = 0, 0.0
    for alignment, data in ((one["alignment"], one["audio"]) for one in messages if one.get("alignment")):
        starts, lasts = alignment["charStartTimesMs"], alignment["charDurationsMs"]
        assert starts[0] >= 0
        assert starts[1:] == [start + last for start, last in zip(starts, lasts, strict=True)][:-1]
        clock, audio = clock + starts[-1] + lasts[-1], audio + len(base64.b64decode(data or "")) / 16
        assert clock == pytest.approx(audio, abs=100), "the filter of the speed holds some back"
    assert clock == pytest.approx(len(sound(messages)) / 16, rel=0.02)


def test_times_count_from_the_beginning_where_they_are_asked_for_in_time(address: str) -> None:
    """As LiveKit's plug-in does, which adds nothing up."""
    path = f"{ONE}{PCM}&sync_alignment=true"
    messages = say(address, path, FIRST[ONE], {"text": "Nine birds. Ten birds. "}, {"text": ""})
    alignments = [one["alignment"] for one in messages if one.get("alignment")]
    starts = [start for one in alignments for start in one["charStartTimesMs"]]
    stop = starts[-1] + alignments[-1]["charDurationsMs"][-1]
    assert starts == sorted(starts) and stop == pytest.approx(len(sound(messages)) / 16, abs=2)


def test_contexts_speak_at_once_and_end_once(address: str, nine: bytes) -> None:
    names = ("a", "b", "c")
    begin = [{"text": " ", "context_id": name} for name in names]
    speak = [{"text": "Nine. ", "context_id": name, "flush": True} for name in names]
    close = [{"context_id": name, "close_context": True} for name in names]
    messages = say(address, MANY + PCM, *begin, *speak, {"text": ""}, *close, {"close_socket": True})
    finals = [one["contextId"] for one in messages if one.get("isFinal")]
    assert sorted(finals) == [*names]
    for name in names:
        assert sound(messages, contextId=name) == nine
        last = max(place for place, one in enumerate(messages) if one["contextId"] == name)
        assert messages[last]["isFinal"] is True


def test_a_name_may_be_used_again(address: str, nine: bytes) -> None:
    with opened(address, MANY + PCM) as connection:
        for _ in range(2):
            tell(connection, {"text": "Nine. ", "context_id": "a", "flush": True})
            tell(connection, {"context_id": "a", "close_context": True})
            assert sound(until(connection, isFinal=True, contextId="a")) == nine


def test_closing_a_context_half_way_is_an_interruption(address: str, server: TritonServer) -> None:
    with opened(address, MANY + PCM, {"text": LASTING, "context_id": "a"}) as connection:
        wait_until_it_speaks(server)
        first = told(connection)
        tell(connection, {"context_id": "a", "close_context": True})
        *others, final = until(connection, isFinal=True)
    assert final["finish_reason"] == "cancelled"
    reached = [part["characters"] for part in final["report"]["parts"]]
    assert 0 < reached[-1][1] < len(LASTING)
    assert 0 <= final["characters_sent"] <= reached[-1][1]
    words = spoken([one["alignment"] for one in (first, *others)])
    assert 0 < len(words) < len(LASTING.split()) and words == LASTING.split()[: len(words)]


def test_what_was_flushed_is_finished_unless_it_is_closed_again(address: str, server: TritonServer) -> None:
    closing = {"context_id": "a", "close_context": True}
    with opened(address, MANY + PCM, {"text": LASTING, "context_id": "a", "flush": True}, closing) as connection:
        wait_until_it_speaks(server)
        assert not told(connection).get("isFinal")
        tell(connection, closing)
        assert until(connection, isFinal=True)[-1]["finish_reason"] == "cancelled"


def test_an_empty_context_ends_too(address: str) -> None:
    closing = [{"context_id": name, "close_context": True} for name in ("a", "x")]
    messages = say(address, MANY, FIRST[MANY], *closing, {"close_socket": True})
    assert [(one["isFinal"], one["contextId"]) for one in messages] == [(True, "a"), (True, "x")]
    assert say(address, ONE, FIRST[ONE], {"text": ""}) == []


@pytest.mark.parametrize(
    ("name", "container"),
    [("mp3_22050_32", "mp3"), ("opus_48000_32", "ogg"), ("ulaw_8000", "mulaw"), ("alaw_8000", "alaw")],
)
def test_formats(address: str, nine: bytes, name: str, container: str) -> None:
    data = sound(say(address, f"{ONE}?output_format={name}", FIRST[ONE], {"text": "Nine. "}, {"text": ""}))
    options = {"sample_rate": "8000"} if "law" in container else {}
    with av.open(io.BytesIO(data), "r", format=container, options=options) as file:
        assert file.streams.audio[0].rate == int(name.split("_")[1])
        seconds = sum(frame.samples for frame in file.decode(audio=0)) / file.streams.audio[0].rate
    assert seconds == pytest.approx(len(nine) / 16_000, abs=0.1)


def test_a_dialogue_has_a_voice_for_each_speaker(address: str) -> None:
    voices = {"voices": ["tone", "alloy"]}
    lines = [("Nine birds. ", "tone"), ("Ten birds. ", "alloy"), ("And ", "tone"), ("two. ", "tone")]
    inputs = {"inputs": [{"text": text, "voice_id": voice} for text, voice in lines]}
    query = "?output_format=pcm_8000&sync_alignment=true"
    messages = say(address, DIALOGUE + query, voices, inputs, {"keep_alive": True}, {"close_socket": True})
    parts = messages[-1]["report"]["parts"]
    assert [part["written"] for part in parts] == ["Nine birds.", "Ten birds.", "And two."]
    assert [part["speaker"] for part in parts] == ["Speaker 1", "Speaker 2", "Speaker 1"]
    assert messages[-1]["is_final"] is True and len(sound(messages)) > 16_000
    alignments = [one["alignment"] for one in messages if one.get("alignment")]
    assert spoken(alignments) == [word for part in parts for word in part["written"].split()]


def test_several_dialogues_on_one_socket(address: str, nine: bytes) -> None:
    path = DIALOGUE.replace("stream-input", "multi-stream-input") + PCM
    messages = say(
        address, path, {"voices": ["tone"], "context_id": "a"},
        {"inputs": [{"text": "Nine. ", "voice_id": "tone"}], "context_id": "a", "flush": True},
        {"context_id": "a", "keep_alive": True}, {"context_id": "a", "close_context": True}, {"close_socket": True},
    )  # fmt: skip
    assert sound(messages, context_id="a") == nine and messages[-1]["is_final"] is True


@pytest.mark.parametrize(
    ("path", "messages", "sentence"),
    [
        (f"{ONE}?output_format=pcm_1", (), "There is no output_format 'pcm_1'"),
        (f"{ONE}?inactivity_timeout=x", (), "inactivity_timeout is 'x'"),
        (ONE, ({"text": 1},), "text is no text."),
        (ONE, ({"text": "Hi. ", "voice_settings": {"speed": 9}},), "speed is 9"),
        (ONE.replace("tone", "nobody"), ({"text": "Hi. "}, {"text": ""}), "voice 'nobody' is unknown"),
        (f"{ONE}?language_code=xx", ({"text": "Hi. "}, {"text": ""}), "language"),
        (MANY, ({"text": " ", "context_id": 1},), "context_id is a text of at most 200 characters."),
        (DIALOGUE, ({"inputs": []},), "voices"),
        (DIALOGUE, ({"voices": []},), "voices"),
        (DIALOGUE, ({"voices": ["tone"]}, {"inputs": [{"text": "Hi.", "voice_id": "x"}]}), "voices does not have 'x'."),
    ],
)
def test_an_error_that_ends_the_socket(address: str, path: str, messages: Any, sentence: str) -> None:
    with opened(address, path, *messages) as connection:
        answers, code, reason = rest(connection)
    error = answers[-1]
    assert error["message"].startswith(sentence) and error["code"] == code == 1008
    assert error["error"] and reason and error["message"].startswith(reason)


def test_an_error_of_one_context_leaves_the_others(server: TritonServer, nine: bytes) -> None:
    with running(Settings(triton=server.grpc_url, max_characters=40)) as url, opened(url, MANY + PCM) as connection:
        tell(connection, {"text": "Nine. ", "context_id": "good"}, {"text": "x" * 41, "context_id": "long"})
        error = until(connection, isFinal=True, contextId="long")[-2]
        assert (error["error"], error["contextId"]) == ("text_too_long", "long")
        tell(
            connection,
            {"text": " ", "context_id": "good", "flush": True},
            {"context_id": "good", "close_context": True},
        )
        final = until(connection, isFinal=True, contextId="good")[-1]
        assert final["finish_reason"] in ("stop", "runaway")


def test_so_many_contexts_may_speak(address: str) -> None:
    with opened(address, MANY + PCM) as connection:
        tell(connection, *({"text": "Nine ", "context_id": str(number)} for number in range(17)))
        error = until(connection, error="too_many_speeches")[-1]
        assert error["contextId"] == "16"
    with opened(address, MANY + PCM) as connection:  # and so many may be there
        tell(connection, *({"text": " ", "context_id": str(number)} for number in range(65)))
        assert until(connection, error="too_many_contexts")[-1]["contextId"] == "64"


def test_voices_and_speech_over_http(http: httpx.Client, nine: bytes) -> None:
    (voice,) = http.get("/v1/voices").json()["voices"]
    assert voice["voice_id"] == voice["name"] == "tone" and voice["category"] == "premade"
    path = "/v1/text-to-speech/tone/stream"
    answer = http.post(path + PCM, json={"text": "Nine.", "model_id": "eleven_v3", "voice_settings": {"stability": 1}})
    assert answer.status_code == 200 and answer.headers["content-type"] == "audio/pcm" and answer.content == nine
    lines = http.post(f"{path}/with-timestamps{PCM}", json={"text": "Nine."}).text.splitlines()
    told_of = [json.loads(line) for line in lines]
    assert b"".join(base64.b64decode(line["audio_base64"]) for line in told_of) == nine
    alignment = told_of[-1]["alignment"]
    assert "".join(alignment["characters"]) == "Nine. "
    assert alignment["character_end_times_seconds"][-1] == pytest.approx(len(nine) / 16_000, abs=0.01)
    refused = http.post(f"{path}?output_format=mp4", json={"text": "Nine."})
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "output_format"
