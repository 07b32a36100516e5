"""The report of an acceptance run: the machine and the bundle, what came of each check, and how fast it speaks."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from serve.errors import DeviceError
from serve.gpu import query_gpus
from tools.bench.report import table
from tools.bench.serving import Level, level_table

_ROOT = Path(__file__).resolve().parents[2]
_WORDS = {True: "PASS", False: "FAIL", None: "only measured"}
COMMIT_VARIABLE = "HIGGS_COMMIT"  # deploy/Dockerfile bakes it in: an image has no git and no history
# What a check records of itself (`record_property`): its figures in a line, and the speeds it measured.
FIGURES, LEVELS = "figures", "levels"


@dataclass(frozen=True)
class Verdict:
    """One check's outcome. `passed` is None for what is only reported, because nothing was promised that could fail,
    and for what was `skipped`, because this machine cannot run it.
    """

    name: str
    passed: bool | None
    figures: str
    skipped: bool = False

    @classmethod
    def of(cls, report: pytest.TestReport) -> Verdict:
        """A test that skips itself after it measured was promised nothing."""
        figures = str(dict(report.user_properties).get(FIGURES, "")) if report.when == "call" else ""
        passed = None if report.skipped else report.passed
        return cls(_name(report.nodeid), passed, figures or _reason(report), skipped=report.skipped and not figures)


class Report:
    """A plugin of pytest's that listens to a run, prints the report at its end, and writes it to FOLDER/TARGET.md."""

    def __init__(self, manifest: dict[str, Any], folder: Path, build_seconds: int | None) -> None:
        self._manifest, self._folder, self._build_seconds = manifest, folder, build_seconds
        self._verdicts: list[Verdict] = []
        self._levels: list[Level] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            self._verdicts.append(Verdict.of(report))
            properties: dict[str, Any] = dict(report.user_properties)
            self._levels += properties.get(LEVELS, [])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._verdicts:
            return
        path = self._folder / f"{self._manifest['target']}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text())
        terminalreporter.section("acceptance")
        terminalreporter.write_line(f"{self.text()}\nwritten to {path}; please send this file back")

    def text(self) -> str:
        """The whole report as Markdown, with its figures as JSON at the end."""
        checked = [verdict.passed for verdict in self._verdicts if verdict.passed is not None]
        facts = self._facts()
        rows = [("skipped" if v.skipped else _WORDS[v.passed], v.name, v.figures) for v in self._verdicts]
        figures = {
            "facts": facts,
            "verdicts": [asdict(verdict) for verdict in self._verdicts],
            "levels": [asdict(level) for level in self._levels],
        }
        parts = [
            f"# Acceptance of {self._manifest['target']}: {sum(checked)} of {len(checked)} checks hold",
            table(("", ""), list(facts.items())),
            table(("", "check", "figures"), rows),
            level_table(self._levels) if self._levels else "No speed was measured.",
            f"```json\n{json.dumps(figures, indent=1)}\n```",
        ]
        return "\n\n".join(parts) + "\n"

    def _facts(self) -> dict[str, str]:
        manifest, limits, made_of = self._manifest, self._manifest["limits"], self._manifest["checkpoint"]
        built = f"{self._build_seconds} s now; " if self._build_seconds is not None else ""
        return {
            "when": time.strftime("%Y-%m-%d %H:%M"),
            "machine": f"{platform.platform()}, {os.cpu_count()} CPUs, {psutil.virtual_memory().total / 2**30:.0f} GiB",
            "GPUs": _gpus(),
            "target": f"{manifest['target']}: {limits['description']}, {limits['precision']}",
            "engines": f"{limits['lm_engine']} for the language model, {limits['codec_engine']} for the codec",
            "limits": f"{limits['max_streams']} streams of {limits['max_positions']} positions",
            "versions": ", ".join(f"{name} {number}" for name, number in _versions(manifest).items()),
            "checkpoint": f"{made_of['source']} {made_of['revision'] or ''}".strip(),
            "commit": commit(),
            "build": f"{built}compiled in {manifest['compiled_in_seconds'] or 'no step of its own'}",
        }


def _name(test: str) -> str:
    """What a test is called, in words; of one that is not of this folder, with its own."""
    file, _, function = test.partition("::")
    words = function.removeprefix("test_").replace("_", " ").replace("[", ", ").removesuffix("]")
    folder = Path(file).parent
    return words if folder.name == Path(__file__).parent.name else f"{folder}: {words}"


def _reason(report: pytest.TestReport) -> str:
    """Why a test was skipped, or broke, in a line."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash else report.longreprtext).removeprefix("Failed: ").strip().split("\n")[0]


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
