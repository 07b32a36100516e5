"""`python -m gateway --triton localhost:8001`: speech over HTTP in the foreground, until Ctrl-C."""

from __future__ import annotations

import logging
import sys

import uvicorn
from higgs_tts import HiggsError

from gateway.app import create_app
from gateway.settings import parse

_CLOSE_SECONDS = 30  # for running speeches, after SIGTERM


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 1 when the gateway cannot start."""
    settings = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        app = create_app(settings)
    except (ValueError, HiggsError, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=str(settings.tls_key) if settings.tls_key else None,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_CLOSE_SECONDS,
        root_path=settings.root_path,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
