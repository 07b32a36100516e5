"""`python -m serve artifacts/cpu`: serve a bundle in the foreground until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from serve.access import READ_ONLY, VOICES_VARIABLE, WRITABLE, Access, Tls
from serve.beats import HANG_SECONDS
from serve.drain import DRAIN_SECONDS, drain
from serve.errors import LaunchError
from serve.gateway import ADDRESS, OFF, Gateway, make_gateway
from serve.metrics_front import pass_metrics_on
from serve.ports import LOOPBACK, Ports
from serve.source import CACHE_VARIABLE, Source, Updates, is_published
from serve.state import STATE_VARIABLE, default_state, prepare_state
from serve.supervisor import BACK_SECONDS, Supervisor
from serve.triton import START_SECONDS, TritonServer

logger = logging.getLogger(__name__)

_LAST_SECONDS = 1.0  # for a gateway whose Triton has stopped
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 after a clean stop, 1 when the server could not start or kept dying."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    place = str(options.bundle)
    source = Source(place, options.cache) if is_published(place) else None
    try:
        bundle = _brought(place, options, source)
        fallback = _brought(_beside(place, options.fallback), options) if options.fallback else None
    except KeyboardInterrupt:
        return 0
    except LaunchError as error:
        return _refused(str(error))
    state = options.state or (source.state if source else default_state(bundle))
    return _serve(options, bundle, fallback, state, source)


def _serve(options: argparse.Namespace, bundle: Path, fallback: Path | None, state: Path, source: Source | None) -> int:
    hindrance = prepare_state(state)
    if hindrance is not None:
        logger.warning("%s", hindrance)
    first, second = (_server(options, one, state, source is not None) if one else None for one in (bundle, fallback))
    assert first is not None
    supervisor = Supervisor(first, second, options.timeout, options.restarts, options.drain, options.back)
    gateway: Gateway | None = None
    try:
        gateway = _gateway(options, first.access, state if hindrance is None else None)
        _start(supervisor, gateway, _metrics(options, supervisor) if source else None)
        if source is None:
            supervisor.watch()
        updates = Updates(source, bundle, options.update)
        signal.signal(signal.SIGHUP, lambda *_: updates.look())
        supervisor.watch(lambda: _server(options, found, state, True) if (found := updates.take()) else None)
    except KeyboardInterrupt as stop:
        if stop.args == (signal.SIGTERM,):
            _drain(supervisor.server, gateway, options.drain)
        if gateway is not None:
            gateway.drain()  # its clients learn of the end as Triton's do
        print(f"stopped in {supervisor.stop():.1f} s")
        return 0
    except LaunchError as error:
        return _refused(str(error))
    except OSError as error:  # typically a full disk or a folder without permission
        return _refused(f"{error.strerror or error}: {error.filename or options.bundle}")
    finally:
        supervisor.stop()
        if gateway is not None:
            gateway.stop(_LAST_SECONDS)


def _brought(place: str, options: argparse.Namespace, source: Source | None = None) -> Path:
    """The folder of a bundle, fetched if it is published somewhere. Raises LaunchError."""
    if not is_published(place):
        return Path(place)
    return (source or Source(place, options.cache)).bring(options.verify)


def _start(supervisor: Supervisor, gateway: Gateway | None, metrics_url: str | None) -> None:
    """Start both, and say where they are. metrics_url: where it is not the server's own."""
    if gateway is not None:
        gateway.start()  # its libraries load beside the models
    supervisor.start()
    if gateway is not None:
        gateway.watch()
    server = supervisor.server
    metrics_url = metrics_url or server.metrics_url
    for gpu in server.gpus:
        print(f"on {gpu}")
    print(
        f"ready: gRPC {server.grpc_url}, HTTP {server.http_url}, metrics http://{metrics_url}/metrics"
        + (f", gateway {gateway.url}" if gateway is not None else "")
    )
    print(f'speak: make client TEXT="Hello." URL={server.grpc_url}    stop: Ctrl-C', flush=True)


def _drain(server: TritonServer, gateway: Gateway | None, seconds: float) -> None:
    """Let running streams finish; a second signal cuts them."""
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    until = time.monotonic() + seconds
    try:
        if gateway is not None:
            gateway.drain()
        ended = drain(server.access, seconds, server.ailment)
        # Who listens through the gateway may still have to read what the model has long said.
        if not (gateway is None or gateway.stop(until - time.monotonic())) or not ended:
            logger.warning("not all streams ended within --drain %g s; they are cut", seconds)
    except KeyboardInterrupt:
        pass
    finally:
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _refused(reason: str) -> int:
    """Print the reason on one line, whatever names it contains."""
    print(f"serve: {' '.join(reason.split())}", file=sys.stderr)
    return 1


def _server(options: argparse.Namespace, bundle: Path, state: Path, shared: bool = False) -> TritonServer:
    """shared: a newer one may take over its ports; the metrics port cannot be, so it has one of its own."""
    ports = Ports(options.http_port, options.grpc_port, Ports.free().metrics if shared else options.metrics_port)
    tls = Tls(options.tls_cert, options.tls_key, options.tls_client_ca) if options.tls_cert else None
    access = Access(ports, options.host, options.http_host, tls, options.voices, shared)
    return TritonServer(
        bundle, access, options.verify, options.log, options.log_verbose, options.device, state, options.hang
    )


def _metrics(options: argparse.Namespace, supervisor: Supervisor) -> str:
    """Have one port pass on what the present server says; returns HOST:PORT. Raises LaunchError: it is taken."""
    public = Access(Ports(options.http_port, options.grpc_port, options.metrics_port), options.host, options.http_host)
    public.ports.refuse_if_taken(public.hosts())
    pass_metrics_on(public.hosts()["metrics"], options.metrics_port, lambda: supervisor.server.metrics_url)
    return public.url("metrics")


def _gateway(options: argparse.Namespace, access: Access, kept: Path | None) -> Gateway | None:
    """The gateway asked for, if any. kept: a folder for what it keeps."""
    if options.gateway == OFF:
        return None
    return make_gateway(options.gateway, options.gateway_options, access, kept, options.drain)


def _beside(bundle: str, fallback: str) -> str:
    """The place of the fallback bundle: a folder, an address, or the name of one beside the first bundle."""
    if is_published(fallback) or Path(fallback).is_dir():
        return fallback
    if is_published(bundle):
        return f"{bundle.rstrip('/').rpartition('/')[0]}/{fallback}"
    return str(Path(bundle).parent / fallback)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serve", description=__doc__)
    parser.add_argument(
        "bundle",
        type=lambda word: word if is_published(word) else Path(word),
        help="bundle folder, as built by make engine, or where one was published: s3://bucket/prefix",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help=f"folder for published bundles; default: ${CACHE_VARIABLE}, else ~/.cache/higgs-tts",
    )
    parser.add_argument(
        "--update",
        type=float,
        metavar="SECONDS",
        help="look so often whether another bundle was published, and change over to it; default: on SIGHUP only",
    )
    parser.add_argument("--host", default=LOOPBACK, help="where gRPC and metrics listen; 0.0.0.0 for every interface")
    parser.add_argument(
        "--http-host", default=LOOPBACK, help="where HTTP listens; whoever reaches it can end the server (SECURITY.md)"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="encrypt gRPC with this certificate and --tls-key")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its private key")
    parser.add_argument("--tls-client-ca", type=Path, metavar="PEM", help="let in only clients that this one signed")
    parser.add_argument("--http-port", type=int, default=Ports.http)
    parser.add_argument("--grpc-port", type=int, default=Ports.grpc)
    parser.add_argument("--metrics-port", type=int, default=Ports.metrics)
    parser.add_argument(
        "--gateway",
        default=ADDRESS,
        metavar=f"HOST:PORT|{OFF}",
        help="where a gateway speaks over HTTP, as OpenAI's clients ask for it; default: %(default)s",
    )
    parser.add_argument(
        "--gateway-options",
        default="",
        metavar="OPTIONS",
        help="more for the gateway, in one word: --gateway-options='--keys-file keys.toml' (python -m gateway --help)",
    )
    parser.add_argument(
        "--device", help="one of several GPUs, by nvidia-smi's index or UUID (two: A,B); default: the emptiest"
    )
    parser.add_argument(
        "--fallback",
        metavar="BUNDLE",
        help="what to serve while no GPU fits the bundle: a bundle folder or the name of one beside it, such as cpu",
    )
    parser.add_argument(
        "--back",
        type=float,
        default=BACK_SECONDS,
        metavar="SECONDS",
        help="how long the fallback serves before the bundle is tried again; twice as long each time; "
        "default: %(default)g",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help=f"folder for added voices and codes of clips; default: ${STATE_VARIABLE}, else BUNDLE.state, beside it "
        "(~/.local/state/higgs-tts for a published one)",
    )
    parser.add_argument(
        "--voices",
        choices=(WRITABLE, READ_ONLY),
        default=os.environ.get(VOICES_VARIABLE) or WRITABLE,
        help=f"whether clients may add, replace and remove voices; default: ${VOICES_VARIABLE}, else {WRITABLE}",
    )
    parser.add_argument("--verify", action="store_true", help="check the hash of every file before starting")
    parser.add_argument("--timeout", type=float, default=START_SECONDS, help="seconds the models may take to load")
    parser.add_argument(
        "--restarts", type=int, metavar="N", help="restarts in a row after which to give up; default: never"
    )
    parser.add_argument(
        "--drain",
        type=float,
        default=DRAIN_SECONDS,
        metavar="SECONDS",
        help="how long running streams may take to finish after SIGTERM, while new ones are refused; "
        "default: %(default)g",
    )
    parser.add_argument(
        "--hang",
        type=float,
        default=HANG_SECONDS,
        metavar="SECONDS",
        help="how long a model that has work may make no progress before all is restarted; default: %(default)g",
    )
    parser.add_argument("--log", type=Path, help="Triton's log; by default triton.log in the bundle")
    parser.add_argument("--log-verbose", type=int, default=0, help="Triton's own level of detail")
    options = parser.parse_args(arguments)
    if (options.tls_cert is None) != (options.tls_key is None) or (options.tls_client_ca and not options.tls_cert):
        parser.error("--tls-cert and --tls-key come together, and --tls-client-ca with them")
    if options.update is not None and not (options.update > 0 and is_published(str(options.bundle))):
        parser.error("--update takes seconds above 0, and a bundle that was published: s3://bucket/prefix")
    return options


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt whatever is running, even loading or restarting; a second Ctrl-C must not cut the shutdown short."""
    for each in _STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    sys.exit(main())
