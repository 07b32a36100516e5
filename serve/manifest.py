"""A bundle's manifest, and refusing a bundle that does not fit this machine, in one sentence."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from serve.errors import DeviceError, LaunchError
from serve.gpu import Gpu, choose, query_gpus

MANIFEST_FILE, REPOSITORY = "manifest.json", "model_repository"
FORMAT = 1
_AGAIN = "build the bundle again with: make engine"


@dataclass(frozen=True)
class Requirements:
    """What a machine must have to serve a bundle; packages by name, with the versions that it was built with."""

    python: str
    numpy_below: str | None
    packages: dict[str, str]
    gpu_architecture: str | None  # such as "sm90"; "sm80+": that or a later one
    tensorrt: str | None
    gpu_memory_bytes: int | None = None  # on each
    gpus: int = 1


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle was made of and by what, and what a machine needs to serve it; `files` are its repository's."""

    target: str = ""
    fingerprint: str = ""
    limits: dict[str, Any] = field(default_factory=dict)  # the target's own values
    checkpoint: dict[str, Any] = field(default_factory=dict)
    codec: dict[str, Any] = field(default_factory=dict)
    language_model: dict[str, Any] = field(default_factory=dict)
    compilers: dict[str, str] = field(default_factory=dict)
    built_on: str | None = None  # the GPU; None: compiled without one
    compiled_in_seconds: dict[str, float | None] = field(default_factory=dict)
    requires: Requirements
    files: dict[str, dict[str, Any]]  # bytes, sha256

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({"format": FORMAT} | asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, bundle: Path) -> Manifest:
        """Raises LaunchError when there is none, or it is of another format or damaged."""
        path = bundle / MANIFEST_FILE
        if not path.is_file():
            raise LaunchError(f"{bundle} is not a bundle (no {MANIFEST_FILE}); build one with: make engine")
        return cls.parse(path.read_bytes(), str(path))

    @classmethod
    def parse(cls, content: bytes, where: str) -> Manifest:
        """What a manifest holds. Raises LaunchError, which names `where`, for another format and a damaged one."""
        try:
            values: dict[str, Any] = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise LaunchError(f"{where} is not valid JSON ({error}); {_AGAIN}") from error
        found = values.get("format") if isinstance(values, dict) else None
        if found != FORMAT:
            raise LaunchError(f"{where} has format {found!r}, this version serves format {FORMAT}")
        try:
            values |= {"requires": Requirements(**values["requires"]), "files": values["files"]}
            return cls(**{one.name: values[one.name] for one in fields(cls) if one.name in values})
        except (KeyError, TypeError) as error:
            raise _damaged(where, error) from error


@dataclass(frozen=True)
class Servable:
    """A bundle that can be served here: its model repository, and the GPUs for it (none: it needs none)."""

    repository: Path
    gpus: tuple[Gpu, ...]


def check_bundle(bundle: Path, verify: bool = False, device: str | None = None, gpus: tuple[Gpu, ...] = ()) -> Servable:
    """Check a bundle, and choose the GPUs of this machine that serve it.

    Presence and size of every file are always checked; `verify` also checks the SHA-256 of each. `device` names one
    of several GPUs (`serve.gpu.choose`); `gpus` were chosen earlier: they must still be there, and their memory is not
    checked again.

    Raises LaunchError: no bundle, an unknown manifest format, files missing or changed, a Python, package or TensorRT
    that is not the one the bundle was built for; DeviceError: no GPU of its kind, or too little free memory on it.
    """
    manifest = Manifest.read(bundle)
    try:
        gpus = _gpus_for(manifest, device, gpus)
        _check_python(manifest.requires)
        _check_tensorrt(manifest.requires.tensorrt)
        check_files(bundle / REPOSITORY, manifest.files, verify)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(str(bundle / MANIFEST_FILE), error) from error
    return Servable(bundle / REPOSITORY, gpus)


def sha256(file: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _damaged(where: str, error: Exception) -> LaunchError:
    return LaunchError(f"{where} is damaged ({error!r}); {_AGAIN}")


def _check_python(requires: Requirements) -> None:
    python = ".".join(platform.python_version_tuple()[:2])
    if python != requires.python:
        raise LaunchError(f"the bundle was built with Python {requires.python}, this is Python {python}")
    below = requires.numpy_below
    if below is not None and int(_installed("numpy").split(".")[0]) >= int(below):
        raise LaunchError(
            f"numpy {_installed('numpy')} is installed; Triton needs one below {below}, "
            "with a newer one its models return empty tensors"
        )
    for package, built_with in requires.packages.items():
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


def _gpus_for(manifest: Manifest, device: str | None, chosen: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    requires = manifest.requires
    if requires.gpu_architecture is None:
        return ()
    capability = re.sub(r"sm(\d+)(\d)", r"\1.\2", requires.gpu_architecture)
    needed = requires.gpu_memory_bytes or 0
    if chosen:
        needed, device = 0, ",".join(gpu.uuid for gpu in chosen)
    try:
        return choose(query_gpus(), capability, needed, device, count=requires.gpus)
    except DeviceError as error:
        kind = manifest.target or requires.gpu_architecture
        raise DeviceError(f"the {kind} bundle cannot be served here: {error}") from error


def _check_tensorrt(built_with: str | None) -> None:
    # Plans run on the very version they were built with.
    if built_with is not None and _installed("tensorrt") != built_with:
        raise LaunchError(f"the bundle needs TensorRT {built_with}, {_installed('tensorrt')} is installed")


def check_files(repository: Path, files: dict[str, dict[str, Any]], verify: bool) -> None:
    """Raise LaunchError for the first file that is missing or changed; with `verify` every hash is compared."""
    for name, expected in files.items():
        path = repository / name
        if not path.is_file():
            raise LaunchError(f"{path} is missing; {_AGAIN}")
        if not os.access(path, os.R_OK):
            raise LaunchError(f"{path} cannot be read by this user; make it and the rest of the bundle readable")
        if path.stat().st_size != expected["bytes"]:
            raise LaunchError(f"{path} has {path.stat().st_size} bytes, the manifest says {expected['bytes']}")
        if verify and sha256(path) != expected["sha256"]:
            raise LaunchError(f"{path} is not the file that was built: its SHA-256 differs from the manifest's")
