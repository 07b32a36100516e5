"""What is killed is waited for until it holds nothing, however late somebody reads how it ended."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from serve import processes

# Starts a process in a group of its own, and never asks how it ended.
_CARELESS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_killed_group_is_not_waited_for_until_its_parent_has_read_how_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_END_SECONDS", 600.0)
    with subprocess.Popen([sys.executable, "-c", _CARELESS], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        leader = psutil.Process(int(parent.stdout.readline()))
        try:
            processes.kill_group(leader.pid)
            assert leader.status() == psutil.STATUS_ZOMBIE
        finally:
            parent.kill()
