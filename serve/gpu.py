"""The GPUs of this machine, as nvidia-smi reports them, and the choice among them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serve.errors import DeviceError

GIB, MIB = 2**30, 2**20
_FIELDS = ("index", "uuid", "name", "compute_cap", "memory.total", "memory.free", "driver_version")
_TIMEOUT_SECONDS = 30.0  # a driver that hangs must not hang us; a cold one takes seconds


@dataclass(frozen=True)
class Gpu:
    """One GPU. `index` counts as nvidia-smi does (by PCI bus), `compute_capability` is like "9.0", memory in bytes."""

    index: int
    uuid: str
    name: str
    compute_capability: str
    total_bytes: int
    free_bytes: int
    driver: str

    def __str__(self) -> str:
        return (
            f"GPU {self.index} ({self.name}, compute capability {self.compute_capability}, "
            f"{self.free_bytes / GIB:.1f} of {self.total_bytes / GIB:.1f} GiB free)"
        )


def query_gpus() -> list[Gpu]:
    """Every GPU of the machine; none where there is no NVIDIA driver.

    Raises DeviceError when nvidia-smi exists but fails or its answer cannot be read.
    """
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"nvidia-smi cannot be run: {error}") from error
    if answer.returncode:
        said = " ".join((answer.stdout + answer.stderr).split())
        if "No devices were found" in said:
            return []
        raise DeviceError(f"nvidia-smi failed with status {answer.returncode}: {said or 'it said nothing'}")
    return parse(answer.stdout)


def parse(answer: str) -> list[Gpu]:
    """Parse nvidia-smi's table without header and units, one line per GPU. Raises DeviceError with a malformed line."""
    gpus = []
    for line in answer.splitlines():
        if not line.strip() or "No devices were found" in line:
            continue
        cells = [cell.strip() for cell in line.split(",")]
        try:
            index, uuid, *name, capability, total, free, driver = cells
            gpus.append(Gpu(int(index), uuid, ", ".join(name), capability, int(total) * MIB, int(free) * MIB, driver))
        except ValueError as error:  # [N/A] from a driver too old for a field, or a GPU without its own memory
            raise DeviceError(f"nvidia-smi's answer cannot be read: {line.strip()!r}") from error
    return gpus


def choose(
    gpus: Sequence[Gpu],
    compute_capability: str,
    needed_bytes: int,
    device: str | None = None,
    environment: Mapping[str, str] = os.environ,
    count: int = 1,
) -> tuple[Gpu, ...]:
    """The GPUs to use: those with most free memory of all that fit.

    Args:
        gpus: what query_gpus() found.
        compute_capability: the one the engine was built for, such as "9.0"; "8.0+" is that or more.
        needed_bytes: free memory that is needed on each.
        device: index or UUID (or its beginning) of the GPU to use, or several with commas; without it,
            CUDA_VISIBLE_DEVICES of `environment` limits the choice, with the same numbering as nvidia-smi.
        count: how many.

    Raises DeviceError, with the numbers: no GPU at all, not the named one, or too few that fit.
    """
    kind = f"{'a GPU' if count == 1 else f'{count} GPUs'} of compute capability {compute_capability}"
    kind = kind.replace("+", " or more") + (" is needed" if count == 1 else " are needed")
    if not gpus:
        raise DeviceError(
            f"{kind} and this machine shows none (nvidia-smi finds no device; in a container, start it with --gpus all)"
        )
    candidates = _allowed(gpus, device, environment)
    of_kind = [gpu for gpu in candidates if _is_of_kind(gpu, compute_capability)]
    if len(of_kind) < count:
        raise DeviceError(f"{kind}; there is {_listed(candidates)}")
    best = sorted(of_kind, key=lambda gpu: gpu.free_bytes, reverse=True)[:count]
    if best[-1].free_bytes < needed_bytes:
        each = "" if count == 1 else f" on each of {count}"
        raise DeviceError(
            f"{needed_bytes / GIB:.1f} GiB of free GPU memory are needed{each}; there is {_listed(of_kind)}"
        )
    return tuple(best)


def _is_of_kind(gpu: Gpu, compute_capability: str) -> bool:
    if not compute_capability.endswith("+"):
        return gpu.compute_capability == compute_capability
    return float(gpu.compute_capability) >= float(compute_capability.removesuffix("+"))


def _allowed(gpus: Sequence[Gpu], device: str | None, environment: Mapping[str, str]) -> list[Gpu]:
    if device is not None:
        return [_named(gpus, name.strip(), "--device") for name in device.split(",")]
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return list(gpus)
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if not names or names[0] == "-1":
        raise DeviceError(f"CUDA_VISIBLE_DEVICES={visible!r} hides all {len(gpus)} GPUs of this machine; unset it")
    return [_named(gpus, name, "CUDA_VISIBLE_DEVICES") for name in names]


def _named(gpus: Sequence[Gpu], name: str, source: str) -> Gpu:
    for gpu in gpus:
        if name == str(gpu.index) or (name.startswith("GPU-") and gpu.uuid.startswith(name)):
            return gpu
    raise DeviceError(f"{source} names GPU {name}, which is not here; there is {_listed(gpus)}")


def _listed(gpus: Sequence[Gpu]) -> str:
    return ", ".join(map(str, gpus))
