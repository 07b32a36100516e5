"""`python -m build`: builds a bundle for one target from a checkpoint; skips whatever is up to date."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from build.bundle import Order, build
from build.errors import BuildError
from build.interpreter import Interpreter
from build.targets import Target, load_target, with_gpu_memory, with_gpus, with_precision


def main(arguments: list[str] | None = None) -> int:
    """Build and report; returns the exit code."""
    options = _parser().parse_args(arguments)
    bundle = options.output or Path("artifacts") / options.target
    order = Order(
        options.checkpoint,
        options.revision,
        options.codec,
        options.codec_revision,
        options.voices,
        options.device,
        Interpreter(options.engine_python),
    )
    try:
        build(order, _target(options), bundle)
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # typically a full disk, where the error names no file
        print(f"build: {error.strerror or error}: {error.filename or bundle}", file=sys.stderr)
        return 1
    return 0


def _target(options: argparse.Namespace) -> Target:
    target = load_target(options.target)
    if options.precision:
        target = with_precision(target, options.precision)
    if options.streams is not None:
        if options.streams < 1:
            raise BuildError(f"--streams is {options.streams}; a server needs at least 1")
        target = replace(target, max_streams=options.streams)
    if options.gpu_memory is not None:
        target = with_gpu_memory(target, options.gpu_memory)
    return target if options.gpus is None else with_gpus(target, options.gpus)


def _parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(prog="python -m build", description=__doc__)
    words.add_argument("--target", default="cpu", help="kind of machine, one of those in build/targets.toml")
    words.add_argument("--checkpoint", required=True, help="folder or hub id of the language model")
    words.add_argument("--revision", help="commit of the hub repository; required for a hub id")
    words.add_argument("--codec", help="folder or hub id of the codec; default: the one the checkpoint names")
    words.add_argument("--codec-revision", help="commit of the codec's hub repository")
    words.add_argument("--precision", help="override the target's precision; the choices depend on its engine")
    words.add_argument("--streams", type=int, help="override how many streams the target serves at once")
    words.add_argument("--gpus", type=int, help="over how many GPUs vLLM splits the model; on a CPU, processes")
    words.add_argument("--gpu-memory", type=float, help="GiB of the GPU that will serve, for target vllm elsewhere")
    words.add_argument("--voices", type=Path, help="folder of voice profiles: NAME.wav with NAME.txt")
    words.add_argument("--output", type=Path, help="bundle folder; default artifacts/TARGET")
    words.add_argument("--device", help="GPU to build on, by nvidia-smi's index or UUID; default: the emptiest")
    words.add_argument(
        "--engine-python", default=sys.executable, help="Python that compiles and serves, where it is not this one"
    )
    return words


if __name__ == "__main__":
    sys.exit(main())
