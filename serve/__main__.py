"""`python -m serve artifacts/cpu`: serve a bundle in the foreground until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from serve.access import Access, Tls
from serve.arguments import parse
from serve.drain import drain
from serve.errors import LaunchError
from serve.gateway import OFF, Gateway, make_gateway
from serve.metrics_front import pass_metrics_on
from serve.ports import Ports
from serve.source import Source, Updates, is_published
from serve.state import default_state, prepare_state
from serve.supervisor import Supervisor
from serve.triton import TritonServer

logger = logging.getLogger(__name__)

_LAST_SECONDS = 1.0  # for a gateway whose Triton has stopped
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 after a clean stop, 1 when the server could not start or kept dying."""
    options = parse(arguments)
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


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt whatever is running, even loading or restarting; a second Ctrl-C must not cut the shutdown short."""
    for each in _STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    sys.exit(main())
