"""schemathesis against the OpenAPI page: requests that it makes up, most of them wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.http_clients import serving
from tests.http_clients.serving import Triton

EXAMPLES = 60  # for each operation
CHARACTERS = 200  # more are refused, so that no text is spoken for long
# Not among them: whether all that keeps to the page is accepted (no voice has the names made up here), and whether all
# that breaks it is refused (a number in quotes is taken as a number).
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)


def test_no_request_breaks_the_gateway_or_its_page(triton: Triton, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", "--checks", ",".join(CHECKS), "--seed", "1"]
    command += ["--max-examples", str(EXAMPLES), "--generation-database", "none", "--continue-on-failure"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.http_clients.short", "PYTHONPATH": str(serving.ROOT)}
    with serving.gateway(triton, "--max-characters", str(CHARACTERS), "--consents", str(tmp_path / "consents")) as url:
        done = subprocess.run(
            [*command, f"{url}/openapi.json"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
