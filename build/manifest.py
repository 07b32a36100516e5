"""The manifest: what a bundle was built from and with, and what a machine needs to serve it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from build.errors import BuildError
from build.exports import Exports
from build.interpreter import Interpreter
from build.memory import Footprint
from build.targets import Target

MANIFEST_FILE = "manifest.json"
FORMAT = 1
# What the models import while serving; a different major or minor version is refused at the start.
_SERVING_PACKAGES = ("torch", "tokenizers", "soundfile")
# With compiled engines, also these: they run only what the very same version compiled.
_ENGINE_PACKAGES = {
    "onnxruntime": ("onnxruntime",),
    "tensorrt-llm": ("tensorrt_llm",),
    "tensorrt": (),
    "tensorrt-rtx": ("tensorrt-rtx-cu12-bindings",),
}


@dataclass(frozen=True)
class Built:
    """What a GPU target was built on (no name: compiled without a GPU), and what it needs while it serves."""

    gpu: str | None
    needs: Footprint


def requirements(target: Target, python: Interpreter) -> dict[str, Any]:
    """What a machine must have to serve what this one builds: what `python`, which compiles and serves, has.

    Raises BuildError for a package that `python` lacks.
    """
    engines = dict.fromkeys((*_ENGINE_PACKAGES[target.lm_engine], *_ENGINE_PACKAGES[target.codec_engine]))
    return {
        "python": python.python,
        # This matters only for the wheel's Triton; the container's is built for the container's own numpy.
        "numpy_below": None if target.uses_container else "2",
        "packages": _versions(python, (*_SERVING_PACKAGES, *engines)),
        "gpu_architecture": "sm" + target.compute_capability.replace(".", "") if target.uses_gpu else None,
        "tensorrt": _versions(python, ("tensorrt",))["tensorrt"] if target.codec_engine == "tensorrt" else None,
    }


def is_whole(bundle: Path, repository: Path, fingerprint: str) -> bool:
    """Whether the bundle was built from exactly this, and every file still exists with its size."""
    try:
        manifest = json.loads((bundle / MANIFEST_FILE).read_text())
        return manifest["fingerprint"] == fingerprint and all(
            (repository / name).stat().st_size == file["bytes"] for name, file in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False


def write_manifest(
    path: Path,
    repository: Path,
    exports: Exports,
    target: Target,
    fingerprint: str,
    python: Interpreter,
    built: Built | None = None,
    seconds: Mapping[str, float | None] | None = None,
) -> None:
    """Describe a finished repository in `path`. `seconds` says how long each compiled engine took."""
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "target": target.name,
        "fingerprint": fingerprint,
        "limits": asdict(target),
        "checkpoint": exports.record["checkpoint"],
        "codec": exports.record["codec"],
        "language_model": exports.record["language_model"],
        "compilers": exports.record["versions"],
        "built_on": built.gpu if built else None,
        "compiled_in_seconds": dict(seconds or {}),
        "requires": requirements(target, python) | {"gpu_memory_bytes": built.needs.total if built else None},
        "files": {str(file.relative_to(repository)): _describe(file) for file in _files(repository)},
    }
    path.write_text(json.dumps(manifest, indent=2) + "\n")


def _versions(python: Interpreter, packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package, version in python.versions(packages).items():
        if version is None:
            raise BuildError(f"{package} is not installed in {python.path}, and the bundle's models need it")
        found[package] = version
    return found


def _files(repository: Path) -> list[Path]:
    # Python leaves its caches beside models that have run.
    return sorted(file for file in repository.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _describe(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}
