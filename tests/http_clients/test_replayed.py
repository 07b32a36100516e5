"""What Open WebUI and wyoming_openai send, replayed by the description of their sources: neither is a package."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.http_clients.sound import RATE, TEXT, decoded


@pytest.fixture
def http(address: str) -> httpx.Client:
    return httpx.Client(base_url=address, timeout=120, trust_env=False)


def test_open_webui_lists_and_speaks(http: httpx.Client) -> None:
    """Voices and models for its settings; then a whole mp3, with the user's name in headers."""
    voices = http.get("/v1/audio/voices").json()["voices"]
    assert voices and all(one["id"] and one["name"] for one in voices)
    models = http.get("/v1/audio/models").json()["models"]
    assert "tts-1" in {one["id"] for one in models}
    user = {"X-OpenWebUI-User-Name": "Anna", "X-OpenWebUI-User-Id": "1", "Authorization": "Bearer none"}
    body = {"input": TEXT, "model": models[0]["id"], "voice": voices[0]["id"]}
    answer = http.post("/v1/audio/speech", json=body, headers=user)
    assert answer.status_code == 200 and answer.headers["content-type"] == "audio/mpeg"
    assert len(decoded(answer.content, "mp3")) > RATE


def test_wyoming_openai_probes_and_speaks_three_sentences_at_once(http: httpx.Client) -> None:
    """Kokoro's probe says yes, LocalAI's no; then sentences in parallel, in the format it can stream."""
    assert http.get("/v1/test").json() == {"status": "ok"}
    assert http.get("/v1/readyz").status_code == 404
    names = [one["id"] for one in http.get("/v1/audio/voices").json()["voices"]]
    assert http.get("/v1/models").json()["data"]

    def speak(voice: str) -> int:
        body = {"model": "tts-1", "voice": voice, "input": TEXT, "response_format": "pcm", "speed": 1.0}
        with http.stream("POST", "/v1/audio/speech", json=body) as answer:
            assert answer.status_code == 200
            return sum(map(len, answer.iter_bytes(2048)))

    with ThreadPoolExecutor(3) as pool:
        assert all(size > 2 * RATE for size in pool.map(speak, names[:3]))


def test_speaches_health_and_livekits_root(http: httpx.Client) -> None:
    assert http.get("/health").text == "OK"
    assert http.get("/v1/").status_code == 200
