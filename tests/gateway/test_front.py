"""What stands before every route: keys and their limits, the size of bodies, origins, ids, errors in OpenAI's shape."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import GatewayError
from gateway.keys import Keys
from gateway.settings import Settings
from serve.triton import TritonServer
from tests.certificates import make_certificates
from tests.gateway.running import caller, running
from tests.serve.launching import wait_for

PATH = "/v1/audio/speech"
SHORT = {"input": "Nine birds.", "max_seconds": 0.2, "response_format": "pcm"}


def key_file(folder: Path, **limits: int) -> Path:
    """A file with the key "secret" of alice."""
    file = folder / "keys.toml"
    told = "".join(f"{name} = {value}\n" for name, value in limits.items())
    file.write_text(f'[alice]\nsha256 = "{hashlib.sha256(b"secret").hexdigest()}"\n{told}')
    return file


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_with_keys_only_their_owners_may_call(server: TritonServer, tmp_path: Path) -> None:
    settings = Settings(triton=server.grpc_url, keys=("plain",), keys_file=key_file(tmp_path))
    with running(settings) as address, caller(address) as http:
        for headers in (
            {},
            bearer("wrong"),
            {"authorization": "Basic c2VjcmV0"},
            {"authorization": "Bearer two words"},
        ):
            answer = http.post(PATH, json=SHORT, headers=headers)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"]["type"] == "authentication_error"
            assert http.get("/metrics", headers=headers).status_code == 401
        for key in ("secret", "plain"):
            assert http.post(PATH, json=SHORT, headers=bearer(key)).status_code == 200
        assert http.get("/health/live").status_code == 200


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/v1/audio/voices", "/nowhere", "//v1/models"])
def test_a_proxy_s_path_opens_nothing(path: str) -> None:
    settings = Settings(triton="127.0.0.1:9", keys=("secret",), root_path="/tts")
    with running(settings) as address, caller(address) as http:
        assert http.get(path).status_code == 401
        assert http.get("/health/live").status_code == http.get("/").status_code == 200
        assert http.get("/v1/models", headers=bearer("secret")).status_code == 200


def test_a_key_has_so_many_requests_a_minute(server: TritonServer, tmp_path: Path) -> None:
    settings = Settings(triton=server.grpc_url, keys_file=key_file(tmp_path, requests_per_minute=2))
    with running(settings) as address, caller(address, headers=bearer("secret")) as http:
        assert [http.get("/v1/models").status_code for _ in range(3)] == [200, 200, 429]
        refused = http.get("/v1/models")
        assert refused.json()["error"]["type"] == "rate_limit_error" and 1 <= int(refused.headers["retry-after"]) <= 30


def test_a_key_has_so_many_speeches_at_a_time(server: TritonServer, tmp_path: Path) -> None:
    settings = Settings(triton=server.grpc_url, keys_file=key_file(tmp_path, streams=1))
    body = {**SHORT, "input": "Nine birds sing. " * 20, "max_seconds": 30, "runaway_guard": False}
    with running(settings) as address, caller(address, headers=bearer("secret")) as http:
        with http.stream("POST", PATH, json=body) as first:
            assert first.status_code == 200
            second = http.post(PATH, json=SHORT)
            assert second.status_code == 429 and second.json()["error"]["code"] == "too_many_streams"
        # As soon as the first is seen to be gone.
        wait_for(lambda: http.post(PATH, json=SHORT).status_code == 200, seconds=30)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[alice]", "alice.sha256"),
        ('[alice]\nsha256 = "12"', "alice.sha256"),
        (f'[alice]\nsha256 = "{"0" * 64}"\nstreams = 0', "alice.streams"),
        (f'[alice]\nsha256 = "{"0" * 64}"\nstream = 1', "alice.stream"),
        ("alice = 1", "alice"),
        ("[alice", "is not TOML"),
        ("", "holds no keys"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, content: str, fault: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(content)
    with pytest.raises(ValueError, match=fault):
        Keys((), file)


def test_a_file_of_keys_is_read_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.keys._LOOK_SECONDS", 0.0)
    file = key_file(tmp_path, streams=2)
    keys = Keys(("plain",), file)
    alice = keys.owner("Bearer secret")
    alice.begin_speech()
    file.write_text(file.read_text() + f'[bob]\nsha256 = "{hashlib.sha256(b"other").hexdigest()}"\n')
    assert keys.owner("Bearer other").name == "bob"
    key_file(tmp_path, streams=1)
    with pytest.raises(GatewayError, match="speeches at a time is 1"):
        keys.owner("Bearer secret").begin_speech()
    alice.end_speech()
    keys.owner("Bearer secret").begin_speech()
    with pytest.raises(GatewayError, match="no such API key"):
        keys.owner("Bearer other")
    file.write_text("[alice")
    assert keys.owner("Bearer secret").name == "alice" and "stay as they are" in caplog.text
    file.unlink()
    assert keys.owner("Bearer plain").name == "environment-1" and keys.owner("Bearer secret").name == "alice"


@pytest.mark.parametrize("plain", [(), ("plain",)])
def test_an_emptied_file_takes_its_keys_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: tuple[str, ...]
) -> None:
    monkeypatch.setattr("gateway.keys._LOOK_SECONDS", 0.0)
    file = key_file(tmp_path)
    keys = Keys(plain, file)
    file.write_text("# nobody\n")
    for header in ("Bearer secret", None):
        with pytest.raises(GatewayError) as refusal:
            keys.owner(header)
        assert refusal.value.status == 401
    assert [keys.owner(f"Bearer {key}").name for key in plain] == ["environment-1"] * len(plain)
    if plain:
        assert Keys(plain, file), "it may be empty from the start beside others"


@pytest.mark.parametrize("name", ["bob", "bob.jones", 'Bob "B" Jones', "Zoë"])
def test_a_new_key_opens_with_its_entry(tmp_path: Path, name: str) -> None:
    made = subprocess.run([sys.executable, "-m", "gateway.keys", name], capture_output=True, text=True, check=True)
    file = tmp_path / "keys.toml"
    file.write_text(made.stdout)
    key = made.stderr.split()[-1]
    assert Keys((), file).owner(f"Bearer {key}").name == name


def test_bodies_are_bounded_also_when_their_length_is_not_told(server: TritonServer) -> None:
    with running(Settings(triton=server.grpc_url, max_body=1000)) as address, caller(address) as http:
        long = json.dumps(SHORT | {"extra": {}, "unknown": "x" * 2000}).encode()
        for content in (long, iter([long[:500], long[500:]])):
            answer = http.post(PATH, content=content, headers={"content-type": "application/json"})
            assert answer.status_code == 413, answer.text
            assert answer.json()["error"]["type"] == "invalid_request_error"
        assert http.post(PATH, json=SHORT).status_code == 200


def test_pages_of_other_origins_may_call_only_where_the_operator_says_so(server: TritonServer, address: str) -> None:
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    with caller(address) as http:
        assert "access-control-allow-origin" not in http.options(PATH, headers=asked).headers
    settings = Settings(triton=server.grpc_url, cors=("https://a.example",), keys=("secret",))
    with running(settings) as other, caller(other) as http:
        assert http.options(PATH, headers=asked).headers["access-control-allow-origin"] == "https://a.example"
        refused = http.post(PATH, json=SHORT, headers=asked)
        assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == "https://a.example"


def test_a_request_keeps_its_id_unless_it_is_none(http: httpx.Client) -> None:
    assert http.get("/v1/models", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    for odd in ("", "x" * 200, "two words"):
        assert len(http.get("/v1/models", headers={"x-request-id": odd}).headers["x-request-id"]) == 32


REFUSED: list[tuple[dict[str, Any] | str | bytes, int, str | None]] = [
    ({"input": ""}, 400, "input"),
    ({}, 400, "input"),
    ("{", 400, None),
    ("[]", 400, None),
    ("[" * 100_000, 400, None),
    (b"\xff\xfe", 400, None),
    ({"input": "a" * 40_000}, 400, "input"),
    ({"input": "hi", "speed": 5}, 400, "speed"),
    ('{"input": "hi", "speed": NaN}', 400, "speed"),
    ({"input": "hi", "voice": "nobody"}, 400, None),
    ({"input": "hi", "voice": "a\0b"}, 400, None),
    ({"input": "hi", "temperature": 99}, 400, None),
    ({"input": "hi", "temperature": "warm"}, 400, "temperature"),
    ('{"input": "hi", "temperature": NaN}', 400, None),
    ({"input": "hi", "seed": 2**70}, 400, None),
    ({"input": "hi", "model": "other"}, 404, "model"),
    ({"input": "hi", "mood": 1, "strict": True}, 400, "mood"),
    ({"input": "hi", "extra": {"mood": 1}}, 400, "extra"),
    ({"input": "hi", "extra": {"seed": 1}, "seed": 2}, 400, "seed"),
    ({"input": "hi", "instructions": "Softly.", "scene": "A room."}, 400, "instructions"),
    ({"input": "hi", "response_format": "opus", "sample_rate": 44100}, 400, "sample_rate"),
    ({"input": "hi", "ref_text": "words"}, 400, "ref_text"),
    ({"input": "hi", "ref_audio": "file:///etc/passwd"}, 400, "ref_audio"),
    ({"input": "hi", "ref_audio": "https://example.org/a.wav"}, 400, "ref_audio"),
    ({"input": "hi", "ref_audio": "data:audio/wav;base64,!!"}, 400, "ref_audio"),
]


@pytest.mark.parametrize(("body", "status", "param"), REFUSED, ids=range(len(REFUSED)))
def test_a_refusal_is_one_sentence_in_the_shape_of_openai(
    http: httpx.Client, body: dict[str, Any] | str | bytes, status: int, param: str | None
) -> None:
    content = json.dumps(body) if isinstance(body, dict) else body
    answer = http.post(PATH, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error" and error["param"] == param
    assert len(error["message"]) < 500 and error["message"].isprintable()


def test_unknown_fields_are_named(http: httpx.Client) -> None:
    assert http.post(PATH, json=SHORT | {"b": 1, "a": 2}).headers["x-ignored-fields"] == "a, b"


def test_no_server_is_a_503_that_says_when_to_come_again() -> None:
    with running(Settings(triton="127.0.0.1:9")) as address, caller(address) as http:
        answer = http.post(PATH, json=SHORT)
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["type"] == "server_error"
        assert http.get("/health/ready").status_code == 503
        assert http.get("/health/live").status_code == 200


def test_the_server_is_asked_whether_it_speaks(http: httpx.Client) -> None:
    assert http.get("/health/ready").json() == {"status": "ok"}


def test_it_speaks_tls(server: TritonServer, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    settings = Settings(triton=server.grpc_url, tls_cert=tmp_path / "server.pem", tls_key=tmp_path / "server.key")
    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with running(settings) as address, caller(address, verify=trust) as http:
        assert http.get("/health/live").status_code == 200


def test_a_million_entries_cost_nobody_s_time(http: httpx.Client) -> None:
    many = {str(number): 1 for number in range(100_000)}
    for body in ({"lexicon": many}, {"extra": many}, {"speakers": many}):
        answer = http.post(PATH, json=SHORT | body)
        assert answer.status_code == 400 and "entries" in answer.json()["error"]["message"]
    long = http.post(PATH, json=SHORT | {"input": ["x" * 100] * 10_000})
    assert long.status_code == 400 and len(long.json()["error"]["message"]) < 300


def test_a_line_end_in_a_path_is_no_way_round_a_limit(http: httpx.Client) -> None:
    assert http.post(f"{PATH}%0A", json=SHORT).status_code == 404


def test_another_site_s_page_may_not_use_a_browser_s_way_to_this_machine(server: TritonServer) -> None:
    asked = {"origin": "https://a.example", "sec-fetch-site": "cross-site"}
    with running(Settings(triton=server.grpc_url)) as address, caller(address, headers=asked) as http:
        assert http.post(PATH, json=SHORT).status_code == 403
        assert http.post("/v1/audio/voices", files={"name": (None, "x")}).status_code == 403
        assert http.get("/v1/models").status_code == 200
        assert http.post(PATH, json=SHORT, headers={"sec-fetch-site": "same-origin"}).status_code == 200
    settings = Settings(triton=server.grpc_url, cors=("https://a.example",))
    with running(settings) as address, caller(address, headers=asked) as http:
        assert http.post(PATH, json=SHORT).status_code == 200


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:80", "127.0.0.1:80", "[::1]:80", "10.1.2.3", "mine.example"])
def test_it_is_called_by_its_own_names(server: TritonServer, name: str) -> None:
    settings = Settings(triton=server.grpc_url, hosts=("mine.example",))
    with running(settings) as address, caller(address, headers={"host": name}) as http:
        assert http.get("/v1/models").status_code == 200


def test_a_page_may_not_give_the_gateway_a_name_of_its_own() -> None:
    """A site may have its name lead to 127.0.0.1; a browser then lets its page ask whatever listens there."""
    for name in (
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "a:b:c",
    ):
        with running(Settings(triton="127.0.0.1:9")) as address, caller(address, headers={"host": name}) as http:
            assert http.get("/").status_code == http.post(PATH, json=SHORT).status_code == 403, name
        with running(Settings(triton="127.0.0.1:9", keys=("secret",))) as address, caller(address) as http:
            assert http.get("/", headers={"host": name}).status_code == 200


def test_so_many_requests_are_open_at_a_time(server: TritonServer) -> None:
    body = {**SHORT, "input": "Nine birds sing. " * 20, "max_seconds": 30, "runaway_guard": False}
    with running(Settings(triton=server.grpc_url, max_requests=1)) as address, caller(address) as http:
        with http.stream("POST", PATH, json=body) as first:
            assert first.status_code == 200
            refused = http.post(PATH, json=SHORT)
            assert refused.status_code == 503 and "retry-after" in refused.headers
            assert http.get("/health/live").status_code == 200
        deadline = time.monotonic() + 20
        while http.post(PATH, json=SHORT).status_code != 200:
            assert time.monotonic() < deadline, "the place of one that left is never free"
            time.sleep(0.05)
