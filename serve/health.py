"""`python -m serve.health`: checks a server by having it speak. Prints one line and exits with code 0 or 1.

Triton's own ready endpoint stays ready when a model process has died. This sends a short request through the whole
ensemble. On a server whose slots are all taken the request waits like any other; that server is healthy as long as
audio keeps leaving it.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
from higgs_tts import (
    GenerationParams,
    GenerationTimeoutError,
    HiggsClient,
    HiggsError,
    OverloadedError,
    StreamStalledError,
)

TEXT = "Hello."
SECONDS = 0.2  # of audio: the shortest that passes every model
_LEFT = 'nv_inference_request_success{model="codec_decoder",version="1"}'  # windows of audio that left the ensemble
_LOOK_SECONDS = 0.25  # Triton renews its metrics four times a second
_DRAIN_SECONDS = 2.0
_GATEWAY_SECONDS = 3.0


@dataclass(frozen=True)
class Health:
    """The verdict and its reason in one line."""

    well: bool
    reason: str


def check(
    grpc_url: str, metrics_url: str, timeout: float, credentials: grpc.ChannelCredentials | None = None
) -> Health:
    """Ask the server at HOST:PORT for a little speech, and wait `timeout` seconds for it."""
    started = time.monotonic()
    before = audio_left(metrics_url)
    try:
        with HiggsClient(
            grpc_url,
            timeout,
            first_chunk_timeout=timeout,
            connect_timeout=timeout,
            drain_timeout=_DRAIN_SECONDS,
            resume=False,
            credentials=credentials,
        ) as client:
            speech = client.synthesize(TEXT, params=GenerationParams(max_seconds=SECONDS, timeout_seconds=timeout))
    except (OverloadedError, StreamStalledError, GenerationTimeoutError) as error:
        return _busy_or_dead(error, before, metrics_url, started + timeout)
    except HiggsError as error:
        return Health(False, f"{type(error).__name__}: {error}")
    if speech.samples.size == 0:
        return Health(False, "the server spoke nothing")
    return Health(True, f"spoke {speech.seconds:.2f} s of audio after {speech.elapsed:.2f} s")


def check_gateway(address: str, timeout: float) -> Health:
    """Ask the gateway at HOST:PORT whether it runs."""
    try:
        well = _get(address, "/health/live", timeout)[0] == http.client.OK
    except (OSError, http.client.HTTPException) as error:
        return Health(False, f"the gateway does not answer at {address} ({error or type(error).__name__})")
    return Health(well, f"the gateway {'runs' if well else 'fails'} at {address}")


def audio_left(metrics_url: str) -> float | None:
    """How many windows of audio have left the server so far; None when its metrics cannot be read."""
    try:
        page = _get(metrics_url, "/metrics", timeout=2)[1].decode()
    except (OSError, http.client.HTTPException):
        return None
    return next((float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(_LEFT)), None)


def _get(address: str, path: str, timeout: float) -> tuple[int, bytes]:
    host, _, port = address.rpartition(":")
    # Not urllib: it would send this through a proxy named in the environment.
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _busy_or_dead(error: HiggsError, before: float | None, metrics_url: str, deadline: float) -> Health:
    """A server that did not answer in time is healthy as long as it answers others."""
    while True:
        now = audio_left(metrics_url)
        if now is not None and before is not None and now > before:
            return Health(True, f"busy ({type(error).__name__}), {now - before:.0f} windows of audio left meanwhile")
        if time.monotonic() > deadline:
            return Health(False, f"no audio leaves the server; {type(error).__name__}: {error}")
        time.sleep(_LOOK_SECONDS)


def _address(word: str) -> str:
    host, _, port = word.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{word!r} is not HOST:PORT")
    return word


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code; exits with 2 and a usage line for a malformed address."""
    parser = argparse.ArgumentParser(prog="python -m serve.health", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--url", type=_address, default="localhost:8001", metavar="HOST:PORT", help="Triton's gRPC endpoint"
    )
    parser.add_argument(
        "--metrics-url", type=_address, default="localhost:8002", metavar="HOST:PORT", help="its metrics endpoint"
    )
    parser.add_argument("--gateway", type=_address, metavar="HOST:PORT", help="a gateway that must answer, too")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds the speech may take")
    parser.add_argument("--tls-root", type=Path, metavar="PEM", help="who signed the server's certificate; encrypts")
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="the check's own certificate, with --tls-key")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its private key")
    options = parser.parse_args(arguments)
    credentials = None
    if options.tls_root:
        files = (options.tls_root, options.tls_key, options.tls_cert)
        try:
            credentials = grpc.ssl_channel_credentials(*(file and file.read_bytes() for file in files))
        except OSError as error:
            parser.error(f"cannot read {error.filename} ({error.strerror})")
    health = check(options.url, options.metrics_url, options.timeout, credentials)
    if health.well and options.gateway:
        gateway = check_gateway(options.gateway, _GATEWAY_SECONDS)
        health = Health(gateway.well, f"{health.reason}; {gateway.reason}" if gateway.well else gateway.reason)
    print(f"{'healthy' if health.well else 'unhealthy'}: {health.reason}")
    return 0 if health.well else 1


if __name__ == "__main__":
    sys.exit(main())
