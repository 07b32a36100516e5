"""What `python -m build` leaves behind: a repository that needs nothing else, a manifest that says what is in it."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from build import bundle as building
from build.__main__ import main
from build.bundle import LOCK_FILE
from build.errors import BuildError
from build.targets import load_target
from build.voices import write_voices
from serve.errors import LaunchError
from serve.manifest import check_bundle
from serve.triton import TritonServer
from tests.conftest import alone

ROOT = Path(__file__).resolve().parents[2]


def build(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "build", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_bundle_that_is_up_to_date_is_left_alone(bundle: Path, checkpoint: Path, voices: Path) -> None:
    stamps = {file: file.stat().st_mtime_ns for file in bundle.rglob("*") if file.suffix in (".onnx", ".json")}
    with alone("bundle"):
        again = build("--checkpoint", str(checkpoint), "--voices", str(voices), "--output", str(bundle))
    assert again.stdout.strip() == f"{bundle} is up to date"
    assert stamps == {file: file.stat().st_mtime_ns for file in stamps}


def test_the_manifest_lists_every_file_with_its_hash(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    repository = bundle / "model_repository"
    present = {str(file.relative_to(repository)) for file in repository.rglob("*") if file.is_file()}
    assert set(manifest["files"]) == {name for name in present if "__pycache__" not in name}
    model = repository / "lm" / "1" / "model.py"
    assert manifest["files"]["lm/1/model.py"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert manifest["target"] == "cpu"
    assert manifest["limits"]["lm_threads"] == 1, "a small model"
    assert manifest["checkpoint"]["files"]["model.safetensors"]
    assert manifest["language_model"]["logits_error"]["maximum"] < 1e-4
    assert manifest["codec"]["encoder_error"]["equal_codes"] == 1.0


def test_a_bundle_serves_from_anywhere_with_nothing_else_around(bundle: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(bundle, moved, ignore=shutil.ignore_patterns("exports", "*.log*"))
    assert not [file for file in moved.rglob("*") if file.is_symlink()]
    root = str(ROOT).encode()
    for file in (moved / "model_repository").rglob("*"):
        if file.suffix in (".py", ".json", ".pbtxt"):
            assert root not in file.read_bytes(), f"{file} points at the folder it was built in"
    check_bundle(moved, verify=True)
    with TritonServer(moved) as server:
        assert server.ailment() is None


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--target", "toaster", "--checkpoint", "x"], "target 'toaster' is unknown; there are cpu"),
        (["--checkpoint", "no/such/folder/here"], "There is no folder no/such/folder/here"),
        (["--checkpoint", "owner/name"], "The hub id owner/name needs a revision"),
        (["--checkpoint", "demo"], "config.json is missing"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert main([*options, "--output", str(tmp_path)]) == 1
    said = capfd.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def test_a_full_disk_ends_in_one_sentence_and_leaves_the_old_bundle(
    bundle: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """A limit on the size of a file fails a write as a full disk does, in the middle, and needs no disk to fill."""
    old = tmp_path / "bundle"
    shutil.copytree(bundle, old, ignore=shutil.ignore_patterns("*.log*"))
    command = [sys.executable, "-B", "-m", "build", "--checkpoint", str(checkpoint), "--output", str(old)]
    refused = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=lambda: limit_files(1000)
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("build: File too large: /"), refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (old / "model_repository.new").exists()
    check_bundle(old, verify=True)


def test_two_builds_into_one_folder_do_not_meet(tmp_path: Path) -> None:
    with (tmp_path / LOCK_FILE).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refused = build("--checkpoint", "demo", "--output", str(tmp_path))
    assert refused.returncode == 1
    assert refused.stderr == f"build: another build is writing into {tmp_path}; wait for it or give another folder\n"
    assert [file.name for file in tmp_path.iterdir()] == [LOCK_FILE]
    assert "another build" not in build("--checkpoint", "demo", "--output", str(tmp_path)).stderr, "a lock left behind"


def test_what_a_bundle_beside_it_has_exported_is_not_exported_again(
    bundle: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def converts(_: list[str]) -> None:
        raise BuildError("it converts")

    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(bundle / "exports", first / "exports", copy_function=os.link)
    words = ["--checkpoint", str(checkpoint), "--output", str(second)]
    monkeypatch.setattr(building, "_convert", converts)
    with (first / LOCK_FILE).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert main(words) == 1, "somebody builds there"
    assert main([*words, "--precision", "int8"]) == 1, "they are others"
    assert main(words) == 0
    check_bundle(second, verify=True)
    for file in (bundle / "exports").rglob("*"):
        assert file.is_dir() or file.samefile(second / "exports" / file.relative_to(bundle / "exports"))


class Killed(BaseException):
    """Ends a build as a kill does: whatever it still tries to rename or remove raises it again."""


def finishes(bundle: Path, words: list[str], steps: int) -> bool:
    """Whether a build is done before it has renamed or removed so many things in the bundle's folder; there it dies."""
    left = steps

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **options: Any) -> Any:
            nonlocal left
            if Path(path).parent == bundle:
                left -= 1
                if left < 0:
                    raise Killed
            return real(path, *rest, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((os, "rename"), (os, "replace"), (os, "unlink"), (shutil, "rmtree")):
            patch.setattr(module, name, dying(getattr(module, name)))
        try:
            return main(words) == 0
        except Killed:
            return False


def test_wherever_a_build_is_killed_the_bundle_serves_or_says_what_to_do(
    bundle: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """It replaces a bundle that has a voice by one that has none."""
    outcomes = []
    for steps in itertools.count():
        folder = tmp_path / f"killed-{steps}"
        # Not the lock: linked, it would be one for all of them, and for whoever builds `bundle` at the moment.
        others = shutil.ignore_patterns("*.log*", "__pycache__", LOCK_FILE)
        shutil.copytree(bundle, folder, copy_function=os.link, ignore=others)
        words = ["--checkpoint", str(checkpoint), "--output", str(folder)]
        finished = finishes(folder, words, steps)
        refusal, voice = refused(folder), folder / "model_repository" / "prompt" / "1" / "voices" / "tone.wav"
        assert refusal is None or refusal.endswith("build one with: make engine")
        outcomes.append("refused" if refusal else "old" if voice.exists() else "new")
        assert main(words) == 0, "the next build makes it good"
        assert refused(folder) is None
        assert not voice.exists()
        assert {file.name for file in folder.iterdir()} == {LOCK_FILE, "exports", "manifest.json", "model_repository"}
        if finished:
            break
    assert [outcome for outcome, _ in itertools.groupby(outcomes)] == ["old", "refused", "new"], outcomes


def refused(bundle: Path) -> str | None:
    """What serving says against a bundle, every hash compared."""
    try:
        check_bundle(bundle, verify=True)
    except LaunchError as error:
        return str(error)
    return None


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_voices_are_stored_at_the_codecs_rate_for_both_models_that_read_them(bundle: Path) -> None:
    stored = bundle / "model_repository" / "prompt" / "1" / "voices"
    assert soundfile.info(stored / "tone.wav").samplerate == 24000
    assert soundfile.info(stored / "tone.wav").channels == 1
    assert soundfile.info(stored / "tone.wav").duration == pytest.approx(1.0, abs=0.01)
    profile = json.loads((stored / "tone.profile.json").read_text())
    assert profile["metadata"] == {"language": "none", "source": "synthetic"}
    assert (profile["audio"], profile["transcript"], profile["seconds"]) == ("tone.wav", "a rising tone", 1.0)
    for file in stored.iterdir():
        assert (bundle / "model_repository" / "voices" / "1" / "voices" / file.name).read_bytes() == file.read_bytes()


def test_codes_of_clips_are_told_apart_by_the_encoders_file(bundle: Path) -> None:
    repository = bundle / "model_repository"
    encoder = hashlib.sha256((repository / "codec_encoder" / "1" / "encoder.onnx").read_bytes()).hexdigest()
    for model in ("codec_encoder", "prompt", "voices"):
        assert json.loads((repository / model / "1" / "settings.json").read_text())["codes"]["codec"] == encoder


def test_voices_of_other_tools_are_read(bundle: Path, voices: Path, tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").write_text("profiles:\n  deep: A deep voice.\n")
    shutil.copy(voices / "tone.wav", tmp_path / "clip.wav")
    entries = {"en_man_1": {"transcript": "Keep learning.", "audio_file": "clip.wav", "system_prompt": "A master."}}
    (tmp_path / "config.json").write_text(json.dumps(entries))
    stored = tmp_path / "stored"
    write_voices(tmp_path, stored, 24000, load_target("cpu"))
    assert sorted(file.name for file in stored.iterdir()) == [
        "deep.profile.json", "en_man_1.profile.json", "en_man_1.wav",
    ]  # fmt: skip
    deep, man = (json.loads((stored / f"{name}.profile.json").read_text()) for name in ("deep", "en_man_1"))
    assert (deep["audio"], deep["metadata"]) == (None, {"description": "A deep voice."})
    assert (man["transcript"], man["metadata"]) == ("Keep learning.", {"system_prompt": "A master."})


@pytest.mark.parametrize(
    "files, sentence",
    [
        ({"mute.wav": 24000}, r"voice mute has no mute\.txt"),
        ({"short.wav": 100, "short.txt": "a"}, "voice short: The reference audio is too short"),
        ({"up.wav": 24000, "config.json": '{"../up": {"transcript": "a", "audio_file": "up.wav"}}'}, "rename it"),
        ({"../up.wav": 24000, "config.json": '{"up": {"transcript": "a", "audio_file": "../up.wav"}}'}, "is outside"),
        ({"SPEAKER1.wav": 24000, "SPEAKER1.txt": "a"}, "voice 'SPEAKER1' has a name that voices cannot have"),
        ({"noise.wav": "no audio", "noise.txt": "a"}, "voice noise: Cannot read the reference audio"),
        (None, "There is no folder"),
    ],
)
def test_voices_that_cannot_be_used_are_refused_by_name(
    tmp_path: Path, files: dict[str, int | str] | None, sentence: str
) -> None:
    source = tmp_path / "voices"
    for name, content in (files or {}).items():
        source.mkdir(exist_ok=True)
        if isinstance(content, int):
            soundfile.write(source / name, np.sin(np.arange(content) / 10), 24000)
        else:
            (source / name).write_text(content)
    with pytest.raises(BuildError, match=sentence):
        write_voices(source, tmp_path / "stored", 24000, load_target("cpu"))
