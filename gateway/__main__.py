"""`python -m gateway --triton localhost:8001`: speech over HTTP in the foreground, until Ctrl-C."""

from __future__ import annotations

import logging
import resource
import socket
import sys
import time

import uvicorn
from higgs_tts import HiggsError

from gateway.app import create_app
from gateway.connection import PunctualProtocol, PunctualSocket
from gateway.settings import Settings, parse

_DRAINED = 0.9  # of the time to drain; the rest is for the end itself


def web_server(settings: Settings) -> uvicorn.Server:
    """Raises what `create_app` raises, and OSError for a certificate that cannot be read."""

    class Protocol(PunctualProtocol):
        write_timeout = settings.write_timeout

    class Socket(PunctualSocket):
        write_timeout = settings.write_timeout

    app = create_app(settings)

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.stops_at = time.monotonic() + _DRAINED * settings.drain
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        http=Protocol,
        ws=Socket,
        ws_max_size=settings.max_message,
        ws_ping_timeout=None,  # an answer waits behind the sound that a client has not played yet
        ws_per_message_deflate=False,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=round(settings.drain),
        root_path=settings.root_path,
    )
    config.load()
    return Server(config)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 1 when the gateway cannot start."""
    settings = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a descriptor for every connection
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        server = web_server(settings)
    except (ValueError, HiggsError, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
