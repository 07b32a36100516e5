"""Reading a bundle's manifest and refusing a bundle that does not fit this machine, in one sentence."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from serve.errors import LaunchError

MANIFEST_FILE, REPOSITORY = "manifest.json", "model_repository"
FORMAT = 1


def check_bundle(bundle: Path, verify: bool = False) -> Path:
    """The model repository of a bundle that can be served here.

    Presence and size of every file are always checked; `verify` also checks the SHA-256 of each.

    Raises LaunchError: no bundle, an unknown manifest format, files missing or changed, a Python, package, GPU or
    TensorRT that is not the one the bundle was built for.
    """
    manifest = _read(bundle)
    requires = manifest["requires"]
    _check_python(requires)
    _check_gpu(requires["gpu_architecture"])
    _check_tensorrt(requires["tensorrt"])
    _check_files(bundle / REPOSITORY, manifest["files"], verify)
    return bundle / REPOSITORY


def _read(bundle: Path) -> dict[str, Any]:
    path = bundle / MANIFEST_FILE
    if not path.is_file():
        raise LaunchError(f"{bundle} is not a bundle (no {MANIFEST_FILE}); build one with: make engine")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise LaunchError(f"{path} is not valid JSON ({error}); build the bundle again with: make engine") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise LaunchError(f"{path} has format {found!r}, this version serves format {FORMAT}")
    return manifest


def _check_python(requires: dict[str, Any]) -> None:
    python = ".".join(platform.python_version_tuple()[:2])
    if python != requires["python"]:
        raise LaunchError(f"the bundle was built with Python {requires['python']}, this is Python {python}")
    if int(_installed("numpy").split(".")[0]) >= int(requires["numpy_below"]):
        raise LaunchError(
            f"numpy {_installed('numpy')} is installed; Triton needs one below {requires['numpy_below']}, "
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


def _check_gpu(architecture: str | None) -> None:
    if architecture is None:
        return
    if shutil.which("nvidia-smi") is None:
        raise LaunchError(f"the bundle needs an {architecture} GPU; none is visible")
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    lines = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    present = ["sm" + line.replace(".", "") for line in lines]
    if architecture not in present:
        raise LaunchError(f"the bundle needs an {architecture} GPU; there is {', '.join(present) or 'none'}")


def _check_tensorrt(built_with: str | None) -> None:
    # Plans run on the very version they were built with.
    if built_with is not None and _installed("tensorrt") != built_with:
        raise LaunchError(f"the bundle needs TensorRT {built_with}, {_installed('tensorrt')} is installed")


def _check_files(repository: Path, files: dict[str, dict[str, Any]], verify: bool) -> None:
    for name, expected in files.items():
        path = repository / name
        if not path.is_file():
            raise LaunchError(f"{path} is missing; build the bundle again with: make engine")
        if path.stat().st_size != expected["bytes"]:
            raise LaunchError(f"{path} has {path.stat().st_size} bytes, the manifest says {expected['bytes']}")
        if verify:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != expected["sha256"]:
                raise LaunchError(f"{path} is not the file that was built: its SHA-256 differs from the manifest's")
