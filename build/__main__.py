"""`python -m build`: checkpoint to bundle for one target; whatever is up to date is left alone."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from build.errors import BuildError
from build.exports import EXPORT_FILE, Exports
from build.fingerprint import fingerprint
from build.manifest import MANIFEST_FILE, is_whole, requirements, write_manifest
from build.repository import ROOT, assemble
from build.targets import Target, load_target

_COMPILERS = ("torch", "transformers", "onnx", "onnxruntime", "numpy")


def main(arguments: list[str] | None = None) -> int:
    """Build and report; returns the exit code."""
    options = _parser().parse_args(arguments)
    bundle = options.output or Path("artifacts") / options.target
    try:
        target = load_target(options.target)
        if options.precision:
            target = replace(target, precision=options.precision)
        _build(options, target, bundle)
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, above all, which names no file
        print(f"build: {error.strerror or error}: {error.filename or bundle}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m build", description=__doc__)
    parser.add_argument("--target", default="cpu", help="machine kind, one of build/targets.toml")
    parser.add_argument("--checkpoint", required=True, help="folder or hub id of the language model")
    parser.add_argument("--revision", help="commit of the hub repository; required for a hub id")
    parser.add_argument("--codec", help="folder or hub id of the codec; default: the one the checkpoint names")
    parser.add_argument("--codec-revision", help="commit of the codec's hub repository")
    parser.add_argument("--precision", help="override the target's precision (fp32, int8, int4)")
    parser.add_argument("--voices", type=Path, help="folder of voice profiles: NAME.wav with NAME.txt")
    parser.add_argument("--output", type=Path, help="bundle folder; default artifacts/TARGET")
    return parser


def _build(options: argparse.Namespace, target: Target, bundle: Path) -> None:
    exported = _export(options, target, bundle / "exports")
    mark = fingerprint(
        (exported, target, requirements()),
        code=[ROOT / name for name in ("build", "engine", "triton_repo")],
        data=[options.voices] if options.voices else [],
    )
    if is_whole(bundle, bundle / "model_repository", mark):
        print(f"{bundle} is up to date")
        return
    exports = Exports.read(bundle / "exports")
    fresh, final = bundle / "model_repository.new", bundle / "model_repository"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        assemble(exports, target, options.voices, fresh)
    except BaseException:  # the bundle that was there stays; half of a new one would only hold disk space
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    (bundle / MANIFEST_FILE).unlink(missing_ok=True)
    shutil.rmtree(final, ignore_errors=True)
    fresh.rename(final)
    write_manifest(bundle, final, exports, target, mark)
    print(f"{bundle} is ready: {target.description}, {target.precision}, {target.max_streams} streams")


def _export(options: argparse.Namespace, target: Target, directory: Path) -> str:
    """Run the converter unless its files are up to date; returns their fingerprint."""
    sources = [source for source in (options.checkpoint, options.codec) if source]
    mark = fingerprint(
        (
            *sources,
            options.revision,
            options.codec_revision,
            target.precision,
            target.max_positions,
            *(version(package) for package in _COMPILERS),
        ),
        code=[ROOT / "convert"],
        data=[Path(source) for source in sources],
    )
    if _recorded(directory / EXPORT_FILE) == mark:
        return mark
    command = [sys.executable, "-m", "convert", options.checkpoint, "--output", str(directory)]
    command += ["--precision", target.precision, "--max-positions", str(target.max_positions), "--fingerprint", mark]
    for flag, value in (
        ("--revision", options.revision),
        ("--codec", options.codec),
        ("--codec-revision", options.codec_revision),
    ):
        command += [flag, value] if value else []
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise BuildError("the conversion failed; its message is above")
    return mark


def _recorded(path: Path) -> str | None:
    try:
        return json.loads(path.read_text()).get("fingerprint")
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(main())
