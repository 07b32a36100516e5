"""Bad requests get one clear sentence of the right class, cost nothing, and hurt nobody."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, replace
from http.client import HTTPConnection
from typing import Any

import grpc
import numpy as np
import pytest
from higgs_tts import (
    AudioFormatError,
    GenerationParams,
    GenerationTimeoutError,
    HiggsClient,
    InvalidRequestError,
    Reference,
)
from higgs_tts.protocol import voices_request
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

from runtime.formats.signing import KEY_VARIABLE
from runtime.formats.speech_plan import SamplingParameters, WindowPlan
from serve.triton import TritonServer
from tests.serving import lasting
from tests.serving.models import codes_of, infer, one_part, stream, whole_window
from tools.bench.metrics import metrics

OUTPUTS = ["audio", "start_sample", "finish_reason"]
TONE = (0.3 * np.sin(np.arange(48000) * 0.05)).astype(np.float32)


def ask(server: TritonServer, **values: Any) -> None:
    stream(server.grpc_url, "higgs_audio_v2", values, OUTPUTS)


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"text": ""}, "InvalidRequestError: text is empty"),
        ({"text": " \n\t "}, "InvalidRequestError: text is empty"),
        ({"text": "?!..."}, "InvalidRequestError: text holds no letter or digit"),
        ({"text": "a" * 70000}, "InvalidRequestError: text has 70000 characters; at most 65536"),
        ({"text": "a\x00b"}, "InvalidRequestError: text holds the character U+0000"),
        ({"text": np.array([b"\xff\xfe"], dtype=object)}, "InvalidRequestError: text is not UTF-8"),
        ({"text": "x 1 " * 2000, "options": '{"chunk_method": "speaker"}'}, "InvalidRequestError: part 1 of the text"),
        ({"text": "Hi", "voice": "nobody"}, "InvalidRequestError: voice 'nobody' is unknown; there are: tone"),
        ({"text": "Hi", "options": "{"}, "InvalidRequestError: options is not valid JSON"),
        ({"text": "Hi", "options": "[1]"}, "InvalidRequestError: options must be a JSON object, not list"),
        ({"text": "Hi", "options": '{"speed": 2}'}, "InvalidRequestError: option 'speed' is unknown; there are preset"),
        ({"text": "Hi", "options": '{"preset": "best"}'}, "InvalidRequestError: preset 'best' is unknown"),
        ({"text": "Hi", "options": '{"preset": []}'}, "InvalidRequestError: preset [] is unknown"),
        ({"text": "Hi", "options": '{"scene": "\\ud800"}'}, "InvalidRequestError: scene holds the character U+D800"),
        ({"text": "Hi", "options": '{"temperature": -1}'}, "temperature is -1; it must be from 0.0 to 2.0"),
        ({"text": "Hi", "options": '{"temperature": NaN}'}, "temperature is nan; it must be from 0.0 to 2.0"),
        ({"text": "Hi", "options": '{"temperature": "hot"}'}, "temperature must be a number, not 'hot'"),
        ({"text": "Hi", "options": '{"top_k": 1.5}'}, "top_k must be an integer, not 1.5"),
        ({"text": "Hi", "options": '{"top_k": true}'}, "top_k must be an integer, not True"),
        ({"text": "Hi", "options": '{"top_p": 0}'}, "top_p is 0; it must be from 0.01 to 1.0"),
        ({"text": "Hi", "options": '{"seed": -3}'}, "seed is -3; it must be from 0 to"),
        ({"text": "Hi", "options": '{"max_seconds": 1e6}'}, "max_seconds is 1000000.0; it must be from 0.04 to 7200"),
        ({"text": "Hi", "options": '{"repetition_penalty": 1.1}'}, "use ras_window and ras_max_repeats"),
        ({"text": "Hi", "options": '{"hold_parts": 1}'}, "hold_parts must be true or false, not 1"),
        ({"text": "Hi", "options": '{"speakers": {"A": 1}}'}, "speakers must be an object of strings"),
        ({"text": "Hi", "options": '{"speakers": {"Anna": "tone"}}'}, "speakers gives 'Anna' a voice"),
        ({"text": "Hi", "options": '{"chunk_method": "word"}'}, "chunk_method 'word' is unknown; there are auto"),
        ({"text": "Hi", "options": '{"chunk_words": 2}'}, "chunk_words is 2; it must be from 5 to 400"),
        ({"text": "Hi", "options": '{"context_parts": 17}'}, "context_parts is 17; it must be from 0 to 16"),
        ({"text": "Hi", "options": '{"language": "de"}'}, "language 'de' is not supported"),
        ({"text": "A: One.\nB: Two.", "voice": "tone"}, "voice and reference_audio are for one speaker"),
        ({"text": '[{"role": "user"}]'}, "InvalidRequestError: message 0 needs content"),
        ({"text": "Hi", "options": '{"scene": 7}'}, "scene must be a string, not 7"),
        ({"text": "Hi", "reference_audio": TONE}, "InvalidRequestError: reference_audio needs reference_text"),
        ({"text": "Hi", "reference_text": "words"}, "reference_text comes with reference_audio only"),
        ({"text": "Hi", "voice": "tone", "reference_audio": TONE, "reference_text": "w"}, "exclude each other"),
        ({"text": "Hi", "reference_audio": TONE * np.nan, "reference_text": "w"}, "the reference audio holds NaN"),
        ({"text": "Hi", "reference_audio": TONE * 0, "reference_text": "w"}, "the reference audio is silent"),
        ({"text": "Hi", "reference_audio": TONE * 9, "reference_text": "w"}, "the reference audio peaks at"),
        ({"text": "Hi", "reference_audio": TONE[:2400], "reference_text": "w"}, "lasts 0.10 s; it must last 0.5 to"),
        ({"text": "Hi", "reference_audio": np.tile(TONE, 20), "reference_text": "w"}, "lasts 40.00 s; it must last"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_bad_requests_are_refused_with_a_sentence(server: TritonServer, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InferenceServerException) as refusal:
        ask(server, **values)
    assert sentence in str(refusal.value)


def test_refusals_reach_the_client_as_exceptions_of_their_class(client: HiggsClient) -> None:
    with pytest.raises(InvalidRequestError, match="top_p is 3"):
        client.synthesize("Hi", params=GenerationParams(top_p=3.0))
    silence = Reference((TONE * 0, 24000), "w")
    with pytest.raises(AudioFormatError):
        client.synthesize("Hi", reference=silence)


def test_a_refusal_in_the_middle_of_others_changes_nothing_for_them(server: TritonServer, client: HiggsClient) -> None:
    params = GenerationParams(seed=4, max_seconds=2.0, runaway_guard=False)
    expected = client.synthesize("Undisturbed.", params=params)
    running = client.stream("Undisturbed.", params=params)
    first = next(running)
    with pytest.raises(InferenceServerException):
        ask(server, text="")
    rest = np.concatenate([first.samples] + [chunk.samples for chunk in running])
    np.testing.assert_allclose(rest, expected.samples, atol=1e-3 * expected.samples.std())


def test_an_overdue_stream_ends_with_a_timeout_behind_its_audio(server: TritonServer, client: HiggsClient) -> None:
    with client.stream(lasting.TEXT, params=replace(lasting.PARAMS, timeout_seconds=0.8)) as slow:
        assert len(next(slow).samples) > 0, "what was spoken in time must arrive first"
        with pytest.raises(GenerationTimeoutError, match="time limit passed"):
            list(slow)
    time.sleep(0.6)
    assert metrics(server.metrics_url)['higgs_failed_total{error="GenerationTimeoutError"}'] >= 1


NO_CLIP = np.zeros((8, 0), np.int32)
GOOD = one_part(range(65, 90), SamplingParameters(0.0, 0, 1.0, 0, 1, 0), WindowPlan(10, 1.5, 50), 10)
WHOLE = asdict(GOOD)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("{", "is not what the text stage writes: JSONDecodeError"),
        ("[" * 100_000, "is not what the text stage writes: RecursionError"),
        (json.dumps(WHOLE | {"max_frames": -100}), "max_frames is -100, which is out of range"),
        (json.dumps(WHOLE | {"timeout": float("nan")}), "timeout is nan, which is out of range"),
        (json.dumps(WHOLE | {"windows": {"first": "a", "growth": 1.0, "maximum": 5}}), "first is 'a'"),
        (json.dumps(WHOLE | {"windows": {"first": 1, "growth": 1e300, "maximum": 5}}), "growth is 1e+300, which is"),
        (json.dumps(WHOLE | {"sampling": WHOLE["sampling"] | {"top_p": 0}}), "top_p is 0, which is out of range"),
        (json.dumps(WHOLE | {"prefixes": [[10**6]]}), "token ids must lie from 0 to"),
        (json.dumps(WHOLE | {"timeout": 1e15}), "timeout is 1000000000000000.0, which is out of range"),
        (json.dumps(WHOLE | {"windows": {"first": math.inf, "growth": 1.0, "maximum": math.inf}}), "first is inf"),
        (json.dumps(WHOLE | {"windows": {"first": 1, "growth": 1.0, "maximum": 10**6}}), "maximum is 1000000, which"),
        (json.dumps(WHOLE | {"sampling": WHOLE["sampling"] | {"top_k": 60.5}}), "top_k is 60.5"),
        (json.dumps(WHOLE | {"parts": [WHOLE["parts"][0] | {"pause": 100_000}]}), "pause is 100000, which is out of"),
        (json.dumps(WHOLE | {"parts": [WHOLE["parts"][0] | {"ids": [1.5]}]}), "token ids are whole numbers"),
    ],
    ids=[
        "no JSON",
        "deep JSON",
        "frames",
        "timeout",
        "window",
        "growth",
        "top_p",
        "ids",
        "long timeout",
        "infinite",
        "large window",
        "half a top_k",
        "pause",
        "half an id",
    ],
)
def test_nonsense_sent_to_the_inner_models_ends_there(server: TritonServer, plan: str, words: str) -> None:
    with pytest.raises(InferenceServerException, match="InvalidRequestError") as refusal:
        codes_of(server.grpc_url, plan, NO_CLIP)
    assert words in str(refusal.value)
    codes, _ = codes_of(server.grpc_url, GOOD, NO_CLIP)
    assert codes.shape == (8, 10), "the engine serves on"


@pytest.mark.parametrize("key", [None, "another server's"], ids=["unsigned", "forged"])
def test_what_no_model_of_this_server_wrote_is_refused_and_hurts_nobody(
    server: TritonServer, client: HiggsClient, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    params = GenerationParams(seed=4, max_seconds=2.0, runaway_guard=False)
    expected = client.synthesize("Undisturbed.", params=params)
    running = client.stream("Undisturbed.", params=params)
    first = next(running)
    if key is None:
        monkeypatch.delenv(KEY_VARIABLE)
    else:
        monkeypatch.setenv(KEY_VARIABLE, key)
    codes, none = np.zeros((1, 8, 5), np.int32), np.array([], np.int32)
    clips = {"reference_samples": TONE, "reference_lengths": np.array([TONE.size], np.int32)}
    plan = {"plan": GOOD.write(), "reference_codes": NO_CLIP, "reference_frames": none}
    for model, values, words in (
        ("codec_encoder", clips, "the clips must be what prompt wrote"),
        ("lm", plan, "the codes must be what codec_encoder wrote"),
        ("codec_decoder", {"codes": codes, "window": whole_window(codes)}, "the window must be what lm wrote"),
    ):
        with pytest.raises(InferenceServerException, match=f"InvalidRequestError: {words}"):
            stream(server.grpc_url, model, values, [])
    np.testing.assert_array_equal(
        np.concatenate([first.samples, *(chunk.samples for chunk in running)]), expected.samples
    )


def test_a_request_id_without_end_is_refused_and_not_repeated(server: TritonServer) -> None:
    with pytest.raises(InferenceServerException, match="the request id is 'aaa") as refusal:
        stream(server.grpc_url, "lm", {"control": "watch"}, [], request_id="a" * 2**21)
    assert len(str(refusal.value)) < 400


def test_a_clip_longer_than_any_request_may_have_is_not_encoded(server: TritonServer) -> None:
    for lengths in ([600 * 24000], [24000 * 29] * 40):
        values = {
            "reference_samples": np.zeros(sum(lengths), np.float32),
            "reference_lengths": np.array(lengths, np.int32),
        }
        with pytest.raises(InferenceServerException, match="clips to encode have at most"):
            stream(server.grpc_url, "codec_encoder", values, ["reference_codes"])


def test_codes_longer_than_any_window_are_not_decoded(server: TritonServer) -> None:
    codes = np.zeros((1, 8, 10_000), np.int32)
    with pytest.raises(InferenceServerException, match="codes has 10000 frames; a window has at most"):
        infer(server.grpc_url, "codec_decoder", {"codes": codes, "window": whole_window(codes)}, ["audio"])


def test_more_new_frames_than_fit_with_their_context_are_not_decoded(server: TritonServer) -> None:
    codes = np.zeros((1, 8, 270), np.int32)
    with pytest.raises(InferenceServerException, match="count is 270, which is out of range"):
        infer(server.grpc_url, "codec_decoder", {"codes": codes, "window": whole_window(codes)}, ["audio"])


@pytest.mark.parametrize("codes", [np.full((1, 8, 5), 1024), np.zeros((1, 3, 5)), np.zeros((2, 8, 5))])
def test_codes_the_codec_cannot_decode_are_refused(server: TritonServer, codes: np.ndarray) -> None:
    values = {"codes": codes.astype(np.int32), "window": whole_window(codes)}
    with pytest.raises(InferenceServerException, match="InvalidRequestError: codes must"):
        infer(server.grpc_url, "codec_decoder", values, ["audio"])


NOTHING = json.loads(whole_window(np.zeros((1, 8, 5))))


@pytest.mark.parametrize(
    "window",
    [
        "",
        "{}",
        "[]",
        json.dumps(NOTHING | {"count": 6}),
        json.dumps(NOTHING | {"context": -1}),
        json.dumps(NOTHING | {"pause": 100_000}),
        json.dumps(NOTHING | {"count": 2.5}),
        json.dumps(NOTHING | {"start": 10**30}),
        json.dumps(NOTHING | {"part": 2**40}),
        json.dumps(NOTHING | {"report": "x"}),
        json.dumps(NOTHING | {"speaker": 7}),
    ],
    ids=[
        "empty",
        "no field",
        "list",
        "too many frames",
        "frames below none",
        "pause",
        "half a frame",
        "start",
        "part",
        "report",
        "speaker",
    ],
)
def test_windows_that_make_no_sense_are_refused(server: TritonServer, window: str) -> None:
    values = {"codes": np.zeros((1, 8, 5), np.int32), "window": window}
    with pytest.raises(
        InferenceServerException, match=r"InvalidRequestError: (the window|window|context and count|pause|report) is"
    ):
        infer(server.grpc_url, "codec_decoder", values, ["audio"])


def test_refusals_are_counted_by_class(server: TritonServer) -> None:
    label = 'higgs_refused_total{error="InvalidRequestError",stage="prompt"}'
    before = metrics(server.metrics_url).get(label, 0)
    with pytest.raises(InferenceServerException):
        ask(server, text="")
    assert metrics(server.metrics_url)[label] == before + 1


def test_grpcs_code_fits_the_class(server: TritonServer) -> None:
    """Where an answer is no stream: Triton's streams carry messages without codes."""
    with grpc.insecure_channel(server.grpc_url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for request, code in (
            (voices_request("show", name="nobody"), grpc.StatusCode.INVALID_ARGUMENT),
            (voices_request("add", name="new", metadata='{"description": "calm"}'), grpc.StatusCode.INTERNAL),
        ):
            with pytest.raises(grpc.RpcError) as refusal:
                stub.ModelInfer(request)
            assert refusal.value.code() == code
        assert "StateError" in refusal.value.details()


def test_https_status_fits_the_class(server: TritonServer) -> None:
    body = json.dumps({"command": "show", "name": "nobody"})
    connection = HTTPConnection(server.http_url, timeout=10)
    connection.request("POST", "/v2/models/voices/generate", body)
    answer = connection.getresponse()
    assert (answer.status, b"InvalidRequestError" in answer.read()) == (400, True)
    connection.close()
