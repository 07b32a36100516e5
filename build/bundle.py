"""From checkpoint to bundle: check the machine, convert, compile, assemble; skip what is up to date."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from build import engines, machine
from build.errors import BuildError
from build.exports import Exports
from build.fingerprint import fingerprint
from build.interpreter import Interpreter
from build.manifest import Built, is_whole, requirements, write_manifest
from build.memory import ModelShape, fit, footprint
from build.repository import ROOT, assemble
from build.steps import Step
from build.targets import Target, with_threads
from runtime.formats.exports import EXPORT_FILE, FORMAT
from runtime.formats.whole_files import locked
from serve.files import place
from serve.gpu import Gpu
from serve.manifest import MANIFEST_FILE, REPOSITORY

LOCK_FILE = ".lock"
_NEW, _OLD = ".new", ".old"  # beside the bundle's own files, while they are exchanged
_COMPILERS = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Order:
    """What to build: sources as the user named them, voices, destination and tools."""

    checkpoint: str
    revision: str | None
    codec: str | None
    codec_revision: str | None
    voices: Path | None
    device: str | None  # of several GPUs
    python: Interpreter  # compiles and serves


def build(order: Order, target: Target, bundle: Path) -> None:
    """Bring `bundle` up to date. Raises BuildError, and OSError when the disk is full."""
    with _claimed(bundle):
        _discard(bundle)
        _build(order, target, bundle)


@contextmanager
def _claimed(bundle: Path) -> Iterator[None]:
    """Lock the folder against other builds: two would delete each other's unfinished files."""
    bundle.mkdir(parents=True, exist_ok=True)
    with ExitStack() as claim:
        try:
            claim.enter_context(locked(bundle / LOCK_FILE, wait=0))
        except BlockingIOError:
            raise BuildError(f"another build is writing into {bundle}; wait for it or give another folder") from None
        yield


def _build(order: Order, target: Target, bundle: Path) -> None:
    gpu, shape = _prepare(order, target, bundle)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu.uuid  # compilers take the first GPU they see
    exported = _export(order, target, bundle / "exports")
    exports = Exports.read(bundle / "exports")
    target, built = with_threads(target, exports.language_model_bytes), None
    if shape is not None and target.uses_gpu:
        if exports.quantisation:
            shape = replace(shape, stored_bytes=exports.language_model_bytes)
        target, built = _fitted(exports, shape, target, gpu)
    compiled = engines.steps(exports, exported, target, gpu, order.python, bundle / "engines")
    mark = fingerprint(
        (exported, target, requirements(target, order.python), *(step.fingerprint for step in compiled)),
        code=[ROOT / name for name in ("build", "runtime", "triton_repo")],
        data=[order.voices] if order.voices else [],
    )
    if is_whole(bundle, bundle / REPOSITORY, mark) and all(step.is_done() for step in compiled):
        print(f"{bundle} is up to date")
        return
    if built is not None:
        print(f"on the GPU it will take {built.needs}", flush=True)
    for step in compiled:
        step.run()
    _assemble(order, target, bundle, exports, built, compiled, mark)
    stored = f", {exports.quantisation} weights" if exports.quantisation else ""
    print(f"{bundle} is ready: {target.description}, {target.precision}{stored}, {target.max_streams} streams")


def _prepare(order: Order, target: Target, bundle: Path) -> tuple[Gpu | None, ModelShape | None]:
    """Report what is certain to fail now, before hours of work."""
    if not target.uses_gpu and target.gpus == 1:
        return None, None
    shape = machine.read_shape(order.checkpoint, order.revision)
    if shape is not None:
        shape.check_split(target.gpus)
    if not target.uses_gpu:
        return None, shape
    gpu = machine.choose_gpu(target, order.device)
    machine.check_software(target, order.python)
    requirements(target, order.python)
    if shape is not None:
        # The codec and its frame length are not known yet: the memory for a clip's frames is counted later.
        fit(shape, target, 0.0, machine.usable_gpu_bytes(target, gpu))
        machine.check_space(target, shape, bundle)
    return gpu, shape


def _fitted(exports: Exports, shape: ModelShape, target: Target, gpu: Gpu | None) -> tuple[Target, Built]:
    """The target with as many streams as the memory holds, and what the manifest says about it."""
    frames_per_second = exports.codec["sample_rate"] / exports.codec["hop_length"]
    memory = machine.usable_gpu_bytes(target, gpu)
    fitted = fit(shape, target, frames_per_second, memory)
    if fitted.max_streams < target.max_streams:
        print(
            f"{gpu or target.description}: {fitted.max_streams} streams fit instead of {target.max_streams}", flush=True
        )
    return fitted, Built(gpu.name if gpu else None, footprint(shape, fitted, frames_per_second))


def _assemble(
    order: Order,
    target: Target,
    bundle: Path,
    exports: Exports,
    built: Built | None,
    compiled: list[Step],
    mark: str,
) -> None:
    fresh = _beside(bundle / REPOSITORY, _NEW)
    seconds = {step.directory.name: step.seconds for step in compiled}
    try:
        assemble(exports, target, order.voices, fresh, mark, bundle / "engines")
        manifest = _beside(bundle / MANIFEST_FILE, _NEW)
        write_manifest(manifest, fresh, exports, target, mark, order.python, built, seconds)
    except BaseException:  # keep the previous bundle; half of a new one would only waste disk space
        _discard(bundle)
        raise
    _swap(bundle)
    _discard(bundle)


def _swap(bundle: Path) -> None:
    """Put the new repository and manifest in the old ones' place.

    The old manifest goes first and the new one comes last: wherever this is interrupted, the bundle is the old one, the
    new one, or has no manifest; serving refuses such a bundle and the next build repairs it.
    """
    repository, manifest = bundle / REPOSITORY, bundle / MANIFEST_FILE
    for path in (manifest, repository):
        if path.exists():
            path.rename(_beside(path, _OLD))
    for path in (repository, manifest):
        _beside(path, _NEW).rename(path)


def _discard(bundle: Path) -> None:
    """Remove what a swap, finished or interrupted, leaves beside the bundle."""
    for suffix in (_NEW, _OLD):
        _beside(bundle / MANIFEST_FILE, suffix).unlink(missing_ok=True)
        shutil.rmtree(_beside(bundle / REPOSITORY, suffix), ignore_errors=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _export(order: Order, target: Target, directory: Path) -> str:
    """Run the converter unless its files are up to date; returns their fingerprint."""
    sources = [source for source in (order.checkpoint, order.codec) if source]
    mark = fingerprint(
        (
            FORMAT,
            *sources,
            order.revision,
            order.codec_revision,
            target.precision,
            target.max_positions,
            target.lm_engine,
            *(version(package) for package in _COMPILERS),
        ),
        code=[ROOT / "convert"],
        data=[Path(source) for source in sources],
    )
    if _recorded(directory / EXPORT_FILE) == mark or _shared(directory, mark):
        return mark
    command = [sys.executable, "-m", "convert", order.checkpoint, "--output", str(directory)]
    command += ["--precision", target.precision, "--max-positions", str(target.max_positions), "--fingerprint", mark]
    for flag, value in (
        ("--lm-format", target.lm.lm_format),
        ("--revision", order.revision),
        ("--codec", order.codec),
        ("--codec-revision", order.codec_revision),
    ):
        command += [flag, value] if value else []
    _convert(command)
    return mark


def _shared(directory: Path, mark: str) -> bool:
    """Whether a bundle beside this one has these exports; then both have them now, once on the disk."""
    for record in sorted(directory.parent.parent.glob(f"*/{directory.name}/{EXPORT_FILE}")):
        if _recorded(record) != mark:
            continue
        theirs, fresh = record.parent, _beside(directory, _NEW)
        with suppress(OSError), locked(theirs.parent / LOCK_FILE, wait=0):  # who builds there may replace them
            shutil.rmtree(fresh, ignore_errors=True)
            for file in theirs.rglob("*"):
                if file.is_file():
                    place(file, fresh / file.relative_to(theirs))
            if _recorded(fresh / EXPORT_FILE) == mark:
                shutil.rmtree(directory, ignore_errors=True)
                os.replace(fresh, directory)
                return True
    return False


def _convert(command: list[str]) -> None:
    # torch's threads spin while they wait for one another: on a busy machine a check takes twenty times as long.
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        raise BuildError("the conversion failed; its message is above")


def _recorded(path: Path) -> str | None:
    try:
        return json.loads(path.read_text()).get("fingerprint")
    except (OSError, ValueError):
        return None
