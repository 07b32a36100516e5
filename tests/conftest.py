"""The demo checkpoint and its bundle, made once and kept in artifacts/test while nothing they are made of changes.

Tests run in several processes (`make test`): whoever comes first makes what all of them use, and the others wait.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from filelock import FileLock
from hypothesis import settings

from build.fingerprint import fingerprint
from demo.make_checkpoint import make_checkpoint
from runtime.formats.signing import KEY_VARIABLE
from runtime.triton.memory import MEMORY_VARIABLE
from serve.triton import TritonServer

if TYPE_CHECKING:  # they import moto and transformers, which most tests do without
    from tests.buckets import Buckets
    from tests.serving.higgs import Higgs

FIGURE = "figure"  # the user property that carries a measured value to the process that prints it
ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "artifacts" / "test"
VOICE_TRANSCRIPT = "a rising tone"
SLOW_ROOMS = ("build", "client", "convert", "demo", "gateway", "serve", "serving")
FIRST = ("build/test_bundle.py", "demo/test_examples.py")
LONG_SECONDS = 3600  # a long test's limit

# The key of every server that tests start: some speak to single models, which take only what is signed with it.
os.environ.setdefault(KEY_VARIABLE, secrets.token_hex(32))

# However full the machine is, tests are served; those of memory (tests/serving/test_memory.py) take this back.
os.environ.setdefault(MEMORY_VARIABLE, "1:1")

# Two processes test at once on few cores: torch's threads in one must not spin while those of the other compute. The
# processes that xdist and tests start read this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# gRPC prepares for every fork of a test that starts a server, and may wait for its own threads for ever; nothing that a
# test forks goes on with gRPC.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# The same examples in every run, so that a run is red for what it tests; `make test-long` looks for new ones.
settings.register_profile("steady", derandomize=True)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the rooms whose tests need Triton or an export, and gives the long tests their time.

    The first two files need the two bundles, which two processes then build at once instead of waiting for each other.
    """
    items.sort(key=lambda item: item.path.relative_to(ROOT / "tests").as_posix() not in FIRST)
    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[0] in SLOW_ROOMS:
            item.add_marker("slow")
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.timeout(LONG_SECONDS))


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Buckets]:
    """A server of buckets that this process's variables lead to."""
    from tests.buckets import bucket_server  # noqa: PLC0415  (whoever only accepts a bundle has no moto)

    with bucket_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Call with a name and a measured value to have it printed at the end of the run."""
    return lambda name, value: request.node.user_properties.append((FIGURE, [name, value]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured."""
    reports = (one for name in ("passed", "failed") for one in terminalreporter.getreports(name))
    figures = [value for one in reports for name, value in one.user_properties if name == FIGURE]
    if figures:
        terminalreporter.section("measured")
        for name, value in sorted(figures):
            terminalreporter.write_line(f"{name}: {value}")


@contextmanager
def alone(name: str) -> Iterator[None]:
    """One process at a time makes what is kept under that name."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with FileLock(KEPT / f"{name}.lock"):
        yield


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    """A demo-size checkpoint with random weights."""
    return made("checkpoint", size="demo")


def made(name: str, **options: Any) -> Path:
    """A checkpoint of `make_checkpoint`, kept under that name while demo/ does not change."""
    mark = fingerprint([], code=[ROOT / "demo"])[:12]
    directory = KEPT / f"{name}-{mark}"
    finished = directory / ".finished"
    with alone(name):
        if not finished.exists():
            for old in KEPT.glob(f"{name}-*"):
                shutil.rmtree(old)
            make_checkpoint(directory, **options)
            finished.touch()
    return directory


@pytest.fixture(scope="session")
def voices() -> Path:
    """One voice profile: a synthetic tone, 44.1 kHz stereo, so that the assembler has something to convert."""
    directory = KEPT / "voices"
    with alone("voices"):
        if not (directory / "tone.json").exists():
            directory.mkdir(parents=True, exist_ok=True)
            seconds = np.arange(44100) / 44100
            tone = 0.3 * np.sin(2 * np.pi * (200 + 300 * seconds) * seconds)
            soundfile.write(directory / "tone.wav", np.stack([tone, tone * 0.5], axis=1), 44100)
            (directory / "tone.txt").write_text(VOICE_TRANSCRIPT)
            (directory / "tone.json").write_text('{"language": "none", "source": "synthetic"}')
    return directory


@pytest.fixture(scope="session")
def higgs(checkpoint: Path) -> Higgs:
    """transformers' own model of that checkpoint."""
    from tests.serving.higgs import Higgs  # noqa: PLC0415

    return Higgs(checkpoint)


@pytest.fixture(scope="session")
def clip() -> np.ndarray:
    """Two seconds to imitate: a gliding tone with noise, float32 at 24 kHz, a whole number of frames."""
    seconds = np.arange(48000) / 24000
    noise = np.random.default_rng(0).standard_normal(48000) * 0.02
    return (0.3 * np.sin(2 * np.pi * (150 + 100 * seconds) * seconds) + noise).astype(np.float32)


@pytest.fixture(scope="session")
def bundle(checkpoint: Path, voices: Path) -> Path:
    """The CPU bundle of the demo checkpoint, built by the command users run."""
    return built("bundle", checkpoint, voices)


@pytest.fixture(scope="session")
def server(bundle: Path) -> Iterator[TritonServer]:
    """One real Triton over the demo bundle for all tests that do not hurt it."""
    with TritonServer(bundle) as running:
        yield running


def built(name: str, checkpoint: Path, voices: Path, *options: str) -> Path:
    """The CPU bundle of a checkpoint, kept under that name."""
    output = KEPT / name
    build = [sys.executable, "-m", "build", "--target", "cpu", "--checkpoint", str(checkpoint), *options]
    with alone(name):
        subprocess.run([*build, "--voices", str(voices), "--output", str(output)], cwd=ROOT, check=True)
    return output
