"""tests/acceptance, which owners of GPUs run: on a bundle of the CPU's it passes, on broken ones it fails."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from convert.checkpoint import Checkpoint
from serve.gpu import GIB, Gpu
from serve.triton import TritonServer
from tests.acceptance import parity, report, served
from tests.acceptance import test_bundle as checks
from tests.acceptance.conftest import levels_up_to
from tests.serve.small import write_manifest
from tools.bench.serving import Level

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {"temperature": 0.0, "ras_window": 0, "max_seconds": 1.6, "first_chunk_seconds": 0.2, "runaway_guard": False}


def make_acceptance(**variables: object) -> subprocess.CompletedProcess[str]:
    """With this Python, as it is."""
    words = [f"{name}={value}" for name, value in ({"PY": sys.executable} | variables).items()]
    command = ["make", "-o", ".venv/.ready", "acceptance", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def suite(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/acceptance", "--quick"]
    return subprocess.run([*command, *map(str, options)], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_cpu_bundle_passes_and_the_report_says_so(
    bundle: Path, checkpoint: Path, voices: Path, tmp_path: Path, figure: Callable[[str, str], None]
) -> None:
    done = make_acceptance(CHECKPOINT=checkpoint, VOICES=voices, BUNDLE=bundle, REPORTS=tmp_path, QUICK=1)
    written = (tmp_path / "cpu.md").read_text()
    assert done.returncode == 0, written
    assert written in done.stdout
    assert written.startswith("# Acceptance of cpu: 9 of 9 checks hold\n")
    assert written.count("| only measured |") == 2, "memory and speed: a CPU is promised neither"
    figures = json.loads(written.partition("```json\n")[2].partition("\n```")[0])
    passed = {verdict["name"]: verdict["figures"] for verdict in figures["verdicts"] if verdict["passed"]}
    for case in ("without a clip", "with a clip"):
        said = passed[f"greedy codes, {case}"]
        equal, of = said.split(": ")[1].split(" codes")[0].split(" of ")
        assert equal == of
        assert int(of) > 400
        assert " at their 4 seams by " in passed[f"seam free audio, {case}"]
        figure(f"acceptance, greedy codes {case}", said)
    assert passed["concurrency"] == "4 of 4 streams complete, 4 equal to their single runs"
    assert passed["cancel"].startswith("21 of 21 streams")
    assert "with code 0, after 0 restarts" in passed["clean stop"]
    assert [level["streams"] for level in figures["levels"]] == [1, 4]
    assert figures["facts"]["GPUs"] == "none" or "GPU" in figures["facts"]["GPUs"]
    assert "onnxruntime 1." in figures["facts"]["versions"]
    assert " s now; compiled in no step of its own" in figures["facts"]["build"]


def test_audio_with_a_seam_fails(bundle: Path, tmp_path: Path) -> None:
    """A codec model that leaves one sample's value off by a hundredth where a chunk begins."""
    broken = tmp_path / "bundle"
    shutil.copytree(bundle, broken, ignore=shutil.ignore_patterns("exports", "*.log*"))
    model = broken / "model_repository" / "codec_decoder" / "1" / "runtime" / "triton" / "codec_decoder.py"
    text = model.read_text()
    clicks = text.replace('tensors.tensor("audio", audio, ', 'tensors.tensor("audio", click(audio), ')
    assert clicks != text
    model.write_text(clicks + _CLICK)
    manifest = json.loads((bundle / "manifest.json").read_text())
    write_manifest(broken)
    files = json.loads((broken / "manifest.json").read_text())["files"]
    (broken / "manifest.json").write_text(json.dumps(manifest | {"files": files}))
    done = suite("--bundle", broken, "--report", tmp_path, "-k", "without")
    assert done.returncode == 1
    written = (tmp_path / "cpu.md").read_text()
    assert written.startswith("# Acceptance of cpu: 1 of 2 checks hold\n")
    assert re.search(r"^\| PASS +\| greedy codes, without a clip ", written, re.MULTILINE)
    row = r"^\| FAIL +\| seam free audio, without a clip .*at their 4 seams by (\S+) at most \(.* of (\S+) allowed\)"
    figures = re.search(row, written, re.MULTILINE)
    assert figures
    assert float(figures[1]) * float(figures[2]) == pytest.approx(0.01, rel=0.05)


_CLICK = """

def click(samples):
    spoiled = np.array(samples, copy=True)
    spoiled[:1] += 0.01
    return spoiled
"""


@pytest.mark.parametrize("engine", ["onnxruntime", "tensorrt-rtx"])
def test_without_a_server_all_fails_but_the_tests_of_a_card_where_they_are_asked_for(
    bundle: Path, tmp_path: Path, engine: str
) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["limits"]["lm_engine"] = engine
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    done = suite("--bundle", tmp_path, "--report", tmp_path, "-k", "serve or rtx")
    assert done.returncode == 1
    written = (tmp_path / "cpu.md").read_text()
    assert re.search(r"^\| FAIL +\| serve +\| serve: .*model_repository", written, re.MULTILINE), written
    cards = re.findall(r"^\| (\w+) +\| tests/gpu: [\w ]+(?:, \w+)? +\| (.*?) +\|$", written, re.MULTILINE)
    if engine == "onnxruntime":
        assert not cards
    elif torch.cuda.is_available():
        assert ("PASS", "") in cards
    else:
        assert set(cards) == {("skipped", "needs a GPU")}
        assert written.startswith("# Acceptance of cpu: 0 of 1 checks hold\n"), "what was skipped did not hold"


def test_what_is_no_bundle_ends_with_a_sentence(tmp_path: Path) -> None:
    for words in ([], ["--bundle", tmp_path]):
        done = suite(*words)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert re.fullmatch(r"ERROR: --bundle.*\n\n?", done.stderr)


def test_what_cannot_be_built_ends_with_the_builds_sentence(tmp_path: Path) -> None:
    done = make_acceptance(TARGET="h100", CHECKPOINT=tmp_path, DEVICE=99, BUNDLE=tmp_path / "bundle", REPORTS=tmp_path)
    assert done.returncode
    assert done.stderr.startswith("build: target h100 cannot be built here: ")
    assert not list(tmp_path.glob("*.md"))


def test_a_code_that_is_not_transformers_choice_is_found(server: TritonServer, checkpoint: Path) -> None:
    source = Checkpoint.open(checkpoint)
    spoken = parity.speak(server.grpc_url, checks.TEXT, OPTIONS, None)
    right = parity.compare(spoken, source, "fp32", 1e-5)
    assert right.holds
    assert right.equal == right.codes == 8 * 40 - 8 * 7 // 2  # the last frame's later codebooks stand in no full column
    codes = spoken.codes.copy()
    codes[2, -9] = (codes[2, -9] + 1) % 1024
    wrong = parity.compare(replace(spoken, codes=codes), source, "fp32", 1e-5)
    assert not wrong.holds
    assert wrong.equal < wrong.codes == right.codes
    assert wrong.worst > 100 * wrong.allowed


def test_what_an_engine_may_confuse_follows_from_its_arithmetic() -> None:
    allowed: Callable[[str], float] = lambda precision: parity.allowed_distance(precision, 28, 0.0)  # noqa: E731
    assert allowed("fp32") < 1e-5
    assert 0.1 < allowed("bf16") < 0.2
    assert allowed("fp8") == allowed("int4") == allowed("bf16"), "weights are widened; their own error is measured"
    assert parity.allowed_distance("int4", 28, 0.5) == pytest.approx(allowed("int4") + 1.0)


@pytest.mark.parametrize("used_gib, holds", [(40, True), (47, False), (2, False)])
def test_a_server_must_keep_to_the_gpu_memory_its_manifest_asks_for(
    used_gib: int, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one of two GPUs, of which 2 GiB were in use before: a server may take 44 GiB, and takes something."""
    gpu = Gpu(0, "GPU-a", "NVIDIA H100", "9.0", 80 * GIB, 80 * GIB, "550")
    monkeypatch.setattr(served, "query_gpus", lambda: [gpu, replace(gpu, uuid="GPU-b", free_bytes=78 * GIB)])
    before = served.gpu_bytes()
    after = [gpu, replace(gpu, uuid="GPU-b", free_bytes=(80 - used_gib) * GIB)]
    monkeypatch.setattr(served, "query_gpus", lambda: after)
    server: Any = SimpleNamespace(memory_bytes=lambda: GIB)
    said: dict[str, Any] = {}
    try:
        checks.test_memory(server, {"requires": {"gpu_memory_bytes": 44 * GIB}}, before, said.__setitem__)
    except AssertionError:
        assert not holds
    else:
        assert holds
    assert f"{used_gib - 2:.2f} of the 44.00 GiB of GPU memory" in said[report.FIGURES]


def test_the_report_names_the_commit_also_where_there_is_no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(report.COMMIT_VARIABLE, raising=False)
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert report.commit().startswith(head.stdout.strip())
    monkeypatch.setenv("PATH", "/nowhere")
    assert report.commit() == "unknown"
    monkeypatch.setenv(report.COMMIT_VARIABLE, "abc1234")
    assert report.commit() == "abc1234"


def test_only_a_gpu_must_speak_in_real_time() -> None:
    level = Level(**{field.name: 2.0 for field in fields(Level)} | {"streams": 1})  # slower than it lasts
    said: dict[str, Any] = {}
    for architecture, outcome in ((None, pytest.skip.Exception), ("sm90", AssertionError)):
        with pytest.raises(outcome):
            checks.test_real_time([level], {"requires": {"gpu_architecture": architecture}}, said.__setitem__)
    assert said == {report.LEVELS: [level], report.FIGURES: "0 streams at once are faster than real time"}


def test_levels_end_with_the_most_a_bundle_serves() -> None:
    assert levels_up_to(16) == (1, 2, 4, 8, 16)
    assert levels_up_to(20) == (1, 2, 4, 8, 16, 20)
    assert levels_up_to(1) == (1,)
