"""What Triton needs of a machine besides the GPU: open files and shared memory."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from serve.errors import LaunchError

LEAST_FILES = 256  # an idle Triton has 70 open, and each client takes one more
SHARED_MEMORY = Path("/dev/shm")
_MODEL_BYTES = 2**20  # of shared memory at the start: Triton's default


def check_machine(repository: Path, shared_memory: Path = SHARED_MEMORY) -> None:
    """Raise the limit of open files to the machine's maximum. Raises LaunchError when files or shared memory are short.

    When either is short, Triton stops with a misleading message, or fails once it speaks.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < LEAST_FILES:
        raise LaunchError(f"only {most} files may be open at once; {LEAST_FILES} are needed (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    models = len(list(repository.glob("*/*/model.py")))
    system = os.statvfs(shared_memory)
    free = system.f_bavail * system.f_frsize
    if free < models * _MODEL_BYTES:
        raise LaunchError(
            f"{shared_memory} has {free / 2**20:.1f} MiB free; {models} models need {models} MiB at least "
            "(docker: --shm-size)"
        )
