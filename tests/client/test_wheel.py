"""The wheel says what it is and needs, and the library works without the extra."""

import subprocess
import sys
from collections.abc import Iterable
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from .conftest import CLIENT

EXTRA = {"pyyaml": "yaml", "tqdm": "tqdm"}
OTHER_EXTRAS = ("boto3", "botocore", "obstore", "pyarrow")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without an index: setuptools is what is installed."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(["make", "client-wheel", f"WHEEL={out}", f"PY={sys.executable}", "-o", "setup"],
                   cwd=CLIENT.parent, check=True, capture_output=True)  # fmt: skip
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_names_its_version_licence_authors_and_pythons(metadata: Message) -> None:
    import higgs_tts  # noqa: PLC0415

    assert (metadata["Name"], metadata["Version"]) == ("higgs-tts-client", higgs_tts.__version__)
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")
    assert metadata["Author"]
    pythons = {f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)}
    assert pythons < set(metadata.get_all("Classifier", []))
    assert (CLIENT / "LICENSE").read_bytes() == (CLIENT.parent / "LICENSE").read_bytes()


def test_the_library_needs_three_packages_and_the_command_line_is_an_extra(metadata: Message) -> None:
    needs = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    assert {need.name for need in needs if need.marker is None} == {"numpy", "soundfile", "tritonclient"}
    assert {need.name for need in needs if need.marker and need.marker.evaluate({"extra": "cli"})} == set(EXTRA)


def test_the_wheel_holds_the_packages_and_their_types(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {str(path.relative_to(CLIENT)) for path in (CLIENT / "higgs_tts").rglob("*.py")}
    assert sources | {"higgs_tts/py.typed"} == {name for name in names if name.startswith("higgs_tts/")}


def without(modules: Iterable[str], code: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs the code with the modules that extras bring out of reach."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({list(modules)}))\n"
    return subprocess.run(
        [sys.executable, "-c", hide + code],
        cwd=folder,
        env={"PYTHONPATH": str(CLIENT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_library_is_imported_without_the_extra() -> None:
    code = "import higgs_tts; [getattr(higgs_tts, name) for name in higgs_tts.__all__]"
    assert without([*EXTRA.values(), *OTHER_EXTRAS], code).returncode == 0


def test_the_command_without_its_extra_says_how_to_install_it() -> None:
    told = without(EXTRA.values(), "from higgs_tts.__main__ import run; run()")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert "pip install 'higgs-tts-client[cli]'" in told.stderr


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--out", "s3://speech/run"], "s3://speech/run needs: pip install 'higgs-tts-client[storage]'"),
        (["--out", "out", "--parquet", "a.parquet"], "A Parquet file needs: pip install 'higgs-tts-client[parquet]'"),
        (["--out", "out"], "No server answers at 127.0.0.1:1: start one, or give another address."),
    ],
)
def test_a_batch_needs_an_extra_only_for_what_uses_it(tmp_path: Path, more: list[str], sentence: str) -> None:
    (tmp_path / "m.jsonl").write_text('{"text": "hi"}')
    words = ["batch", "m.jsonl", "--url", "127.0.0.1:1", "--retries", "0", *more]
    told = without(OTHER_EXTRAS, f"from higgs_tts.cli.command import main; sys.exit(main({words}))", tmp_path)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.endswith(f": {sentence}\n") and told.stderr.count("\n") == 1
