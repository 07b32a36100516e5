"""Who may import whom: data moves one way, and what runs inside Triton knows nothing of what builds or calls it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = ("formats", "text", "voices", "engine", "codec", "speech", "triton")
# A room, and the rooms whose modules it may import beside its own.
MAY_IMPORT = {
    "runtime.formats": set[str](),
    "runtime.text": {"runtime.formats"},
    "runtime.voices": {"runtime.formats"},
    "runtime.engine": {"runtime.formats"},
    "runtime.codec": {"runtime.formats", "runtime.voices"},
    "runtime.speech": {"runtime.formats", "runtime.engine"},
    "runtime.triton": {f"runtime.{room}" for room in RUNTIME},
    "triton_repo": {"runtime.triton"},
    "higgs_tts": set[str](),
    "serve": {"higgs_tts"},
    "gateway": {"higgs_tts"},
    "convert": {"runtime.formats", "runtime.engine"},
    "build": {"runtime.formats", "runtime.engine", "serve", "higgs_tts"},
    "demo": {"runtime.formats", "runtime.engine", "convert", "serve", "higgs_tts"},
}
# What only engineers run may import anything, and nothing may import it.
ANYTHING = {"tools", "tests"}


def room(module: str) -> str | None:
    """The room that a module of ours belongs to; None for a library's."""
    known = [name for name in MAY_IMPORT | dict.fromkeys(ANYTHING) if f"{module}.".startswith(f"{name}.")]
    return known[0] if known else None


def imported(source: str) -> set[str]:
    """The modules that a file imports anywhere, with what it takes from them."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(name: str) -> list[Path]:
    folder = ROOT / "client" / name if name == "higgs_tts" else ROOT / name.replace(".", "/")
    return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(name: str) -> None:
    assert files(name)
    for file in files(name):
        strangers = {module for module in imported(file.read_text()) if room(module) not in {None, name}}
        assert {module for module in strangers if room(module) not in MAY_IMPORT[name]} == set(), file


def test_the_way_has_no_circle() -> None:
    """Taking away again and again what imports nothing that is left, nothing is left."""
    left = dict(MAY_IMPORT)
    while free := [name for name, others in left.items() if not (others - {name}) & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}


def test_every_folder_of_the_runtime_is_a_room() -> None:
    folders = {path.name for path in (ROOT / "runtime").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(RUNTIME)


def test_forbidden_imports_are_seen() -> None:
    assert room("runtime.engine.types.Limits") == "runtime.engine"
    assert room("buildings.house") is None
    assert imported("def later():\n    from build.engines import steps\nimport tools.bench.report") == {
        "build.engines.steps",
        "tools.bench.report",
    }
