"""Voices over HTTP, made of clips that clients send, on a Triton that keeps them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from higgs_tts import GenerationParams, HiggsClient, Reference
from higgs_tts.pcm import to_s16

from gateway.settings import FEMININE, MASCULINE, Settings
from serve.triton import TritonServer
from tests.gateway import bombs
from tests.gateway.running import caller, running
from tests.gateway.test_consents import RECORDING, fault, give

PATH = "/v1/audio/voices"
WORDS = "the very same words"
SPEECH = {"input": "Nine birds.", "response_format": "pcm", "max_seconds": 0.4, "temperature": 0}


@pytest.fixture(scope="module")
def keeping(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server with a state folder."""
    with TritonServer(bundle, state=tmp_path_factory.mktemp("state")) as triton:
        yield triton


@pytest.fixture(scope="module")
def gateway(keeping: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(Settings(triton=keeping.grpc_url, consents=tmp_path_factory.mktemp("consents"))) as url:
        yield url


@pytest.fixture
def keeper(gateway: str) -> Iterator[httpx.Client]:
    """Its client; the voices that a test adds go with it."""
    with caller(gateway) as client:
        yield client
        for voice in client.get(PATH).json()["uploaded_voices"]:
            assert client.delete(f"{PATH}/{voice['name']}").status_code == 200


def tone(pitch: float, seconds: float = 2.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * pitch / 24_000 * np.arange(int(seconds * 24_000)))).astype(np.float32)


def clip(pitch: float = 200, seconds: float = 2.0) -> bytes:
    return bombs.encoded("flac", "flac", tone(pitch, seconds)[None], 24_000)


def add(http: httpx.Client, name: str, sample: bytes | None = None, **fields: Any) -> httpx.Response:
    """As vLLM-Omni's clients do, but for fields that are None."""
    data = {"name": name, "consent": "Ann said yes", "ref_text": WORDS} | fields
    data = {key: value for key, value in data.items() if value is not None}
    files = {"audio_sample": ("me.wav", clip() if sample is None else sample, "audio/wav")}
    return http.post(PATH, data=data, files=files)


def say(http: httpx.Client, **fields: Any) -> bytes:
    answer = http.post("/v1/audio/speech", json=SPEECH | fields)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_openais_way_from_a_consent_to_speech(keeper: httpx.Client, keeping: TritonServer) -> None:
    consent = give(keeper).json()
    answer = add(keeper, "mine", consent=consent["id"], language="en", gender="female").json()
    assert {key: answer[key] for key in ("object", "id", "name")} == {
        "object": "audio.voice", "id": "voice_mine", "name": "mine"
    }  # fmt: skip
    spoken = say(keeper, voice={"id": answer["id"]})
    with HiggsClient(keeping.grpc_url) as client:
        params = GenerationParams(max_seconds=0.4, temperature=0)
        reference = Reference((np.round(tone(200) * 2**15) / 2**15, 24_000), WORDS)
        alike = client.synthesize(SPEECH["input"], voice="mine", params=params)
        assert spoken == to_s16(alike.samples).tobytes()
        direct = client.synthesize(SPEECH["input"], reference=reference, params=params)
        assert len(direct.samples) == len(alike.samples)
        kept = client.voice("mine")
    assert kept.transcript == WORDS and kept.samples is not None
    assert np.abs(kept.samples - tone(200)).max() < 1e-3
    told = {key: consent[key] for key in ("id", "name", "language", "created_at")}
    assert kept.metadata["consent"] == told | {"sha256": hashlib.sha256(RECORDING).hexdigest()}
    assert kept.metadata["created_at"] == answer["created_at"]
    assert keeper.delete(f"/v1/audio/voice_consents/{consent['id']}").status_code == 200
    assert say(keeper, voice="mine") == spoken, "a voice outlives its consent's record, which it carries"
    shown = keeper.get(f"{PATH}/voice_mine").json()
    assert shown == keeper.get(f"{PATH}/mine").json()
    assert (shown["id"], shown["language"], shown["seconds"]) == ("voice_mine", "en", 2.0)
    gone = keeper.delete(f"{PATH}/voice_mine").json()
    assert gone["deleted"] is True and gone["object"] == "audio.voice.deleted" and gone["id"] == "voice_mine"
    assert fault(keeper.get(f"{PATH}/mine"))[0] == 404
    unknown = keeper.post("/v1/audio/speech", json=SPEECH | {"voice": "mine"})
    assert unknown.status_code == 400 and "unknown" in unknown.json()["error"]["message"]


def test_the_peers_way(keeper: httpx.Client) -> None:
    answer = add(keeper, "José", speaker_description="calm").json()
    told = {
        "name": "José",
        "consent": "Ann said yes",
        "created_at": answer["created_at"],
        "file_size": len(clip()),
        "mime_type": "audio/flac",
        "ref_text": WORDS,
        "speaker_description": "calm",
    }
    assert answer["success"] is True and answer["voice"] == told
    listed = keeper.get(PATH).json()
    assert listed["uploaded_voices"] == [told]
    assert [(voice["id"], voice["name"], voice["origin"]) for voice in listed["voices"]] == [
        ("José", "José", "added"),
        ("tone", "tone", "bundle"),
    ]
    assert keeper.get("/v1/audio/speech/voices").json() == {"voices": listed["voices"]}
    gone = keeper.delete(f"{PATH}/Jose\u0301").json()
    assert gone["success"] is True and "José" in gone["message"]


def test_a_voice_may_be_described_in_words(keeper: httpx.Client) -> None:
    form = {"name": (None, "deep"), "speaker_description": (None, "A deep, calm voice.")}
    assert keeper.post(PATH, files=form).json()["name"] == "deep"
    scene = say(keeper, scene="SPEAKER0: A deep, calm voice.")
    assert say(keeper, voice="deep") == scene


def test_a_voice_is_replaced_when_asked(keeper: httpx.Client) -> None:
    add(keeper, "mine", clip(200))
    first = say(keeper, voice="mine")
    status, _, sentence = fault(add(keeper, "mine", clip(600)))
    assert status == 400 and "already exists" in sentence
    assert say(keeper, voice="mine") == first
    assert add(keeper, "mine", clip(600), replace="true").status_code == 200
    assert say(keeper, voice="mine") != first


@pytest.mark.parametrize(
    "fields, status, param, sentence",
    [
        ({"ref_text": None}, 400, "ref_text", "send them as ref_text"),
        ({"ref_text": " "}, 400, "ref_text", "send them as ref_text"),
        ({"consent": None}, 400, "consent", "send a consent's id"),
        ({"consent": "cons_" + "0" * 24}, 404, "consent", "There is no consent"),
        ({"name": "voice_x"}, 400, "name", "begins with voice_"),
        ({"name": "../x"}, 400, None, "not allowed"),
        ({"name": "tone"}, 400, None, "belongs to the bundle"),
        ({"replace": "perhaps"}, 400, "replace", "replace is 'perhaps'"),
        ({"sample": b"no sound"}, 400, "audio_sample", "no recording that can be read"),
        ({"sample": clip(200, 0.1)}, 400, None, "too short"),
        ({"sample": clip(200, 35.0)}, 400, None, "too long"),
        ({"sample": clip(200, 61.0)}, 400, "audio_sample", "lasts more than 60 s"),
        ({"sample": bombs.silence("ogg", "libopus", 2)}, 400, None, "silent"),
        ({"sample": bombs.table(50_000_000, 1)}, 400, None, "empty"),
        ({"sample": bytes(10 * 2**20 + 1)}, 413, "audio_sample", "more than 10 MiB"),
    ],
    ids=range(15),
)
def test_refusals_say_why_and_leave_no_voice(
    keeper: httpx.Client, fields: dict[str, Any], status: int, param: str | None, sentence: str
) -> None:
    told = fault(add(keeper, **({"name": "x"} | fields)))
    assert told[:2] == (status, param) and sentence in told[2]
    assert keeper.get(PATH).json()["uploaded_voices"] == []


def test_what_is_no_voice_at_all(keeper: httpx.Client) -> None:
    assert fault(keeper.post(PATH, files={"name": (None, "x")}))[:2] == (400, "audio_sample")
    words = keeper.post(PATH, files={"name": (None, "x"), "ref_text": (None, WORDS)})
    assert fault(words)[:2] == (400, "audio_sample")
    assert fault(keeper.get(f"{PATH}/nobody")) == (404, "voice", "There is no voice 'nobody'.")
    assert fault(keeper.delete(f"{PATH}/nobody"))[0] == 404
    assert fault(keeper.delete(f"{PATH}/tone"))[0] == 403
    assert say(keeper, voice="tone")


def test_a_server_without_a_state_folder_keeps_none(http: httpx.Client) -> None:
    status, _, sentence = fault(add(http, "mine"))
    assert status == 403 and "no state folder" in sentence
    assert fault(add(http, "mine", consent="cons_" + "0" * 24))[0] == 403
    assert [voice["name"] for voice in http.get(PATH).json()["voices"]] == ["tone"]


def test_names_of_voices_mean_what_clients_think(keeper: httpx.Client) -> None:
    """OpenAI's thirteen take a voice of their gender, where there is one, and always the same."""
    add(keeper, "she", clip(200), gender="female")
    add(keeper, "he", clip(600), gender="male")
    she, he = say(keeper, voice="she"), say(keeper, voice="he")
    assert she != he
    assert {say(keeper, voice=name) for name in FEMININE[:2]} == {she}
    assert {say(keeper, voice=name) for name in MASCULINE[:2]} == {he}
    assert add(keeper, "alloy", clip(600)).status_code == 200
    assert say(keeper, voice="alloy") == he, "a voice's own name comes first"


def test_aliases_are_the_operators(keeping: TritonServer) -> None:
    settings = Settings(triton=keeping.grpc_url, aliases={"boss": "tone", "nova": "tone"})
    with running(settings) as url, caller(url) as http:
        assert say(http, voice="boss") == say(http, voice="nova") == say(http, voice="voice_tone")


def test_models_are_listed_under_every_name(http: httpx.Client) -> None:
    listed = http.get("/v1/models").json()
    assert listed["object"] == "list"
    names = [model["id"] for model in listed["data"]]
    assert {"higgs-audio-v2", "tts-1", "gpt-4o-mini-tts"} <= {*names}
    assert http.get("/v1/audio/models").json() == {"models": [{"id": name} for name in names]}
    for model in listed["data"]:
        assert model.keys() == {"id", "object", "created", "owned_by"} and model["object"] == "model"
        assert http.get(f"/v1/models/{model['id']}").json() == model | {"voices": [{"name": "tone"}]}
    status, param, sentence = fault(http.get("/v1/models/gpt-9"))
    assert (status, param) == (404, "model") and "higgs-audio-v2" in sentence


def test_the_forms_are_documented(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    form = paths[PATH]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {"name", "audio_sample", "consent", "ref_text", "speaker_description", "replace"} <= form.keys()
    assert '"binary"' in json.dumps(form["audio_sample"])
    consent = paths["/v1/audio/voice_consents"]["post"]
    assert consent["requestBody"]["content"]["multipart/form-data"]["schema"]["required"] == [
        "name", "language", "recording"
    ]  # fmt: skip
    for path in (PATH, PATH + "/{voice_id}", "/v1/audio/voice_consents/{consent_id}"):
        for operation in paths[path].values():
            assert {"200", "400", "403", "404"} <= operation["responses"].keys()
            assert ("413" in operation["responses"]) == ("requestBody" in operation)
