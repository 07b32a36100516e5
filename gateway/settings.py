"""What the operator decides: read once, at the start, from the command line and the environment."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path

from gateway.stored_names import DEFAULT, FIELDS

LOOPBACK = "127.0.0.1"
PORT = 8080
KEYS_VARIABLE, KEYS_FILE_VARIABLE = "HIGGS_API_KEYS", "HIGGS_API_KEYS_FILE"
MEBIBYTE = 2**20
_HIGHEST_PORT = 65535
# The names that clients of OpenAI's service offer, by how its voices sound; each takes one of ours (`voice_names.py`).
FEMININE = ("alloy", "coral", "fable", "marin", "nova", "sage", "shimmer")
MASCULINE = ("ash", "ballad", "cedar", "echo", "onyx", "verse")


@dataclass(frozen=True)
class Settings:
    """triton: its gRPC endpoint or several, as the client takes them; triton_root: who signed its certificate, where it
    has one; triton_cert, triton_key: the gateway's own, for a Triton that asks who its clients are (PEM files).

    max_characters of a text; max_body in bytes of any request, max_message of what comes over a socket at once;
    max_requests that are open at a time, sockets among them; max_clip_seconds that are decoded of a recording.
    write_timeout: seconds in which a client must read something of what waits for it, or send more of a body.
    idle_timeout: seconds in which something must come or go over a socket. wyoming: host and port where Home Assistant
    and the like are listened to; None: nowhere.
    keys: API keys, from the environment; keys_file: the same with limits (`keys.py`). Neither: everybody may speak.
    hosts: names that a gateway without keys on the loopback interface is called by, besides localhost.
    aliases: names of voices beside the server's own. cors: origins of pages that may call. fetch_references: whether
    `ref_audio` may be an http(s) address. consents: folder for consents to clone a voice; None keeps none. cache:
    folder for answers, of at most `cache_bytes`; None keeps none. store: folder or bucket for speech, None for none;
    store_name: a template (`stored_names.py`); store_rule: `all` speech, or what is `asked` for; store_url_seconds: how
    long a signed address lasts, 0 for none; store_bytes: memory for what is on its way, of all speeches. log_text:
    whether the log has what is spoken.
    drain: seconds that running speeches may take to finish after SIGTERM. root_path: where a proxy has mounted the
    gateway.
    """

    triton: str = "localhost:8001"
    host: str = LOOPBACK
    port: int = PORT
    max_characters: int = 32_768
    max_body: int = 16 * MEBIBYTE
    max_message: int = 4 * MEBIBYTE
    max_requests: int = 1000
    max_clip_seconds: float = 60.0
    write_timeout: float = 30.0
    idle_timeout: float = 30.0
    wyoming: tuple[str, int] | None = None
    keys: tuple[str, ...] = ()
    keys_file: Path | None = None
    hosts: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)
    cors: tuple[str, ...] = ()
    fetch_references: bool = False
    consents: Path | None = None
    cache: Path | None = None
    cache_bytes: int = 1024 * MEBIBYTE
    store: str | None = None
    store_name: str = DEFAULT
    store_rule: str = "asked"
    store_url_seconds: float = 3600.0
    store_bytes: int = 512 * MEBIBYTE
    log_text: bool = False
    root_path: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    triton_root: Path | None = None
    triton_cert: Path | None = None
    triton_key: Path | None = None
    drain: float = 30.0


def parse(arguments: list[str] | None = None) -> Settings:
    """Exits with 2 and a usage line for arguments that are none."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description="Speech over HTTP, in front of a Triton.")
    default = Settings()
    parser.add_argument(
        "--triton",
        default=default.triton,
        metavar="URL",
        help="Triton's gRPC endpoint, HOST:PORT; several with commas, or dns:///NAME:PORT",
    )
    parser.add_argument("--triton-root", type=Path, metavar="PEM", help="who signed Triton's certificate; encrypts")
    parser.add_argument(
        "--triton-cert", type=Path, metavar="PEM", help="the gateway's own certificate, for such a Triton"
    )
    parser.add_argument("--triton-key", type=Path, metavar="PEM", help="its private key")
    parser.add_argument("--host", default=default.host, help="where to listen; 0.0.0.0 for every interface")
    parser.add_argument("--port", type=int, default=default.port)
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="encrypt with this certificate and --tls-key")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="its private key")
    parser.add_argument(
        "--keys-file",
        type=Path,
        default=os.environ.get(KEYS_FILE_VARIABLE) or None,
        metavar="TOML",
        help=f"API keys, hashed, with their limits (python -m gateway.keys); default: ${KEYS_FILE_VARIABLE}. "
        f"Keys without limits may stand in ${KEYS_VARIABLE}, with commas between them",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        type=str.lower,
        metavar="NAME",
        help="a name that a proxy calls it by; only a gateway without keys on a loopback address asks",
    )
    parser.add_argument(
        "--alias",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VOICE",
        help="another name for a voice; OpenAI's thirteen have one without it",
    )
    parser.add_argument(
        "--cors", action="append", default=[], metavar="ORIGIN", help="pages that may call; '*' for all"
    )
    parser.add_argument("--max-characters", type=int, default=default.max_characters, help="of a text")
    parser.add_argument("--max-body", type=int, default=default.max_body, metavar="BYTES", help="of a request")
    parser.add_argument(
        "--max-message", type=int, default=default.max_message, metavar="BYTES", help="of a WebSocket's message"
    )
    parser.add_argument("--max-requests", type=int, default=default.max_requests, help="open at a time, and sockets")
    parser.add_argument(
        "--max-clip-seconds", type=float, default=default.max_clip_seconds, help="of the longest recording taken"
    )
    parser.add_argument(
        "--write-timeout",
        type=float,
        default=default.write_timeout,
        metavar="SECONDS",
        help="how long a client may read nothing, or send nothing of a body, before it counts as gone",
    )
    parser.add_argument(
        "--idle-timeout",
        type=float,
        default=default.idle_timeout,
        metavar="SECONDS",
        help="how long a socket may be silent in both directions; ElevenLabs' clients may ask for more, up to 300",
    )
    parser.add_argument(
        "--wyoming",
        type=_address,
        metavar="HOST:PORT",
        help="listen there for Home Assistant and others that speak Wyoming, which has no keys; Piper's port is 10200",
    )
    parser.add_argument(
        "--fetch-references",
        action="store_true",
        help="let ref_audio be an http(s) address; private addresses are never fetched",
    )
    parser.add_argument("--consents", type=Path, metavar="DIR", help="folder for consents; without it there are none")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep answers there, and give them again")
    parser.add_argument("--cache-bytes", type=int, default=default.cache_bytes, metavar="BYTES", help="of that folder")
    parser.add_argument("--store", metavar="ADDRESS", help="keep speech there: a folder, or s3://bucket/prefix")
    parser.add_argument(
        "--store-name",
        default=default.store_name,
        metavar="TEMPLATE",
        help=f"what it is called there, of {', '.join(FIELDS)}; default: %(default)s",
    )
    parser.add_argument(
        "--store-rule",
        choices=("all", "asked"),
        default=default.store_rule,
        help="whether all speech is stored, or what clients ask for; default: %(default)s",
    )
    parser.add_argument(
        "--store-url-seconds",
        type=float,
        default=default.store_url_seconds,
        metavar="SECONDS",
        help="how long the signed address lasts that clients get; 0: they get none; default: %(default)g",
    )
    parser.add_argument(
        "--store-bytes",
        type=int,
        default=default.store_bytes,
        metavar="BYTES",
        help="memory for speech on its way to the store, all together",
    )
    parser.add_argument("--log-text", action="store_true", help="write what is spoken into the log")
    parser.add_argument(
        "--drain",
        type=float,
        default=default.drain,
        metavar="SECONDS",
        help="how long running speeches may take to finish after SIGTERM; default: %(default)g",
    )
    parser.add_argument("--root-path", default="", metavar="PATH", help="where a proxy has mounted the gateway")
    options = parser.parse_args(arguments)
    if (options.tls_cert is None) != (options.tls_key is None):
        parser.error("--tls-cert and --tls-key come together")
    certificates = [file is not None for file in (options.triton_cert, options.triton_key, options.triton_root)]
    if certificates not in ([False, False, False], [False, False, True], [True, True, True]):
        parser.error("--triton-cert and --triton-key come together, and --triton-root with them")
    if options.store_rule == "all" and not options.store:
        parser.error("--store-rule all needs --store: where to keep it")
    values = vars(options)
    values["aliases"], values["cors"] = dict(values.pop("alias")), tuple(values["cors"])
    values["hosts"] = tuple(values.pop("allow_host"))
    keys = tuple(filter(None, (key.strip() for key in os.environ.get(KEYS_VARIABLE, "").split(","))))
    return Settings(**values, keys=keys)


def _pair(word: str) -> tuple[str, str]:
    name, _, voice = word.partition("=")
    if not name or not voice:
        raise argparse.ArgumentTypeError(f"{word!r} is not NAME=VOICE")
    return name, voice


def _address(word: str) -> tuple[str, int]:
    host, _, port = word.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{word!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
