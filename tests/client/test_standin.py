"""The stand-in server ends with the run that started it, however that ends."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
STARTS = """
import pathlib, sys, time
from tests.client.standin.server import StandInServer
server = StandInServer(pathlib.Path(sys.argv[1]))
print(server.process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_an_interrupted_run_leaves_no_triton_behind(tmp_path: Path, how: str) -> None:
    python = os.environ.get("STANDIN_PYTHON", sys.executable)
    run = subprocess.Popen([python, "-c", STARTS, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    triton = psutil.Process(int(run.stdout.readline()))
    below = [triton, *triton.children(recursive=True)]
    assert len(below) > 1
    getattr(run, how)()
    run.wait()
    gone, alive = psutil.wait_procs(below, timeout=15)
    assert not alive and len(gone) == len(below)
