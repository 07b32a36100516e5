"""`python -m bench.acceptance`: build a target here, serve it, and prove it; prints one report and writes it to a file.

Takes the options of `python -m build`, builds with them, serves the bundle as its user would, compares what it speaks
with transformers on the same machine, and measures it. The report says of every check whether it holds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import psutil

from bench import checks
from bench.checks import Bench, Verdict
from bench.report import table
from bench.served import ServedBundle, ServeError
from bench.serving import Level, level_table
from build.__main__ import parser as build_parser
from convert.checkpoint import Checkpoint
from serve.errors import DeviceError
from serve.gpu import query_gpus

_ROOT = Path(__file__).resolve().parent.parent
FULL_SECONDS, QUICK_SECONDS = 9.6, 2.4
QUICK_STREAMS = (1, 4)
_WORDS = {True: "PASS", False: "FAIL", None: "only measured"}
COMMIT_VARIABLE = "HIGGS_COMMIT"  # deploy/Dockerfile bakes it in: an image has no git and no history


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 when everything holds."""
    own, words = _parser().parse_known_args(arguments)
    options = build_parser().parse_args(words)
    bundle = options.output or Path("artifacts") / options.target
    started = time.monotonic()
    if subprocess.run([sys.executable, "-m", "build", *words], cwd=_ROOT, check=False).returncode:
        print("acceptance: there is no bundle to test; the build's message is above", file=sys.stderr)
        return 1
    build_seconds = time.monotonic() - started
    manifest = json.loads((bundle / "manifest.json").read_text())
    checkpoint = Checkpoint.open(options.checkpoint, options.revision)
    most = manifest["limits"]["max_streams"]
    bench = Bench(
        server=ServedBundle(own.run_python, bundle, ["--device", options.device] if options.device else []),
        manifest=manifest,
        checkpoint=checkpoint,
        seconds=QUICK_SECONDS if own.quick else FULL_SECONDS,
        streams=QUICK_STREAMS if own.quick else levels(most),
    )
    verdicts, measured = run(bench)
    if manifest["limits"]["lm_engine"] == "tensorrt-rtx":
        print("checking tests/gpu", flush=True)
        verdicts.append(gpu_tests())
    report = write_report(bench, verdicts, measured, build_seconds)
    path = own.out / f"{options.target}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report)
    print(f"\n{report}\nwritten to {path}; please send this file back")
    return 1 if any(verdict.passed is False for verdict in verdicts) else 0


def gpu_tests(folder: Path = _ROOT / "tests" / "gpu") -> Verdict:
    """The tests that need this target's own card, by pytest; what is skipped is said to be, and has not passed."""
    name = "tests/gpu"
    with TemporaryDirectory() as scratch:
        results = Path(scratch) / "results.xml"
        command = [sys.executable, "-m", "pytest", str(folder), "--quiet", f"--junitxml={results}"]
        subprocess.run(command, cwd=_ROOT, check=False)
        if not results.exists():
            return Verdict(name, False, "pytest could not run; its message is above")
        suite = ElementTree.parse(results).getroot()
    cases = list(suite.iter("testcase"))
    skipped = [reason.get("message", "") for reason in suite.iter("skipped")]
    broken = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    passed = len(cases) - len(broken) - len(skipped)
    figures = [f"{passed} passed"]
    if broken:
        figures.append(f"{len(broken)} failed: {', '.join(case.get('name', '') for case in broken)}")
    if skipped:
        figures.append(f"{len(skipped)} skipped: {', '.join(sorted(set(skipped)))}")
    ran = bool(passed or broken)
    return Verdict(name, not broken if ran else None, "; ".join(figures), skipped=not ran)


def levels(most: int) -> tuple[int, ...]:
    """Powers of two below the most streams a bundle serves, and those."""
    return (*(2**n for n in range(most.bit_length()) if 2**n < most), most)


def run(bench: Bench) -> tuple[list[Verdict], list[Level]]:
    """Every check in turn; one that breaks has failed, and the others still run."""
    before = gpu_bytes()
    try:
        bench.server.start()
    except ServeError as error:
        return [Verdict("serve", False, str(error))], []
    verdicts = [Verdict("serve", True, f"ready after {bench.server.start_seconds:.1f} s")]
    measured: list[Level] = []

    def speed() -> list[Verdict]:
        measured.extend(checks.speed(bench))
        return [checks.real_time(bench, measured)]

    planned: list[tuple[str, Callable[[], list[Verdict]]]] = [
        ("health", lambda: [checks.speaks(bench)]),
        ("parity", lambda: checks.codes_and_audio(bench, cloned=False)),
        ("parity with a clip", lambda: checks.codes_and_audio(bench, cloned=True)),
        ("concurrency", lambda: [checks.concurrency(bench)]),
        ("cancel", lambda: [checks.cancelling(bench)]),
        ("speed", speed),
        ("memory", lambda: [memory(bench, before)]),
        ("clean stop", lambda: [checks.stopping(bench)]),
    ]
    try:
        for name, check in planned:
            print(f"checking {name}", flush=True)
            try:
                verdicts += check()
            except Exception as error:
                verdicts.append(Verdict(name, False, f"{type(error).__name__}: {error}".splitlines()[0]))
    finally:
        bench.server.stop()
    return verdicts, measured


def gpu_bytes() -> dict[str, int]:
    """Memory in use on each GPU by its UUID, whoever uses it."""
    try:
        return {gpu.uuid: gpu.total_bytes - gpu.free_bytes for gpu in query_gpus()}
    except DeviceError:
        return {}


def memory(bench: Bench, before: Mapping[str, int]) -> Verdict:
    """What the server holds now. On a GPU it must have taken no more than its manifest asks for; `before` is what was
    in use when it was not there yet. Without a GPU nothing was promised."""
    figures = f"{bench.server.memory_bytes() / 2**30:.2f} GiB of host memory"
    promised = bench.manifest["requires"]["gpu_memory_bytes"]
    if promised is None:
        return Verdict("memory", None, figures)
    taken = max((used - before.get(uuid, 0) for uuid, used in gpu_bytes().items()), default=0)
    figures += f", {taken / 2**30:.2f} of the {promised / 2**30:.2f} GiB of GPU memory that the manifest asks for"
    return Verdict("memory", 0 < taken <= promised, figures)


def write_report(bench: Bench, verdicts: Sequence[Verdict], measured: Sequence[Level], build_seconds: float) -> str:
    """The whole report as Markdown, with its figures as JSON at the end."""
    manifest = bench.manifest
    checked = [verdict.passed for verdict in verdicts if verdict.passed is not None]
    limits = manifest["limits"]
    facts = {
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "machine": f"{platform.platform()}, {os.cpu_count()} CPUs, {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "GPUs": _gpus(),
        "target": f"{manifest['target']}: {limits['description']}, {limits['precision']}",
        "engines": f"{limits['lm_engine']} for the language model, {limits['codec_engine']} for the codec",
        "limits": f"{limits['max_streams']} streams of {limits['max_positions']} positions",
        "versions": ", ".join(f"{name} {number}" for name, number in _versions(manifest).items()),
        "checkpoint": f"{manifest['checkpoint']['source']} {manifest['checkpoint']['revision'] or ''}".strip(),
        "commit": commit(),
        "build": f"{build_seconds:.0f} s now; compiled in {manifest['compiled_in_seconds'] or 'no step of its own'}",
    }
    rows = [("skipped" if v.skipped else _WORDS[v.passed], v.name, v.figures) for v in verdicts]
    figures = {"facts": facts, "verdicts": [asdict(v) for v in verdicts], "levels": [asdict(m) for m in measured]}
    parts = [
        f"# Acceptance of {manifest['target']}: {sum(checked)} of {len(checked)} checks hold",
        table(("", ""), list(facts.items())),
        table(("", "check", "figures"), rows),
        level_table(measured) if measured else "No speed was measured.",
        f"```json\n{json.dumps(figures, indent=1)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _gpus() -> str:
    try:
        return ", ".join(f"{gpu}, driver {gpu.driver}" for gpu in query_gpus()) or "none"
    except DeviceError as error:
        return str(error)


def _versions(manifest: dict[str, Any]) -> dict[str, str]:
    requires = manifest["requires"]
    tensorrt = {"TensorRT": requires["tensorrt"]} if requires["tensorrt"] else {}
    reference = {"transformers": version("transformers")}
    return {"Python": requires["python"], **requires["packages"], **tensorrt, **reference}


def commit() -> str:
    """What the code's version is: the image's, or this checkout's."""
    if baked := os.environ.get(COMMIT_VARIABLE):
        return baked
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=_ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return "unknown"
    return answer.stdout.strip() or "unknown"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.acceptance", description=__doc__, epilog="All options of python -m build are taken too."
    )
    parser.add_argument("--out", type=Path, default=Path("artifacts/acceptance"), help="folder for the report")
    parser.add_argument(
        "--run-python", default=sys.executable, help="interpreter that serves, where it is not this one"
    )
    parser.add_argument(
        "--quick", action="store_true", help="short generations and few streams: minutes become seconds"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
