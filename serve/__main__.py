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
from serve.ports import LOOPBACK, Ports
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
    state = options.state or default_state(options.bundle)
    hindrance = prepare_state(state)
    if hindrance is not None:
        logger.warning("%s", hindrance)
    server = _server(options, options.bundle, state)
    fallback = _server(options, _beside(options.bundle, options.fallback), state) if options.fallback else None
    supervisor = Supervisor(server, fallback, options.timeout, options.restarts, options.drain, options.back)
    gateway: Gateway | None = None
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        gateway = _gateway(options, server.access, state if hindrance is None else None)
        _start(supervisor, gateway)
        supervisor.watch()
    except KeyboardInterrupt as stop:
        if stop.args == (signal.SIGTERM,):
            _drain(supervisor.server, gateway, options.drain)
        if gateway is not None:
            gateway.drain()  # its clients learn of the end as Triton's do
        print(f"stopped in {supervisor.server.stop():.1f} s")
        return 0
    except LaunchError as error:
        return _refused(str(error))
    except OSError as error:  # typically a full disk or a folder without permission
        return _refused(f"{error.strerror or error}: {error.filename or options.bundle}")
    finally:
        supervisor.server.stop()
        if gateway is not None:
            gateway.stop(_LAST_SECONDS)


def _start(supervisor: Supervisor, gateway: Gateway | None) -> None:
    """Start both, and say where they are."""
    if gateway is not None:
        gateway.start()  # its libraries load beside the models
    supervisor.start()
    if gateway is not None:
        gateway.watch()
    server = supervisor.server
    for gpu in server.gpus:
        print(f"on {gpu}")
    print(
        f"ready: gRPC {server.grpc_url}, HTTP {server.http_url}, metrics http://{server.metrics_url}/metrics"
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


def _server(options: argparse.Namespace, bundle: Path, state: Path) -> TritonServer:
    ports = Ports(options.http_port, options.grpc_port, options.metrics_port)
    tls = Tls(options.tls_cert, options.tls_key, options.tls_client_ca) if options.tls_cert else None
    access = Access(ports, options.host, options.http_host, tls, options.voices)
    return TritonServer(
        bundle, access, options.verify, options.log, options.log_verbose, options.device, state, options.hang
    )


def _gateway(options: argparse.Namespace, access: Access, kept: Path | None) -> Gateway | None:
    """The gateway asked for, if any. kept: a folder for what it keeps."""
    if options.gateway == OFF:
        return None
    return make_gateway(options.gateway, options.gateway_options, access, kept, options.drain)


def _beside(bundle: Path, fallback: str) -> Path:
    """The fallback bundle: a folder, or the name of one beside the first bundle."""
    return Path(fallback) if Path(fallback).is_dir() else bundle.parent / fallback


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serve", description=__doc__)
    parser.add_argument("bundle", type=Path, help="bundle folder, as built by make engine")
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
        help=f"folder for added voices and codes of clips; default: ${STATE_VARIABLE}, else BUNDLE.state, beside it",
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
    return options


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt whatever is running, even loading or restarting; a second Ctrl-C must not cut the shutdown short."""
    for each in _STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    sys.exit(main())
