"""A workshop for GPU targets: a machine with two H100s and compilers, of which only the answers are there.

The compilers and the GPU are stood in for by the smallest things that answer as they do: an nvidia-smi and a
trtllm-build on the path, installed versions, and functions in the compilers' places. Tested is everything around them.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from build import __main__ as command
from build import bundle as building
from build import engines
from build.errors import BuildError

H100 = "{}, GPU-{}, NVIDIA H100 80GB HBM3, 9.0, 81559, {}, 550.90.07\n"


@dataclass
class Workshop:
    """A machine with two H100s, and what its compilers were asked for."""

    folder: Path
    checkpoint: Path
    calls: list[str] = field(default_factory=list)
    limits: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, Any] = field(default_factory=dict)
    conversions: list[str] = field(default_factory=list)
    fails: set[str] = field(default_factory=set)
    quantisation: dict[str, Any] | None = None  # what the converter finds in the checkpoint

    @property
    def bundle(self) -> Path:
        return self.folder / "h100"

    def gpus(self, lines: str) -> None:
        (self.folder / "bin" / "gpus").write_text(lines)

    def build(self, *options: str, target: str = "h100") -> int:
        words = ["--target", target, "--checkpoint", str(self.checkpoint), "--output", str(self.folder / target)]
        return command.main([*words, *options])

    def convert(self, words: list[str], exports: Path) -> None:
        """Hand out finished exports in place of a conversion."""
        self.conversions.append(" ".join(words))
        values = dict(itertools.pairwise(words))
        output = Path(values["--output"])
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(exports, output)
        record = json.loads((output / "export.json").read_text())
        record["language_model"]["quantisation"] = self.quantisation
        (output / "export.json").write_text(json.dumps(record | {"fingerprint": values["--fingerprint"]}))

    def compile(self, name: str, output: Path) -> None:
        self.calls.append(name)
        output.write_text(name)
        if name in self.fails:
            raise BuildError(f"{name} failed: out of memory")


@pytest.fixture
def workshop(tmp_path: Path, bundle: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path, checkpoint)
    monkeypatch.setattr(building, "_convert", lambda words: made.convert(words, bundle / "exports"))
    tools = tmp_path / "bin"
    tools.mkdir()
    scripts = {
        "nvidia-smi": f"#!/bin/sh\ncat {tools}/gpus\n",
        "trtllm-build": "#!/bin/sh\n",
    }
    for name, text in scripts.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    made.gpus(H100.format(0, "aaaa", 30000) + H100.format(1, "bbbb", 81000))
    install(monkeypatch, tmp_path / "installed", {"tensorrt_llm": "1.2.1", "tensorrt": "10.14.1.48"})

    def build_engine(weights: Path, engine: Path, shapes: Any, timing_cache: Path) -> None:
        made.limits = vars(shapes)
        engine.mkdir()
        (engine / "config.json").write_text("{}")
        made.compile("trtllm", engine / "rank0.engine")

    def compile_plan(onnx: Path, plan: Path, shapes: Any, capability: str) -> None:
        assert onnx.is_file()
        assert capability == "9.0"
        made.shapes[plan.name] = vars(shapes)
        made.compile(plan.stem, plan)

    shapes_kind = namedtuple_class("max_batch", "min_frames", "typical_frames", "max_frames")
    fakes = {
        "build.trtllm": SimpleNamespace(build_engine=build_engine, EngineShapes=SimpleNamespace),
        "build.tensorrt_plan": SimpleNamespace(compile_plan=compile_plan),
        "build.rtx": SimpleNamespace(CodecShapes=shapes_kind, compile_codec=None),
    }
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    sources = tmp_path / "sources"
    sources.mkdir()
    for name in ("trtllm.py", "higgs_network.py", "tensorrt_plan.py", "rtx.py", "onnx_compiler.py"):
        (sources / name).write_text(name)
    monkeypatch.setattr(engines, "_HERE", sources)
    return made


def namedtuple_class(*names: str) -> Callable[..., SimpleNamespace]:
    return lambda *values: SimpleNamespace(**dict(zip(names, values, strict=True)))


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, packages: dict[str, str]) -> None:
    """Make packages look installed, in these versions."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, number in packages.items():
        information = folder / f"{name}-{number}.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    monkeypatch.syspath_prepend(str(folder))
