"""`POST /v1/audio/speech` against a real server."""

from __future__ import annotations

import base64
import io
import json
import shlex
from typing import Any

import av
import httpx
import numpy as np
import pytest
from higgs_tts import GenerationParams, HiggsClient
from higgs_tts.pcm import to_s16

from gateway.encoding import FORMATS
from gateway.settings import PORT, Settings
from serve.triton import TritonServer
from tests.client.proxy import TokenProxy
from tests.conftest import ROOT
from tests.gateway.running import caller, running

PATH = "/v1/audio/speech"
TEXT = "Nine birds."
SPEECH = {"input": TEXT, "response_format": "pcm", "max_seconds": 1.0}
RATE = 24_000


@pytest.fixture(scope="module")
def samples(server: TritonServer) -> np.ndarray:
    """The same speech by gRPC."""
    with HiggsClient(server.grpc_url) as client:
        return client.synthesize(TEXT, params=GenerationParams(max_seconds=1.0)).samples


def test_the_curl_line_of_the_readme_makes_an_mp3(http: httpx.Client) -> None:
    line = next(one for one in (ROOT / "README.md").read_text().splitlines() if one.startswith("curl "))
    words = shlex.split(line)
    header, body = words[words.index("-H") + 1], json.loads(words[words.index("-d") + 1])
    assert words[1] == f"localhost:{PORT}{PATH}" and words[-1].endswith(".mp3")
    name, _, value = header.partition(": ")
    content = json.dumps(body | {"voice": "tone", "max_seconds": 0.2})  # the tests' only voice
    answer = http.post(PATH, content=content, headers={name: value})
    assert answer.headers["content-type"] == "audio/mpeg" and decoded(answer.content)[1] == RATE


def speak(http: httpx.Client, **fields: Any) -> httpx.Response:
    return http.post(PATH, json=SPEECH | fields)


def decoded(data: bytes) -> tuple[np.ndarray, int]:
    """Samples [n] in [-1, 1] of any audio file, and their rate."""
    with av.open(io.BytesIO(data), "r") as file:
        to_float = av.AudioResampler("flt", "mono", file.streams.audio[0].rate)
        pieces = [one.to_ndarray() for frame in file.decode(audio=0) for one in to_float.resample(frame)]
        return np.concatenate(pieces, axis=1)[0], file.streams.audio[0].rate


def likeness(some: np.ndarray, others: np.ndarray) -> float:
    """Their correlation, where they fit best: encoders put a delay in front."""
    long = len(some) + len(others)
    product = np.fft.irfft(np.fft.rfft(some, long) * np.conj(np.fft.rfft(others, long)), long)
    return float(product.max() / np.sqrt((some**2).sum() * (others**2).sum()))


def test_pcm_is_what_grpc_gives(http: httpx.Client, samples: np.ndarray) -> None:
    answer = speak(http)
    assert answer.status_code == 200 and answer.headers["content-type"] == "audio/pcm"
    assert answer.content == to_s16(samples).tobytes()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_the_same_speech(http: httpx.Client, samples: np.ndarray, name: str) -> None:
    answer = speak(http, response_format=name)
    assert answer.headers["content-type"] == FORMATS[name].media_type
    data = answer.content
    if name == "pcm":
        found, rate = np.frombuffer(data, "<i2").astype(np.float32) / 32768, RATE
    else:
        found, rate = decoded(data)
    assert rate in {RATE, 48_000}  # Opus is always decoded at 48 kHz
    assert len(found) / rate == pytest.approx(len(samples) / RATE, abs=0.1)
    assert likeness(found[:: rate // RATE], samples) > 0.9


@pytest.mark.parametrize("name", ["pcm", "mp3"])
def test_events_carry_the_bytes_of_any_format(http: httpx.Client, name: str) -> None:
    whole = speak(http, response_format=name).content
    answer = speak(http, response_format=name, stream_format="sse")
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert b"".join(base64.b64decode(one["audio"]) for one in told[:-1]) == whole
    assert {one["type"] for one in told[:-1]} == {"speech.audio.delta"}
    done = told[-1]
    assert done["type"] == "speech.audio.done" and done["finish_reason"] == "length"
    usage = done["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens"] > 0 and usage["output_tokens"] == 25
    assert done["report"]["parts"][0]["text"] == TEXT


def test_the_whole_has_its_report_in_headers(http: httpx.Client) -> None:
    answer = speak(http, stream=False)
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["x-finish-reason"] == "length"
    assert float(answer.headers["x-audio-seconds"]) == pytest.approx(1.0)
    assert json.loads(answer.headers["x-report"])["seed"] == 0


def test_the_trace_of_a_request_goes_on_to_triton(server: TritonServer) -> None:
    proxy = TokenProxy(server.grpc_url, token=None)
    parent, state = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1"
    try:
        with running(Settings(triton=proxy.url)) as address, caller(address) as http:
            for given in (parent, "no trace"):
                headers = {"traceparent": given, "tracestate": state}
                assert http.post(PATH, json=SPEECH, headers=headers).status_code == 200
                told = proxy.seen.pop("ModelStreamInfer")
                assert told.get("traceparent") == (parent if given == parent else None)
                assert told.get("tracestate") == (state if given == parent else None)
    finally:
        proxy.stop()


def test_speakers_take_voices_by_any_name_that_voice_takes(http: httpx.Client) -> None:
    speakers = {"Anna": "alloy", "Bob": "voice_tone", "Cleo": "feminine"}
    answer = speak(http, input="Anna: Nine.\nBob: Ten.\nCleo: Two.", speakers=speakers, stream=False, max_seconds=0.3)
    assert json.loads(answer.headers["x-report"])["voices"] == {"Anna": "tone", "Bob": "tone", "Cleo": None}
    assert speak(http, extra={"speakers": ["Anna"]}).status_code == 400
    assert speak(http, extra={"speakers": {"Anna": 1}}).status_code == 400
