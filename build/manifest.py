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
        "requires": {
            "python": ".".join(platform.python_version_tuple()[:2]),
            "numpy_below": "2",
            "packages": {name: version(name) for name in _SERVING_PACKAGES},
            "gpu_architecture": None,
            "tensorrt": None,
        },
        "files": {str(file.relative_to(repository)): _describe(file) for file in _files(repository)},
    }
    (bundle / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n")


def _files(repository: Path) -> list[Path]:
    return sorted(file for file in repository.rglob("*") if file.is_file())


def _describe(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}
