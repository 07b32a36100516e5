"""Writing a bundle's manifest, which `serve/manifest.py` describes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from build.errors import BuildError
from build.exports import Exports
from build.interpreter import Interpreter
from build.memory import Footprint
from build.targets import Target
from serve.errors import LaunchError
from serve.manifest import Manifest, Requirements, sha256

# What the models import while serving; a different major or minor version is refused at the start.
_SERVING_PACKAGES = ("torch", "tokenizers", "soundfile")


@dataclass(frozen=True)
class Built:
    """What a GPU target was built on (no name: compiled without a GPU), and what it needs while it serves."""

    gpu: str | None
    needs: Footprint


def requirements(target: Target, python: Interpreter) -> Requirements:
    """What a machine must have to serve what this one builds: what `python` has, which compiles and serves.

    Raises BuildError for a package that `python` lacks.
    """
    # Triton's own backend runs what the very same version has compiled, and nothing else.
    in_models = dict.fromkeys(kind.package for kind in (target.lm, target.codec) if not kind.in_triton)
    in_triton = _versions(python, [target.codec.package] if target.codec.in_triton else [])
    return Requirements(
        python=python.python,
        # Only the wheel's Triton minds; the container's is made for the container's own numpy.
        numpy_below=None if target.uses_container else "2",
        packages=_versions(python, (*_SERVING_PACKAGES, *in_models)),
        gpu_architecture="sm" + target.compute_capability.replace(".", "") if target.uses_gpu else None,
        tensorrt=in_triton.get(target.codec.package),
        gpus=target.gpus if target.uses_gpu else 1,
    )


def is_whole(bundle: Path, repository: Path, fingerprint: str) -> bool:
    """Whether the bundle was built from exactly this, and every file still exists with its size."""
    try:
        manifest = Manifest.read(bundle)
        return manifest.fingerprint == fingerprint and all(
            (repository / name).stat().st_size == file["bytes"] for name, file in manifest.files.items()
        )
    except (OSError, LaunchError, KeyError):
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
    Manifest(
        target=target.name,
        fingerprint=fingerprint,
        limits=asdict(target),
        checkpoint=exports.record["checkpoint"],
        codec=exports.record["codec"],
        language_model=exports.record["language_model"],
        compilers=exports.record["versions"],
        built_on=built.gpu if built else None,
        compiled_in_seconds=dict(seconds or {}),
        requires=replace(requirements(target, python), gpu_memory_bytes=built.needs.total if built else None),
        files={
            str(file.relative_to(repository)): {"bytes": file.stat().st_size, "sha256": sha256(file)}
            for file in _files(repository)
        },
    ).write(path)


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
