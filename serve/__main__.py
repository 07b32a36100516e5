"""`python -m serve artifacts/cpu`: serve a bundle in the foreground until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from serve.errors import LaunchError
from serve.supervisor import Supervisor
from serve.triton import Ports


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 after a clean stop, 1 when the server could not start or kept dying."""
    parser = argparse.ArgumentParser(prog="python -m serve", description=__doc__)
    parser.add_argument("bundle", type=Path, help="bundle folder, as built by make engine")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for every interface")
    parser.add_argument("--http-port", type=int, default=Ports.http)
    parser.add_argument("--grpc-port", type=int, default=Ports.grpc)
    parser.add_argument("--metrics-port", type=int, default=Ports.metrics)
    parser.add_argument("--verify", action="store_true", help="check the hash of every file before starting")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    ports = Ports(options.http_port, options.grpc_port, options.metrics_port)
    supervisor = Supervisor(options.bundle, ports, options.host, options.verify)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: supervisor.stop())
    try:
        supervisor.start()
        server = supervisor.server
        print(f"ready: gRPC {server.grpc_url}, HTTP {server.http_url}, metrics http://{server.metrics_url}/metrics")
        print(f'speak: make client TEXT="Hello." URL={server.grpc_url}    stop: Ctrl-C', flush=True)
        supervisor.watch()
    except LaunchError as error:
        print(f"serve: {error}", file=sys.stderr)
        return 1
    finally:
        seconds = supervisor.close()
    print(f"stopped in {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
