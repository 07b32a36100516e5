"""The manifest: what a bundle was made of and by what, and what a machine needs to serve it."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from build.exports import Exports
from build.targets import Target

MANIFEST_FILE = "manifest.json"
FORMAT = 1
# What the models import while serving on the CPU; a different major or minor version is refused at the start.
_SERVING_PACKAGES = ("onnxruntime", "torch", "tokenizers", "soundfile")


def requirements() -> dict[str, Any]:
    """What a machine must have to serve what this one builds."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "numpy_below": "2",
        "packages": {name: version(name) for name in _SERVING_PACKAGES},
        "gpu_architecture": None,
        "tensorrt": None,
    }


def is_whole(bundle: Path, repository: Path, fingerprint: str) -> bool:
    """Whether the bundle was built from exactly this, and every file is still there in its size."""
    try:
        manifest = json.loads((bundle / MANIFEST_FILE).read_text())
        return manifest["fingerprint"] == fingerprint and all(
            (repository / name).stat().st_size == file["bytes"] for name, file in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False


def write_manifest(bundle: Path, repository: Path, exports: Exports, target: Target, fingerprint: str) -> None:
    """Describe a finished repository in `bundle/manifest.json`; written last, so its presence means finished."""
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "target": target.name,
        "fingerprint": fingerprint,
        "limits": asdict(target),
        "checkpoint": exports.record["checkpoint"],
        "codec": exports.record["codec"],
        "language_model": exports.record["language_model"],
        "compilers": exports.record["versions"],
        "requires": requirements(),
        "files": {str(file.relative_to(repository)): _describe(file) for file in _files(repository)},
    }
    (bundle / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n")


def _files(repository: Path) -> list[Path]:
    # Python leaves its caches beside the models once they have run.
    return sorted(file for file in repository.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _describe(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}
