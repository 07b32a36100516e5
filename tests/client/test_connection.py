"""Tokens and certificates on the way to the server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from higgs_tts import AsyncHiggsClient, HiggsClient, HiggsError, InvalidRequestError, ServerUnavailableError, fleet
from higgs_tts.cli.arguments import parse_arguments
from higgs_tts.cli.command import main

from tests.certificates import make_certificates

from .proxy import TOKEN, TokenProxy
from .standin.server import StandInServer


@pytest.fixture
def proxy(settled: StandInServer) -> Iterator[TokenProxy]:
    started = TokenProxy(settled.url)
    yield started
    started.stop()


def test_metadata_goes_with_every_call(proxy: TokenProxy) -> None:
    with HiggsClient(proxy.url, metadata=dict([TOKEN])) as client:
        assert client.synthesize("seconds=0.2").seconds == 0.2
        assert [voice.name for voice in client.voices()] == ["slt"]
        with client.stream("seconds=60 pace=0.05") as stream:
            next(stream)
    assert proxy.seen.keys() == {"ModelConfig", "ModelStreamInfer", "ModelInfer"}


def test_metadata_goes_with_every_call_of_the_async_client(proxy: TokenProxy) -> None:
    async def run() -> float:
        async with AsyncHiggsClient(proxy.url, metadata={"Authorization": TOKEN[1]}) as client:
            await client.voices()
            return (await client.synthesize("seconds=0.2")).seconds

    assert asyncio.run(run()) == 0.2


@pytest.mark.parametrize("metadata", [None, {}, {"authorization": "Bearer other"}, {"token": "s3cret"}])
def test_a_refused_token_is_told_and_not_tried_again(proxy: TokenProxy, metadata: dict[str, str] | None) -> None:
    with (
        HiggsClient(proxy.url, metadata=metadata) as client,
        pytest.raises(ServerUnavailableError, match="refused the client's credentials: no valid token") as caught,
    ):
        client.synthesize("hello")
    assert (caught.value.code, caught.value.retryable) == ("unauthenticated", False)


def test_a_token_can_be_renewed(proxy: TokenProxy) -> None:
    metadata = {"authorization": "Bearer old"}
    with HiggsClient(proxy.url, metadata=metadata) as client:
        with pytest.raises(ServerUnavailableError):
            client.voices()
        metadata["authorization"] = TOKEN[1]
        assert client.voices()
        metadata["authorization"] = "Bearer old"
        with pytest.raises(ServerUnavailableError) as caught:
            client.synthesize("hello")
    assert caught.value.code == "unauthenticated"


@pytest.mark.parametrize(
    "metadata", [{"": "x"}, {"a b": "x"}, {"naïve": "x"}, {"a:": "x"}, {"a": "s3cret\n"}, {"a": "s3cret é"}]
)
def test_metadata_that_cannot_be_sent_is_refused_without_its_value(metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be sent") as caught:
        HiggsClient("localhost:1", metadata=metadata)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "words", [["--header", "Authorization=Bearer s3cret"], ["--token-file", "token.txt", "--header", "x-trace=a=b="]]
)
@pytest.mark.parametrize("command", [["seconds=0.2"], ["voices", "list"], ["batch", "m.jsonl", "--out", "out"]])
def test_the_command_line_sends_a_token(
    proxy: TokenProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("token.txt").write_text("s3cret\n")
    Path("m.jsonl").write_text('{"text": "seconds=0.2"}')
    assert main([*command, *words, "--url", proxy.url]) == 0
    assert main([*command, "--url", proxy.url]) == (0 if command[0] == "batch" else 1)  # the batch is done


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and server and client certificates that it signed, in a folder."""
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture
def secured(settled: StandInServer, certificates: Path) -> Iterator[TokenProxy]:
    """Asks for the client's certificate, as well as for a token."""
    key, chain, root = ((certificates / name).read_bytes() for name in ("server.key", "server.pem", "ca.pem"))
    credentials = grpc.ssl_server_credentials([(key, chain)], root, require_client_auth=True)
    started = TokenProxy(settled.url, credentials)
    yield started
    started.stop()


def tls_words(folder: Path, root: str = "ca.pem", name: str = "client") -> list[str]:
    files = {"--tls-root": root, "--tls-cert": f"{name}.pem", "--tls-key": f"{name}.key"}
    return [word for option, file in files.items() for word in (option, str(folder / file))]


def test_the_command_line_speaks_over_tls_with_certificates_of_both_sides(
    secured: TokenProxy, certificates: Path, tmp_path: Path
) -> None:
    words = ["seconds=0.2", "-o", str(tmp_path / "a.wav"), "--url", secured.url, "--header", "=".join(TOKEN)]
    assert main([*words, *tls_words(certificates)]) == 0


@pytest.mark.parametrize(("name", "status"), [("localhost", 0), ("another.test", 1)])
def test_of_a_names_addresses_the_certificate_has_the_name(
    secured: TokenProxy,
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    status: int,
) -> None:
    monkeypatch.setattr(fleet, "addresses_of", lambda name, port: [secured.url])
    words = ["voices", "list", "--url", f"dns:///{name}:1", "--header", "=".join(TOKEN), *tls_words(certificates)]
    assert main(words) == status
    assert ("do not trust each other's TLS certificates" in capsys.readouterr().err) == bool(status)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "hangs up at once: it may ask for TLS"),
        (["--tls"], "do not trust each other's TLS certificates"),
        (["--tls-root", "ca.pem"], "hangs up at once: it may ask for TLS (`credentials`, --tls), or for a certificate"),
        (["--tls-root", "client.key"], "do not trust each other's TLS certificates"),
    ],
)
def test_a_connection_without_trust_is_one_line(
    secured: TokenProxy,
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(certificates)
    assert main(["voices", "list", "--url", secured.url, "--header", "=".join(TOKEN), *words]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("higgs-tts: ServerUnavailableError: ")
    assert said in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("option", ["--tls-root", "--token-file"])
def test_a_missing_file_is_one_line(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hi", option, "none.pem"]) == 1
    assert capsys.readouterr().err == "higgs-tts: none.pem: No such file or directory\n"


@pytest.mark.parametrize("words", [["--tls-cert", "a"], ["--tls-key", "a"], ["--header", "a"], ["--header", "=a"]])
@pytest.mark.parametrize("command", [["hi"], ["voices", "list"], ["batch", "m.jsonl", "--out", "out"]])
def test_half_of_an_option_is_a_usage_error(words: list[str], command: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments([*command, *words])
    assert caught.value.code == 2


@pytest.mark.parametrize("name", ["chunk_timeout", "first_chunk_timeout", "connect_timeout", "drain_timeout"])
@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf"), "5", True, None])
def test_an_impossible_timeout_is_refused(name: str, seconds: object) -> None:
    with pytest.raises(HiggsError, match=f"{name} is .*; give a number of seconds above 0"):
        HiggsClient("localhost:1", **{name: seconds})
