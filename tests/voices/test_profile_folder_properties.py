"""Whatever stands in a folder of profiles, it is given or left out, and what is given can be sent and spoken with."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from build.targets import load_target
from build.voices import voice_rules
from runtime.formats.voice_profile import ADDED
from runtime.voices.profile_folder import NewClip, ProfileFolder

RULES = voice_rules(load_target("cpu"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FILES = [
    "there.wav",
    "out.wav",
    "loop.wav",
    "gone.wav",
    "..",
    ".",
    "",
    "../outside",
    "/etc/passwd",
    "\0",
    "\ud800",
    "x" * 300,
]
VALUES = {
    "transcript": st.text(max_size=9) | JSON,
    "audio": st.none() | st.sampled_from(FILES) | JSON,
    "seconds": st.floats() | st.just(10**400) | JSON,
    "metadata": st.dictionaries(st.sampled_from(["language", "gender", "description", "x"]), JSON, max_size=3) | JSON,
    "whole_frames": st.none() | st.just("0" * 64) | JSON,
}
GOOD: dict[str, Any] = {"transcript": "words", "audio": "there.wav", "seconds": 1.0, "metadata": {}}
PROFILES = st.one_of(
    st.fixed_dictionaries({}, optional=VALUES),
    *(values.map(lambda value, key=key: GOOD | {key: value}) for key, values in VALUES.items()),  # type: ignore[misc]
    st.just(GOOD),
    JSON,
)
CONTENTS = st.binary(max_size=40) | st.one_of(PROFILES.map(json.dumps), st.just("[" * 2000)).map(str.encode)
NAMES = ["a", "b.c", "语", "default", "a b", "-", "", ".hidden", "x" * 60, "bad\udcff", "outside"]


def good(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


@settings(deadline=None)  # a loaded machine is no fault
@given(st.dictionaries(st.sampled_from(NAMES), CONTENTS, max_size=4))
@example({"a": b"[" * 2000})
@example({"a": good(seconds=10**400)})
@example({"a": good(audio="x" * 300)})
@example({"a": good(audio="out.wav")})
@example({"a": good(transcript="\ud800")})
@example({"a": good(metadata={"language": 7})})
@example({"a": good(metadata={"x": float("nan")})})
@example({"bad\udcff": good()})
def test_any_content_gives_profiles_or_is_left_out(contents: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        outside = Path(directory).resolve() / "outside"
        outside.write_bytes(good(transcript="outside"))
        folder = outside.with_name("voices")
        folder.mkdir()
        (folder / "there.wav").write_bytes(b"")
        (folder / "out.wav").symlink_to(outside)
        (folder / "loop.wav").symlink_to("loop.wav")
        (folder / "link.profile.json").symlink_to(outside)
        for name, content in contents.items():
            (folder / f"{name}.profile.json").write_bytes(content)
        store = ProfileFolder(folder, ADDED, RULES)
        store.sweep()
        found = store.profiles()
        assert {name for name, content in contents.items() if content == good() and name in ("a", "b.c", "语")} <= set(
            found
        )
        for name, profile in found.items():
            sent = json.dumps(profile.summary(), ensure_ascii=False, allow_nan=False).encode()
            assert b"outside" not in sent.replace(b'"outside"', b"", name == "outside")
            assert profile.audio_path is None or profile.audio_path.resolve().parent == folder
            assert profile.transcript if profile.audio_path else profile.description
            assert isinstance(profile.metadata.get("language", ""), str)
        clip = NewClip(np.zeros(960, np.float32), 24000, "0" * 64)
        store.write("a", clip, "words", {}, replacing=True)
        assert store.profiles()["a"].transcript == "words", "whatever stood there, it can be replaced"
