"""What a voice may be called, in any script and any form of it."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from runtime.formats.errors import InvalidRequestError
from tests.voices.stores import OPEN, add, names, open_store


@pytest.mark.parametrize(
    "name",
    ["", "../up", "a/b", ".hidden", "-dash", "_low", "a b", "a\n", "a\0b", "x" * 49, "/etc/passwd", "..", "\ud800"],
)
def test_names_that_could_be_more_than_a_name_are_refused(folders: Any, name: str) -> None:
    store = open_store(folders)
    for action in (lambda: add(store, name), lambda: store.remove(name)):
        with pytest.raises(InvalidRequestError, match="is not allowed; a name is 1 to 48 letters"):
            action()
    assert not folders[1].exists()


@pytest.mark.parametrize("name", ["default", "None", "SPEAKER0", "speaker12", "auto", "Smart"])
def test_names_with_a_meaning_are_reserved(folders: Any, name: str) -> None:
    with pytest.raises(InvalidRequestError, match="is reserved"):
        add(open_store(folders), name)


@pytest.mark.parametrize("name", ["a", "en_man_1", "李雷", "zoë.v2-b", "7of9", "x" * 48, "语" * 48])
def test_names_of_many_languages_are_names(folders: Any, name: str) -> None:
    add(open_store(folders), name)
    assert open_store(folders).load(name)[0].name == name


SCRIPTS = ("José", "小美", "Арина", "ज़ोया", "สมศรี", "علی‌رضا", "Zoë")


def test_names_of_any_script_are_kept_where_paths_are_ascii(folders: Any) -> None:
    """As in Triton's processes, which know no other locale."""
    code = f"""{OPEN}
assert sys.getfilesystemencoding() == "ascii"
for number, name in enumerate({SCRIPTS!a}):
    made = store.add(name, clip(0.1 * (number + 1)), "words", {{}}, False)
    json.dumps(made.summary(), ensure_ascii=False).encode()
    assert store.load(name)[1][0] == np.float32(0.1 * (number + 1))
store.remove({SCRIPTS[0]!a})
"""
    state = folders[1].parent / "état" / "voices"
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONPATH": "."}
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code, folders[0], state], cwd=root, env=os.environ | ascii_only, check=True)
    assert names(open_store((folders[0], state))) == sorted([*SCRIPTS[1:], "tone"])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_profile_put_there_in_another_form_of_its_name_is_that_voice(folders: Any, name: str) -> None:
    store = open_store(folders)
    add(store, name, 0.25)
    composed = folders[1] / f"{unicodedata.normalize('NFC', name)}.profile.json"
    assert composed.is_file()
    composed.rename(folders[1] / f"{unicodedata.normalize('NFD', name)}.profile.json")
    again = open_store(folders)
    assert names(again) == sorted([unicodedata.normalize("NFC", name), "tone"])
    add(again, name, 0.5, replacing=True)
    assert again.get(unicodedata.normalize("NFD", name)).transcript == "level 0.5"
    assert len(list(folders[1].glob("*.profile.json"))) == 1
    again.remove(name)
    assert names(again) == ["tone"]


@pytest.mark.parametrize("name", ["\u0301a", "a\u200d", "\u200cab", "Jo\u200dse", "小\u200d", "😀", "a’b"])
def test_marks_and_joiners_make_no_name_by_themselves(folders: Any, name: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not allowed"):
        add(open_store(folders), name)
