"""A bundle that you name, served once for all checks of it; `make acceptance` builds one first.

python -m pytest tests/acceptance --bundle artifacts/cpu --quick
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convert.checkpoint import Checkpoint
from tests.acceptance.report import Report
from tests.acceptance.served import ServedBundle, ServeError, gpu_bytes

GPU_TESTS = Path(__file__).resolve().parents[1] / "gpu"
OF_AN_ENGINE = {"tensorrt-rtx": "test_rtx.py", "tensorrt-llm": "test_trtllm.py", "vllm": "test_vllm.py"}
FULL_SECONDS, QUICK_SECONDS = 9.6, 2.4
QUICK_STREAMS = (1, 4)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("acceptance")
    group.addoption("--bundle", type=Path, help="the bundle to test")
    group.addoption("--checkpoint", help="what it was built of, where that is no longer where its manifest says")
    group.addoption("--device", help="GPU to serve on, by nvidia-smi's index or UUID; default: the emptiest")
    group.addoption("--run-python", default=sys.executable, help="interpreter that serves, where it is not this one")
    group.addoption("--quick", action="store_true", help="short generations and few streams: minutes become seconds")
    group.addoption("--report", type=Path, default=Path("artifacts/acceptance"), help="folder for TARGET.md")
    group.addoption("--build-seconds", type=int, help="how long the bundle took to build, for the report")


def pytest_sessionstart(session: pytest.Session) -> None:
    """The report is of one bundle; a bundle of TensorRT-RTX is tested by what tests its card, too."""
    config = session.config
    manifest = manifest_of(config)
    if (of_the_engine := OF_AN_ENGINE.get(manifest["limits"]["lm_engine"])) is not None:
        config.args.append(str(GPU_TESTS / of_the_engine))
    report = Report(manifest, config.getoption("--report"), config.getoption("--build-seconds"))
    config.pluginmanager.register(report)


def manifest_of(config: pytest.Config) -> dict[str, Any]:
    """Of the bundle that was named. Raises UsageError where there is none."""
    bundle = config.getoption("--bundle")
    if bundle is None:
        raise pytest.UsageError("--bundle must name the bundle to test, such as artifacts/cpu")
    try:
        return json.loads((bundle / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"--bundle: {bundle} is no bundle with a manifest.json ({error})") from error


def levels_up_to(most: int) -> tuple[int, ...]:
    """Powers of two below the most streams a bundle serves, and those."""
    return (*(2**n for n in range(most.bit_length()) if 2**n < most), most)


@pytest.fixture(scope="session")
def manifest(pytestconfig: pytest.Config) -> dict[str, Any]:
    return manifest_of(pytestconfig)


@pytest.fixture(scope="session")
def checkpoint(pytestconfig: pytest.Config, manifest: dict[str, Any]) -> Checkpoint:
    made_of = manifest["checkpoint"]
    source = pytestconfig.getoption("--checkpoint") or made_of["source"]
    return Checkpoint.open(source, made_of["revision"], quantised=True)


@pytest.fixture(scope="session")
def seconds(pytestconfig: pytest.Config) -> float:
    """Of audio of a compared generation."""
    return QUICK_SECONDS if pytestconfig.getoption("--quick") else FULL_SECONDS


@pytest.fixture(scope="session")
def streams(pytestconfig: pytest.Config, manifest: dict[str, Any]) -> tuple[int, ...]:
    """Levels of concurrency, the last is the most."""
    return QUICK_STREAMS if pytestconfig.getoption("--quick") else levels_up_to(manifest["limits"]["max_streams"])


@pytest.fixture(scope="module")
def gpu_bytes_before() -> dict[str, int]:
    """What was in use on each GPU when the server was not there yet."""
    return gpu_bytes()


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, gpu_bytes_before: dict[str, int]) -> Iterator[ServedBundle]:
    """As the bundle's user runs it. Where it does not start, no check holds."""
    option = request.config.getoption
    device = ["--device", option("--device")] if option("--device") else []
    try:
        running = ServedBundle(option("--run-python"), option("--bundle"), device)
    except ServeError as error:
        pytest.fail(str(error), pytrace=False)
    yield running
    running.stop()
