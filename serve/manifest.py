"""Reads a bundle's manifest and refuses, in one sentence, a bundle that does not fit this machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from serve.errors import DeviceError, LaunchError
from serve.gpu import Gpu, choose, query_gpus

MANIFEST_FILE, REPOSITORY = "manifest.json", "model_repository"
FORMAT = 1
_AGAIN = "build the bundle again with: make engine"


@dataclass(frozen=True)
class Servable:
    """A bundle that can be served here: its model repository, and the GPU for it (None: it needs none)."""

    repository: Path
    gpu: Gpu | None


def check_bundle(bundle: Path, verify: bool = False, device: str | None = None, gpu: Gpu | None = None) -> Servable:
    """Check a bundle, and choose the GPU of this machine that serves it.

    Presence and size of every file are always checked; `verify` also checks the SHA-256 of each. `device` names one
    of several GPUs (`serve.gpu.choose`); `gpu` is one chosen earlier, whose memory is not checked again.

    Raises LaunchError: no bundle, an unknown manifest format, files missing or changed, a Python, package or TensorRT
    that is not the one the bundle was built for; DeviceError: no GPU of its kind, or too little free memory on it.
    """
    manifest = _read(bundle)
    try:
        requires = manifest["requires"]
        gpu = gpu or _gpu_for(manifest, device)
        _check_python(requires)
        _check_tensorrt(requires["tensorrt"])
        _check_files(bundle / REPOSITORY, manifest["files"], verify)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LaunchError(f"{bundle / MANIFEST_FILE} is damaged ({error!r}); {_AGAIN}") from error
    return Servable(bundle / REPOSITORY, gpu)


def _read(bundle: Path) -> dict[str, Any]:
    path = bundle / MANIFEST_FILE
    if not path.is_file():
        raise LaunchError(f"{bundle} is not a bundle (no {MANIFEST_FILE}); build one with: make engine")
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise LaunchError(f"{path} is not valid JSON ({error}); {_AGAIN}") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise LaunchError(f"{path} has format {found!r}, this version serves format {FORMAT}")
    return manifest


def _check_python(requires: dict[str, Any]) -> None:
    python = ".".join(platform.python_version_tuple()[:2])
    if python != requires["python"]:
        raise LaunchError(f"the bundle was built with Python {requires['python']}, this is Python {python}")
    below = requires["numpy_below"]
    if below is not None and int(_installed("numpy").split(".")[0]) >= int(below):
        raise LaunchError(
            f"numpy {_installed('numpy')} is installed; Triton needs one below {below}, "
            "with a newer one its models return empty tensors"
        )
    for package, built_with in requires["packages"].items():
        found = _installed(package)
        if found.split(".")[:2] != built_with.split(".")[:2]:
            raise LaunchError(
                f"the bundle was built with {package} {built_with}, {found} is installed; run: make setup"
            )


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise LaunchError(f"{package} is not installed; run: make setup") from error


def _gpu_for(manifest: dict[str, Any], device: str | None) -> Gpu | None:
    requires = manifest["requires"]
    architecture = requires["gpu_architecture"]
    if architecture is None:
        return None
    digits = architecture.removeprefix("sm")
    try:
        return choose(query_gpus(), f"{digits[:-1]}.{digits[-1]}", requires.get("gpu_memory_bytes") or 0, device)
    except DeviceError as error:
        kind = manifest.get("target", architecture)
        raise DeviceError(f"the {kind} bundle cannot be served here: {error}") from error


def _check_tensorrt(built_with: str | None) -> None:
    # Plans run on the very version they were built with.
    if built_with is not None and _installed("tensorrt") != built_with:
        raise LaunchError(f"the bundle needs TensorRT {built_with}, {_installed('tensorrt')} is installed")


def _check_files(repository: Path, files: dict[str, dict[str, Any]], verify: bool) -> None:
    for name, expected in files.items():
        path = repository / name
        if not path.is_file():
            raise LaunchError(f"{path} is missing; {_AGAIN}")
        if not os.access(path, os.R_OK):
            raise LaunchError(f"{path} cannot be read by this user; make it and the rest of the bundle readable")
        if path.stat().st_size != expected["bytes"]:
            raise LaunchError(f"{path} has {path.stat().st_size} bytes, the manifest says {expected['bytes']}")
        if verify:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != expected["sha256"]:
                raise LaunchError(f"{path} is not the file that was built: its SHA-256 differs from the manifest's")
