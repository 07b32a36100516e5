"""Names of voices at build time, in any script."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
import soundfile

from build.errors import BuildError
from build.targets import load_target
from build.voices import write_voices

RATE = 24000


def voices(folder: Path, name: str) -> Path:
    folder.mkdir()
    tone = 0.3 * np.sin(np.arange(RATE) / 20)
    soundfile.write(folder / f"{name}.wav", tone, RATE)
    (folder / f"{name}.txt").write_text("the words")
    return folder


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["Zoë", "José", "小美", "Арина", "ज़ोया", "สมศรี", "علی‌رضا", "Nguyễn"])
def test_a_voice_may_be_named_in_any_script(tmp_path: Path, name: str, form: str) -> None:
    write_voices(voices(tmp_path / "in", normalize(form, name)), tmp_path / "out", RATE, load_target("cpu"))
    composed = normalize("NFC", name)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{composed}.profile.json", f"{composed}.wav"]
    assert json.loads((tmp_path / "out" / f"{composed}.profile.json").read_text("utf-8"))["audio"] == f"{composed}.wav"


@pytest.mark.parametrize("name", ["Anna Maria", "😀", "a’b", "-a", "a\u200d", "x" * 49, "default"])
def test_a_name_that_voices_cannot_have_is_refused_with_the_rule(tmp_path: Path, name: str) -> None:
    with pytest.raises(BuildError, match="rename it: a name is 1 to 48 letters"):
        write_voices(voices(tmp_path / "in", name), tmp_path / "out", RATE, load_target("cpu"))
