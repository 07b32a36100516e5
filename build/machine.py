"""Checks what a target needs of the build machine, before anything costs time; each failure is one sentence."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import psutil
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from build.container import IMAGE, TENSORRT_LLM
from build.engine_kinds import COMPILER_PACKAGES
from build.errors import BuildError
from build.interpreter import Interpreter
from build.memory import GIB, ModelShape
from build.targets import Target
from serve.errors import DeviceError
from serve.gpu import Gpu, choose, query_gpus

# Beside twice the language model's weights (exports and engine): the codec, twice, and what tools leave behind.
_DISK_BESIDE = 6 * GIB


def check_software(target: Target, python: Interpreter) -> None:
    """Raises BuildError for the first compiler that is missing, in that Python, or of another version."""
    versions = python.versions(COMPILER_PACKAGES)
    if target.lm.in_container:
        found = versions[target.lm.package]
        if shutil.which("trtllm-build") is None or found is None:
            what = "trtllm-build is not on the PATH" if found else "TensorRT-LLM is not installed"
            raise BuildError(f"{what}; target {target.name} is built in the container {IMAGE} (see deploy/)")
        if found != TENSORRT_LLM:
            raise BuildError(
                f"TensorRT-LLM {found} is installed and {TENSORRT_LLM} is needed, the last that has trtllm-build's "
                f"engines; use the container {IMAGE}"
            )
    if target.codec.in_triton and versions[target.codec.package] is None:
        raise BuildError(f"TensorRT is not installed; target {target.name} is built in the container {IMAGE}")
    if any(kind.compiles and versions[kind.package] is None for kind in (target.lm, target.codec)):
        raise BuildError(f"TensorRT-RTX is not installed, which target {target.name} is compiled with; run: make setup")


def choose_gpu(target: Target, device: str | None) -> Gpu | None:
    """The GPU to build on, of several the smallest; None for targets that are built without one.

    Raises BuildError when there is no GPU of the target's kind.
    """
    if target.gpu_memory_gib and not target.uses_container:
        return None
    try:
        chosen = choose(query_gpus(), target.compute_capability, 0, device, count=target.gpus)
    except DeviceError as error:
        elsewhere = "" if target.uses_container else "; elsewhere, say how much memory the GPU has: GPU_MEMORY=<GiB>"
        raise BuildError(f"target {target.name} cannot be built here: {error}{elsewhere}") from error
    return min(chosen, key=lambda gpu: gpu.total_bytes)


def check_space(target: Target, shape: ModelShape, bundle: Path) -> None:
    """Raises BuildError, with the numbers, when the disk or the memory of this machine is too small for the build."""
    weights = shape.weight_bytes(target.precision)
    beside = min(_DISK_BESIDE, int(20 * weights))  # a checkpoint of test size has a codec of test size
    # A file linked in two places is on the disk once.
    there = (file.stat() for file in bundle.rglob("*") if file.is_file()) if bundle.is_dir() else ()
    have = sum({status.st_ino: status.st_size for status in there}.values())
    folder = next(parent for parent in (bundle.absolute(), *bundle.absolute().parents) if parent.is_dir())
    free, needed = shutil.disk_usage(folder).free, int(2 * weights) + beside - have
    if free < needed:
        raise BuildError(
            f"{folder} has {free / GIB:.1f} GiB free; building target {target.name} there takes about "
            f"{needed / GIB:.1f} GiB more: free some, or choose another folder with BUNDLE="
        )
    each, most_beside = target.lm.host_memory
    available, held = psutil.virtual_memory().available, int(each * weights + min(most_beside, 20 * weights))
    if available < held:
        raise BuildError(
            f"{available / GIB:.1f} GiB of memory are free; compiling target {target.name} takes about "
            f"{held / GIB:.1f} GiB"
        )


def usable_gpu_bytes(target: Target, gpu: Gpu | None) -> int:
    """Memory the target may count on: the GPU's own, or the target table's where it is compiled without one."""
    return gpu.total_bytes if gpu else int(target.gpu_memory_gib * GIB)


def read_shape(source: str, revision: str | None) -> ModelShape | None:
    """The model's shapes from its config.json, fetched alone when the checkpoint is on the hub.

    None when the converter will report the problem with the source (no such folder, no revision).
    Raises BuildError when the hub does not provide the file, or the file does not describe the model.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        file = folder / "config.json"
        if not file.is_file():
            return None
    elif not re.fullmatch(r"[\w.-]+/[\w.-]+", source) or not re.fullmatch(r"[0-9a-f]{40}", revision or ""):
        return None
    else:
        file = _download(source, revision)
    try:
        config = json.loads(file.read_text())
    except ValueError as error:
        raise BuildError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise BuildError(f"{file} holds {type(config).__name__} where a JSON object is needed")
    return ModelShape.from_config(config)


def _download(repo: str, revision: str | None) -> Path:
    try:
        return Path(hf_hub_download(repo, "config.json", revision=revision))
    except GatedRepoError as error:
        raise BuildError(
            f"{repo} is given out only to those who accepted its licence: accept it at https://huggingface.co/{repo} "
            "and sign in with `hf auth login` (or set HF_TOKEN)"
        ) from error
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BuildError(f"could not get {repo} at revision {revision} from the hub: {reason}") from error
