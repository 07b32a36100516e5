"""The acceptance run that owners of GPUs send back: here on the CPU bundle, by the same code, in its quick form."""

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

from bench import acceptance, checks, parity
from bench.acceptance import levels
from bench.checks import Bench, Verdict
from bench.served import ServedBundle, ServeError
from bench.serving import Level
from convert.checkpoint import Checkpoint
from serve.gpu import GIB, Gpu
from serve.triton import TritonServer
from tests.serve.small import write_manifest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {"temperature": 0.0, "ras_window": 0, "max_seconds": 1.6, "first_chunk_seconds": 0.2, "runaway_guard": False}


def test_the_cpu_bundle_passes_and_the_report_says_so(
    bundle: Path, checkpoint: Path, voices: Path, tmp_path: Path, figure: Callable[[str, str], None]
) -> None:
    command = [sys.executable, "-m", "bench.acceptance", "--quick", "--out", str(tmp_path)]
    command += ["--checkpoint", str(checkpoint), "--voices", str(voices), "--output", str(bundle)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    report = (tmp_path / "cpu.md").read_text()
    assert done.returncode == 0, report
    assert report in done.stdout
    assert report.startswith("# Acceptance of cpu: 9 of 9 checks hold\n")
    assert report.count("only measured") == 2, "memory and speed: a CPU is promised neither"
    figures = json.loads(report.partition("```json\n")[2].partition("\n```")[0])
    passed = {verdict["name"]: verdict["figures"] for verdict in figures["verdicts"] if verdict["passed"]}
    for case in ("without a clip", "with a clip"):
        said = passed[f"greedy codes, {case}"]
        equal, of = said.split(": ")[1].split(" codes")[0].split(" of ")
        assert equal == of
        assert int(of) > 400
        assert " at their 4 seams by " in passed[f"seam-free audio, {case}"]
        figure(f"acceptance, greedy codes {case}", said)
    assert passed["concurrency"] == "4 of 4 streams complete, 4 equal to their single runs"
    assert passed["cancel"].startswith("21 of 21 streams")
    assert "with code 0, after 0 restarts" in passed["clean stop"]
    assert [level["streams"] for level in figures["levels"]] == [1, 4]
    assert figures["facts"]["GPUs"] == "none" or "GPU" in figures["facts"]["GPUs"]
    assert "onnxruntime 1." in figures["facts"]["versions"]


def test_the_tests_of_a_card_are_in_the_report_and_said_to_be_skipped_where_there_is_none(
    bundle: Path, checkpoint: Path
) -> None:
    verdict = acceptance.gpu_tests()
    served: Any = SimpleNamespace()
    bench = Bench(served, json.loads((bundle / "manifest.json").read_text()), Checkpoint.open(checkpoint), 2.4, (1,))
    report = acceptance.write_report(bench, [Verdict("serve", True, "ready"), verdict], [], 1.0)
    row = next(line for line in report.splitlines() if "| tests/gpu" in line)
    if torch.cuda.is_available():
        assert verdict.passed and not verdict.skipped
        assert row.startswith("| PASS")
    else:
        assert report.startswith("# Acceptance of cpu: 1 of 1 checks hold\n"), "what was skipped did not hold"
        assert row.startswith("| skipped")
        assert re.search(r"\| 0 passed; \d+ skipped: needs a GPU \|$", row)


def test_of_a_cards_tests_the_report_names_those_that_failed(tmp_path: Path) -> None:
    (tmp_path / "test_card.py").write_text(
        "import pytest\ndef test_right(): pass\ndef test_wrong(): assert False\n"
        "@pytest.fixture\ndef engine(): raise RuntimeError('no engine')\ndef test_broken(engine): pass\n"
    )
    verdict = acceptance.gpu_tests(tmp_path)
    assert verdict == Verdict("tests/gpu", False, "1 passed; 2 failed: test_wrong, test_broken")
    (tmp_path / "test_card.py").write_text("def test_right(): pass\n")
    assert acceptance.gpu_tests(tmp_path) == Verdict("tests/gpu", True, "1 passed")


def test_only_targets_that_tests_gpu_is_about_run_it(
    bundle: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole run over this machine's bundle, said to be one of TensorRT-RTX; its checks are not repeated here."""
    fake = tmp_path / "bundle"
    fake.mkdir()
    manifest = json.loads((bundle / "manifest.json").read_text())
    monkeypatch.setattr(acceptance, "run", lambda bench: ([Verdict("serve", True, "ready")], []))
    monkeypatch.setattr(acceptance, "gpu_tests", lambda: Verdict("tests/gpu", False, "1 failed: test_logits"))
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: SimpleNamespace(returncode=0, stdout="commit"))
    words = ["--checkpoint", str(checkpoint), "--output", str(fake), "--out", str(tmp_path)]
    for engine, code in (("onnxruntime", 0), ("tensorrt-rtx", 1)):
        manifest["limits"]["lm_engine"] = engine
        (fake / "manifest.json").write_text(json.dumps(manifest))
        assert acceptance.main(words) == code
        report = (tmp_path / "cpu.md").read_text()
        assert ("| FAIL | tests/gpu | 1 failed: test_logits |" in report) == (engine == "tensorrt-rtx")


def test_what_cannot_be_built_ends_with_the_builds_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.acceptance", "--target", "h100", "--checkpoint", str(tmp_path)]
    done = subprocess.run(
        [*command, "--device", "99", "--output", str(tmp_path / "bundle")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    first, last = done.stderr.strip().splitlines()
    assert first.startswith("build: target h100 cannot be built here: ")
    assert last.startswith("acceptance: there is no bundle to test")


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


def test_audio_with_a_seam_fails(bundle: Path, checkpoint: Path, tmp_path: Path) -> None:
    """A codec model that leaves one sample's value off by a hundredth where a chunk begins."""
    broken = tmp_path / "bundle"
    shutil.copytree(bundle, broken, ignore=shutil.ignore_patterns("exports", "*.log*"))
    model = broken / "model_repository" / "codec_decoder" / "1" / "runtime" / "triton" / "codec_decoder.py"
    text = model.read_text()
    clicks = text.replace('tensors.tensor("audio", ', 'tensors.tensor("audio", click(')
    assert clicks != text
    model.write_text(_closed(clicks) + _CLICK)
    write_manifest(broken)
    manifest = json.loads((bundle / "manifest.json").read_text())
    with TritonServer(broken) as server:
        served: Any = server
        bench = Bench(served, manifest, Checkpoint.open(checkpoint), 2.4, (1,))
        codes, audio = checks.codes_and_audio(bench, cloned=False)
    assert codes.passed
    assert not audio.passed
    figures = re.search(r"at their 4 seams by (\S+) at most \(.* deviation of (\S+) allowed\)", audio.figures)
    assert figures
    assert float(figures[1]) * float(figures[2]) == pytest.approx(0.01, rel=0.05)


_CLICK = """

def click(samples):
    spoiled = np.array(samples, copy=True)
    spoiled[:1] += 0.01
    return spoiled
"""


def _closed(text: str) -> str:
    """Close the parenthesis that `click(` opened, before the data type."""
    head, _, rest = text.partition("click(")
    value, _, tail = rest.partition(", np.float32")
    return f"{head}click({value}), np.float32{tail}"


def test_a_server_that_cannot_start_is_a_failed_check(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match=r"serve: .* is not a bundle"):
        ServedBundle(sys.executable, tmp_path).start()


@pytest.mark.parametrize("used_gib, holds", [(40, True), (47, False), (2, False)])
def test_a_server_must_keep_to_the_gpu_memory_its_manifest_asks_for(
    used_gib: int, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one of two GPUs, of which 2 GiB were in use before: a server may take 44 GiB, and takes something."""
    gpu = Gpu(0, "GPU-a", "NVIDIA H100", "9.0", 80 * GIB, 80 * GIB, "550")
    monkeypatch.setattr(acceptance, "query_gpus", lambda: [gpu, replace(gpu, uuid="GPU-b", free_bytes=78 * GIB)])
    before = acceptance.gpu_bytes()
    after = [gpu, replace(gpu, uuid="GPU-b", free_bytes=(80 - used_gib) * GIB)]
    monkeypatch.setattr(acceptance, "query_gpus", lambda: after)
    server: Any = SimpleNamespace(memory_bytes=lambda: GIB)
    checkpoint: Any = None
    verdict = acceptance.memory(
        Bench(server, {"requires": {"gpu_memory_bytes": 44 * GIB}}, checkpoint, 2.4, (1,)), before
    )
    assert verdict.passed is holds
    assert f"{used_gib - 2:.2f} of the 44.00 GiB of GPU memory" in verdict.figures


def test_the_report_names_the_commit_also_where_there_is_no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(acceptance.COMMIT_VARIABLE, raising=False)
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert acceptance.commit().startswith(head.stdout.strip())
    monkeypatch.setenv("PATH", "/nowhere")
    assert acceptance.commit() == "unknown"
    monkeypatch.setenv(acceptance.COMMIT_VARIABLE, "abc1234")
    assert acceptance.commit() == "abc1234"


def test_what_only_was_measured_neither_holds_nor_fails() -> None:
    level = Level(**{field.name: 2.0 for field in fields(Level)} | {"streams": 1})  # slower than it lasts
    for architecture, passed in ((None, None), ("sm90", False)):
        manifest = {"requires": {"gpu_architecture": architecture}}
        bench: Any = SimpleNamespace(manifest=manifest)
        assert checks.real_time(bench, [level]).passed is passed


def test_levels_end_with_the_most_a_bundle_serves() -> None:
    assert levels(16) == (1, 2, 4, 8, 16)
    assert levels(20) == (1, 2, 4, 8, 16, 20)
    assert levels(1) == (1,)
