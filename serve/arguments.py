"""The command line of `python -m serve`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from serve.access import READ_ONLY, VOICES_VARIABLE, WRITABLE
from serve.beats import HANG_SECONDS
from serve.drain import DRAIN_SECONDS
from serve.gateway import ADDRESS, OFF
from serve.ports import LOOPBACK, Ports
from serve.source import CACHE_VARIABLE, is_published
from serve.state import STATE_VARIABLE
from serve.supervisor import BACK_SECONDS
from serve.triton import START_SECONDS

MOST_SECONDS = 365 * 24 * 3600.0  # no thread waits forever
DESCRIPTION = "Serve a bundle in the foreground until Ctrl-C."


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Exits with 2 and a usage line for arguments that are none."""
    parser = argparse.ArgumentParser(prog="python -m serve", description=DESCRIPTION)
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
    if options.update is not None and not (0 < options.update <= MOST_SECONDS and is_published(str(options.bundle))):
        parser.error("--update takes seconds above 0, and a bundle that was published: s3://bucket/prefix")
    return options
