"""A bundle of one trivial Python model, so that the launcher is tested without the weight of a speech model."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest

MODEL = "echo"
_CONFIG = """
name: "echo"
backend: "python"
max_batch_size: 0
input [ { name: "question" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "answer" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
_SIBLING = "WHERE = __file__\n"
_CODE = """
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import runtime
import triton_python_backend_utils as pb_utils

print("runtime comes from", runtime.WHERE, flush=True)


class TritonPythonModel:
    def initialize(self, args):
        {initialize}

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("answer", _question(request))]) for request in requests]


def _question(request):
    return pb_utils.get_input_tensor_by_name(request, "question").as_numpy()
"""


def make_bundle(folder: Path, initialize: str = "pass") -> Path:
    """Write a bundle whose model runs the statement `initialize` while it loads."""
    version = folder / "model_repository" / MODEL / "1"
    (version / "runtime").mkdir(parents=True)
    (version / "model.py").write_text(_CODE.format(initialize=initialize))
    (version / "runtime" / "__init__.py").write_text(_SIBLING)
    (version.parent / "config.pbtxt").write_text(_CONFIG)
    write_manifest(folder)
    return folder


def write_manifest(bundle: Path, top: dict[str, Any] | None = None, **requires: Any) -> None:
    """Describe the bundle's files as they are, with `top` and `requires` in place of what would be right here."""
    repository = bundle / "model_repository"
    needs: dict[str, Any] = {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "numpy_below": "2",
        "packages": {},
        "gpu_architecture": None,
        "tensorrt": None,
    }
    files = {str(file.relative_to(repository)): _describe(file) for file in repository.rglob("*") if file.is_file()}
    manifest = {"format": 1, "requires": {**needs, **requires}, "files": files, **(top or {})}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def driver(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put an nvidia-smi that runs `script` first on the path."""
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def _describe(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
