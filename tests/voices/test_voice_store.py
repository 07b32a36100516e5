"""The store of voice profiles: whole or not there, whoever writes, dies or reads meanwhile."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from runtime.formats.errors import InvalidRequestError, RequestError, StateError
from runtime.voices.code_files import clip_digest
from runtime.voices.reference import ReferenceRules
from runtime.voices.store import VoiceStore
from tests.voices.conftest import Run
from tests.voices.stores import LIMITS, OPEN, RATE, RULES, add, clip, encode, names, open_store


def test_an_added_voice_is_seen_by_a_store_that_was_open_before_and_by_one_opened_later(folders: Any) -> None:
    reader, writer = open_store(folders), open_store(folders)
    assert names(reader) == ["tone"]
    added = add(writer, "mine", 0.5)
    for store in (reader, open_store(folders)):
        profile, samples = store.load("mine")
        assert names(store) == ["mine", "tone"]
        assert (profile.name, profile.transcript, profile.metadata) == ("mine", "level 0.5", {"gender": "none"})
        assert (profile.origin, profile.seconds, profile.audio_path) == ("added", 1.0, added.audio_path)
        np.testing.assert_array_equal(samples, clip(0.5))
    writer.remove("mine")
    assert names(reader) == ["tone"]
    assert not list(folders[1].glob("*.wav")), "its clip went too"


def test_nothing_is_read_while_nothing_changes(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(folders)
    add(store, "mine")
    store.load("mine")
    long_ago = time.time() - 60
    for folder in folders:
        os.utime(folder, (long_ago, long_ago))
    store.profiles()
    reads: list[str] = []
    monkeypatch.setattr(os, "scandir", lambda path: reads.append(str(path)))
    monkeypatch.setattr(soundfile, "read", lambda path, **_: reads.append(str(path)))

    def read_bytes(path: Path) -> bytes:
        if path.suffix != ".codes":  # which may be there any time
            reads.append(str(path))
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert store.load("mine")[0].transcript == "level 0.5"
    assert names(store) == ["mine", "tone"]
    assert reads == []


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"samples": clip(seconds=0.1)}, "lasts 0.10 s; it must last 0.5 to 30.0 s"),
        ({"samples": clip(seconds=31)}, "lasts 31.00 s"),
        ({"samples": clip(0.0)}, "is silent"),
        ({"samples": clip(1.5)}, "peaks at 1.50"),
        ({"samples": clip(float("nan"))}, "holds NaN"),
        ({"transcript": ""}, "the transcript is empty"),
        ({"transcript": " \n"}, "the transcript is empty"),
        ({"transcript": "?!"}, "the transcript is empty"),
        ({"transcript": "a\0"}, r"the character U\+0000"),
        ({"transcript": "a" * 5000}, "has 5000 characters; at most 4096"),
        ({"samples": None}, "needs audio, or a description"),
        ({"samples": None, "metadata": {"description": "Deep."}}, "a transcript needs audio"),
        ({"samples": None, "transcript": "", "metadata": {"description": "a" * 2001}}, "description has 2001"),
        ({"name": "tone"}, "belongs to the bundle and cannot be replaced"),
        ({"name": "there"}, "already exists; ask for it to be replaced"),
    ],
)
def test_what_is_no_voice_is_refused_and_changes_nothing(folders: Any, change: dict[str, Any], sentence: str) -> None:
    store = open_store(folders)
    add(store, "there")
    files = sorted(folders[1].iterdir())
    values = {"name": "new", "samples": clip(), "transcript": "words", "metadata": {}, "replacing": False}
    with pytest.raises(RequestError, match=sentence):
        store.add(**values | change)
    assert names(store) == ["there", "tone"]
    assert sorted(folders[1].iterdir()) == files


def test_a_store_kept_read_only_lists_and_speaks_and_changes_nothing(folders: tuple[Path, Path]) -> None:
    add(open_store(folders), "mine")
    store = VoiceStore(folders[0], folders[1], RULES, ReferenceRules(**LIMITS), read_only=True)
    assert names(store) == ["mine", "tone"]
    assert len(store.load("mine")[1]) and len(store.show("tone")[1])
    changes: list[Callable[[], object]] = [
        lambda: add(store, "new"),
        lambda: add(store, "mine", replacing=True),
        lambda: store.add("../x" * 1000, None, "", {}, False),
        lambda: store.remove("mine"),
        lambda: store.remove("nobody"),
    ]
    for change in changes:
        with pytest.raises(StateError, match=r"^the voices of this server are read-only; only its operator adds"):
            change()
    assert names(store) == ["mine", "tone"]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "more than 16384 bytes"),
        ("[" * 10_000, "not valid JSON"),
        ("[1]", "must be a JSON object, not list"),
        ('{"x": NaN}', "not valid JSON"),
        ('{"x": "\\ud800"}', "not valid JSON"),
        ('{"language": 7}', "metadata 'language' must be text, not 7"),
        ('{"x": "%s"}' % ("a" * 20000), "more than 16384 bytes"),
    ],
    ids=range(8),
)
def test_metadata_are_a_small_json_object(folders: Any, text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        open_store(folders).rules.parsed_metadata(text)


@pytest.mark.parametrize("name", ["mine", "tone"])
def test_a_voice_whose_clip_was_encoded_has_its_codes_and_brings_no_clip(folders: Any, name: str) -> None:
    """A second of 24 kHz is a frame's whole number: the encoder was given the very samples that are kept."""
    samples, codes = clip(0.5 if name == "mine" else 0.25), np.arange(200, dtype=np.int32).reshape(8, 25)
    add(open_store(folders), "mine", 0.5)
    for _ in range(2):
        profile, brought = open_store(folders).load(name)
        assert profile.embedding is None
        np.testing.assert_array_equal(brought, samples)
        encode(folders, samples, codes + 1, codec="another codec")
    encode(folders, samples, codes)
    for store in (open_store(folders), open_store(folders)):
        profile, brought = store.load(name)
        np.testing.assert_array_equal(profile.embedding, codes)
        assert brought.size == 0
        shown, samples_shown = store.show(name)
        np.testing.assert_array_equal(shown.embedding, codes)
        np.testing.assert_array_equal(samples_shown, samples)
    np.testing.assert_array_equal(open_store(folders, "another codec").load(name)[0].embedding, codes + 1)


def test_the_codes_are_those_of_whole_frames(folders: Any) -> None:
    store, samples = open_store(folders), clip(seconds=0.9)
    assert len(samples) % 960
    store.add("mine", samples, "words", {}, False)
    encode(folders, samples[: 22 * 960], np.ones((8, 22), np.int32))
    assert store.load("mine")[0].embedding.shape == (8, 22)
    np.testing.assert_array_equal(store.show("mine")[1], samples)


@pytest.mark.parametrize("rest", [1, 118, 119, 480, 632, 959])
def test_codes_of_a_clip_that_zeros_filled_are_not_those_of_the_clip_that_is_cut(folders: Any, rest: int) -> None:
    """A state folder may hold a profile from before clips were cut: it speaks, and by the codes of its whole frames."""
    samples = np.full(22 * 960 + rest, 0.5, np.float32)
    filled = np.pad(samples, (0, -len(samples) % 960))
    open_store(folders).add("mine", samples, "words", {}, False)
    file = folders[1] / "mine.profile.json"
    profile = json.loads(file.read_text())
    del profile["whole_frames"]
    file.write_text(json.dumps(profile | {"clip": clip_digest(filled)}))
    encode(folders, filled, np.ones((8, 23), np.int32))
    loaded, brought = open_store(folders).load("mine")
    assert loaded.embedding is None
    np.testing.assert_array_equal(brought, samples)
    encode(folders, samples[: 22 * 960], np.zeros((8, 22), np.int32))
    np.testing.assert_array_equal(open_store(folders).load("mine")[0].embedding, np.zeros((8, 22), np.int32))


def test_a_voice_that_lost_its_clip_speaks_by_its_codes_or_says_what_is_missing(folders: Any) -> None:
    for name, level in (("known", 0.5), ("unknown", 0.125)):
        add(open_store(folders), name, level).audio_path.unlink()
    encode(folders, clip(0.5), np.ones((8, 25), np.int32))
    store = open_store(folders)
    assert names(store) == ["known", "tone", "unknown"]
    profile, samples = store.show("known")
    assert (profile.embedding.shape, samples.size) == ((8, 25), 0)
    with pytest.raises(InvalidRequestError, match="voice 'unknown' lost its clip before it was first used"):
        store.load("unknown")


def test_a_voice_may_be_described_in_words(folders: Any) -> None:
    store = open_store(folders)
    store.add("narrator", None, "", {"description": "A deep, calm voice."}, False)
    profile, samples = store.load("narrator")
    assert (profile.audio_path, profile.description, samples.size) == (None, "A deep, calm voice.", 0)
    assert store.load("tone")[0].description == "", "a clip says more than words"


def test_voices_of_the_bundle_stay(folders: Any) -> None:
    store = open_store(folders)
    with pytest.raises(InvalidRequestError, match="belongs to the bundle and cannot be removed"):
        store.remove("tone")
    with pytest.raises(InvalidRequestError, match="voice 'nobody' is unknown; there are: tone"):
        store.remove("nobody")
    assert names(store) == ["tone"]


def test_more_voices_than_allowed_are_refused(folders: Any) -> None:
    store = open_store(folders, max_added=2)
    for name in ("a", "b"):
        add(store, name)
    with pytest.raises(InvalidRequestError, match="there are 2 added voices, which is the limit"):
        add(store, "c")
    add(store, "a", 0.1, replacing=True)


@pytest.mark.parametrize("state", ["none", "blocked"])
def test_without_a_state_folder_the_bundles_voices_still_speak(folders: Any, state: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    store = open_store((folders[0], None if state == "none" else tmp_path / "file" / "voices"))
    sentence = (
        "has no state folder" if state == "none" else r"cannot write its state folder .*(Not a directory|File exists)"
    )
    with pytest.raises(StateError, match=sentence):
        add(store, "mine")
    store.sweep()
    np.testing.assert_array_equal(store.load("tone")[1], clip(0.25))


def test_files_that_were_put_there_by_hand_stay(folders: Any) -> None:
    store = open_store(folders)
    add(store, "mine")
    soundfile.write(folders[1] / "hand.wav", clip(), RATE)
    profile = {"transcript": "by hand", "audio": "hand.wav", "seconds": 1.0, "metadata": {}}
    (folders[1] / "hand.profile.json").write_text(json.dumps(profile))
    add(store, "other")
    store.remove("mine")
    store.sweep()
    assert names(store) == ["hand", "other", "tone"]
    assert (folders[1] / "hand.wav").is_file()


def test_files_that_are_no_profiles_are_left_out(folders: Any, caplog: pytest.LogCaptureFixture) -> None:
    store = open_store(folders)
    add(store, "good")
    for name, content in {
        "torn": '{"transcript": "a',
        "list": "[]",
        "lacks": "{}",
        "clipless": json.dumps({"transcript": "a", "audio": "gone.wav", "seconds": 1.0, "metadata": {}}),
        "outside": json.dumps({"transcript": "a", "audio": "../../bundle/tone.wav", "seconds": 1, "metadata": {}}),
    }.items():
        (folders[1] / f"{name}.profile.json").write_text(content)
    assert names(open_store(folders)) == ["good", "tone"]
    assert caplog.text.count("skipped") == 5


@pytest.mark.parametrize("replaces", [1, 2], ids=["before the clip", "before the profile"])
@pytest.mark.parametrize("there", [False, True], ids=["new", "replacing"])
def test_a_writer_killed_in_the_middle_leaves_what_was_there(
    folders: Any, run: Run, replaces: int, there: bool
) -> None:
    store = open_store(folders)
    if there:
        add(store, "mine", 0.125)
    killed = run(
        f"""{OPEN}
calls, replace = [], os.replace
def die(*paths):
    calls.append(paths)
    if len(calls) == {replaces}:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
os.replace = die
store.add("mine", clip(0.5), "level 0.5", {{}}, True)
""",
        *folders,
    )
    assert killed.wait(60) == -signal.SIGKILL, killed.communicate()
    assert any(path.name.startswith(".") and path.name != ".lock" for path in folders[1].iterdir())
    for reader in (store, open_store(folders)):
        assert names(reader) == (["mine", "tone"] if there else ["tone"])
        if there:
            np.testing.assert_array_equal(reader.load("mine")[1], clip(0.125))
    open_store(folders).sweep()
    left = sorted(path.suffix for path in folders[1].iterdir() if path.name != ".lock")
    assert left == ([".json", ".wav"] if there else [])
    add(store, "mine", 0.75, replacing=True)
    np.testing.assert_array_equal(store.load("mine")[1], clip(0.75))


def test_of_many_processes_that_add_one_name_one_does(folders: Any, run: Run) -> None:
    code = f"""{OPEN}
level = float(sys.argv[3])
print("ready", flush=True)
try:
    store.add("mine", clip(level), f"level {{level}}", {{}}, False)
    print("added")
except RequestError as error:
    print(error)
"""
    levels = [n / 10 for n in range(1, 7)]
    answers = [p.communicate(timeout=120) for p in [run(code, *folders, level) for level in levels]]
    outcomes = [answer.splitlines()[1] for answer, _ in answers]
    assert outcomes.count("added") == 1, answers
    assert sum("exists" in outcome for outcome in outcomes) == 5
    profile, samples = open_store(folders).load("mine")
    level = levels[outcomes.index("added")]
    assert profile.transcript == f"level {level}"
    np.testing.assert_array_equal(samples, clip(level))


def test_many_processes_add_voices_of_their_own_and_none_is_lost(folders: Any, run: Run) -> None:
    code = f"""{OPEN}
for n in range(8):
    store.add(f"{{sys.argv[3]}}{{n}}", clip(0.5), "words", {{}}, False)
"""
    for process in [run(code, *folders, letter) for letter in "abcd"]:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert names(open_store(folders)) == sorted([f"{letter}{n}" for letter in "abcd" for n in range(8)] + ["tone"])


def test_a_reader_never_sees_one_clip_with_the_words_of_another(folders: Any, run: Run) -> None:
    store = open_store(folders)
    add(store, "mine", 0.125)
    code = f"""{OPEN}
for n in range(40):
    level = (n % 7 + 1) / 10
    store.add("mine", clip(level), f"level {{level}}", {{}}, True)
"""
    writers = [run(code, *folders) for _ in range(2)]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        profile, samples = store.load("mine")
        assert profile.transcript == f"level {round(float(samples[0]), 3)}"
        assert len(samples) == RATE
        seen.add(profile.transcript)
    assert [writer.returncode for writer in writers] == [0, 0], [writer.communicate() for writer in writers]
    assert len(seen) > 2, "the reader saw nothing of the writing"
    assert len(list(folders[1].glob("*.wav"))) == 1
