"""What operators are told: metrics that move with requests, and one line of JSON for each."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from higgs_tts import AudioChunk
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import Metrics, Spoken
from gateway.settings import Settings
from serve.triton import TritonServer
from tests.gateway.running import running

RATE = 24_000
SPEECH = {"input": "Nine birds.", "response_format": "pcm", "max_seconds": 1.0}


def values(page: str) -> dict[str, float]:
    """Every series of a page, by name with labels."""
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def grown(before: dict[str, float], after: dict[str, float], name: str, **labels: str) -> float:
    key = f"higgs_gateway_{name}{json.dumps(labels, sort_keys=True)}"
    return after[key] - before.get(key, 0.0)


def test_a_request_moves_them(http: httpx.Client) -> None:
    before = values(http.get("/metrics").text)
    assert http.post("/v1/audio/speech", json=SPEECH).status_code == 200
    assert http.post("/v1/audio/speech", json=SPEECH | {"voice": "nobody"}).status_code == 400
    assert http.get("/no/such/path").status_code == 404
    after = values(http.get("/metrics").text)
    route = {"route": "/v1/audio/speech"}
    assert grown(before, after, "requests_total", **route, method="POST", status="200") == 1
    assert grown(before, after, "requests_total", **route, method="POST", status="400") == 1
    assert grown(before, after, "requests_total", route="none", method="any", status="404") == 1
    assert grown(before, after, "request_seconds_count", **route) == 2
    assert grown(before, after, "speeches_total", outcome="length", format="pcm", voice="none") == 1
    assert grown(before, after, "speeches_total", outcome="InvalidRequestError", format="pcm", voice="named") == 1
    for name in ("time_to_first_audio_seconds", "real_time_factor", "starved_seconds"):
        assert grown(before, after, f"{name}_count") == 1
    assert grown(before, after, "time_to_first_byte_seconds_count", format="pcm") == 1
    assert grown(before, after, "chunk_interval_seconds_count") >= 1
    assert grown(before, after, "audio_seconds_total") == pytest.approx(1.0)
    first, whole = (grown(before, after, name) for name in ("time_to_first_audio_seconds_sum", "real_time_factor_sum"))
    assert 0 < first < whole, "one second of audio: its factor is when its last chunk came"
    assert after["higgs_gateway_open_requests{}"] == 1, "the page's own"
    assert after["process_resident_memory_bytes{}"] > 0


def chunk(seconds: float, received_at: float) -> AudioChunk:
    return AudioChunk(np.zeros(round(seconds * RATE), np.float32), 0, RATE, None, received_at)


@pytest.mark.parametrize(
    ("speed", "arrivals", "starved"),
    [
        (1.0, (1.0, 1.9, 2.9), 0.0),
        (1.0, (1.5, 2.5, 3.5), 0.5),  # late by half a second once; the player goes on from there
        (1.0, (1.5, 2.0, 4.0), 1.0),
        (2.0, (1.0, 1.5, 2.25), 0.75),  # each second is over after half of one
        (0.5, (2.0, 4.0, 6.0), 0.0),
    ],
)
def test_what_a_player_lacks_is_summed(
    monkeypatch: pytest.MonkeyPatch, speed: float, arrivals: tuple[float, ...], starved: float
) -> None:
    """A second of audio comes and leaves at 0, and more of them at these times."""
    monkeypatch.setattr("gateway.metrics.time", SimpleNamespace(monotonic=lambda: 100.0))
    metrics = Metrics()
    spoken = Spoken(metrics, "id", started_at=99.75)
    spoken.begin("pcm", "none", speed)
    spoken.hears(chunk(1.0, 100.0))
    spoken.sends(b"..")
    for arrival in arrivals:
        spoken.hears(chunk(1.0, 100.0 + arrival))
        spoken.sends(b"..")
    spoken.ends("stop")
    assert spoken.starved_seconds == pytest.approx(starved)
    told = {sample.name: sample.value for family in metrics.registry.collect() for sample in family.samples}
    assert told["higgs_gateway_starved_seconds_sum"] == pytest.approx(starved)
    assert told["higgs_gateway_unstarved_speeches_total"] == (starved == 0)
    assert told["higgs_gateway_real_time_factor_sum"] == pytest.approx((arrivals[-1] + 0.25) / 4)
    assert told["higgs_gateway_time_to_first_audio_seconds_sum"] == pytest.approx(0.25)


def test_a_speech_that_broke_is_counted_and_not_measured() -> None:
    metrics = Metrics()
    spoken = Spoken(metrics, "id")
    spoken.begin("mp3", "clip")
    spoken.hears(chunk(1.0, spoken.started_at + 1))
    spoken.ends("gone")
    spoken.ends("stop")  # the first counts
    told = {sample.name: sample.value for family in metrics.registry.collect() for sample in family.samples}
    assert told["higgs_gateway_real_time_factor_count"] == 0
    labels = {"outcome": "gone", "format": "mp3", "voice": "clip"}
    assert metrics.registry.get_sample_value("higgs_gateway_speeches_total", labels) == 1


@pytest.mark.parametrize("log_text", [False, True])
def test_a_request_leaves_one_line_of_json_that_holds_no_text_unless_asked(
    server: TritonServer, caplog: pytest.LogCaptureFixture, log_text: bool
) -> None:
    with (
        caplog.at_level(logging.INFO, "gateway.requests"),
        running(Settings(triton=server.grpc_url, log_text=log_text)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        assert http.get("/health/live").status_code == 200
        answer = http.post("/v1/audio/speech", json=SPEECH, headers={"x-request-id": "mine"})
    (record,) = [one for one in caplog.records if one.name == "gateway.requests"]
    line = record.getMessage()
    assert "\n" not in line and ("Nine birds." in line) == log_text
    told = json.loads(line)
    assert (told["request_id"], told["status"], told["route"]) == ("mine", 200, "/v1/audio/speech")
    assert (told["outcome"], told["audio_seconds"], told["bytes"]) == ("length", 1.0, len(answer.content))
    assert 0 < told["first_audio_seconds"] <= told["seconds"]
    assert told["higgs_request_id"] and told["key"] == "anybody"
    assert told.get("text") == ("Nine birds." if log_text else None)


def test_their_page_lists_them() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "serving.md"
    table = page.read_text().split("\n| of the gateway |", 1)[1].split("\n\n")[0]
    described = {
        f"{family.name}{'_total' if family.type == 'counter' else ''}"
        for family in Metrics().registry.collect()
        if family.name.startswith("higgs_")
    }
    listed = {word.split("{")[0] for line in table.splitlines()[2:] for word in line.split("|")[1].split("`")[1::2]}
    assert listed == described
