"""Whatever stands in a folder of voices, reading it gives voices or one sentence, and never leaves the folder."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from higgs_tts import VoiceFolderError
from higgs_tts.cli.voice_folder import AUDIO_EXTENSIONS, VoiceFiles, read_voice_folder
from hypothesis import example, given, settings
from hypothesis import strategies as st

SECRET = "the words of a file outside"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
# Paths that lead out of a folder, are no paths at all, or are harmless.
PATHS = st.sampled_from(
    [
        *(
            "../outside.wav",
            "sub/../../outside.wav",
            "/etc/passwd",
            "link.wav",
            "linked/outside.wav",
            "loop.wav",
            "sub",
        ),
        *(
            "a.wav",
            "./a.wav",
            "sub/b.wav",
            "sub/../a.wav",
            "",
            ".",
            "..",
            "\0",
            "a.wav\0",
            "\ud800",
            "x" * 300 + ".wav",
        ),
        "a.wav/b.wav",
    ]
)
ENTRIES = st.dictionaries(
    st.text(max_size=6),
    st.fixed_dictionaries(
        {}, optional={"transcript": st.text(max_size=9) | JSON, "audio_file": PATHS | JSON, "x": JSON}
    ),
    max_size=3,
)
# What hand-written YAML may hold, among it all that PyYAML gives a type of its own.
SCALARS = ["2020-13-45", "1:99", "!!int ''", "!!timestamp x", "!!bool x", "!!float x", "!!python/name:os.system", "~"]
SCALARS += [
    "1e999",
    "9" * 5000,
    "!!binary '*'",
    '"\\ud800"',
    "&a [*a]",
    "{? [a] : b}",
    "<<: [1]",
    "[" * 500,
    "='",
    ">",
    "%",
]
YAML = st.one_of(
    JSON.map(lambda value: json.dumps({"profiles": value})),
    st.dictionaries(st.text(max_size=6), JSON, max_size=3).map(lambda value: yaml.safe_dump({"profiles": value})),
    st.sampled_from(SCALARS).map(lambda scalar: f"profiles:\n  a: {scalar}"),
    st.sampled_from(SCALARS).map(lambda scalar: f"profiles:\n  {scalar}: words"),
    st.sampled_from(SCALARS),
)
CONTENTS = st.binary(max_size=40) | st.one_of(
    st.text(max_size=20), YAML, JSON.map(json.dumps), ENTRIES.map(json.dumps), st.just("[" * 1100)
).map(lambda text: text.encode(errors="surrogatepass"))
NAMES = ["a.wav", "a.txt", "a.json", "b.FLAC", "b.txt", "config.wav", "config.txt", "config.json", "profile.yaml"]
LONG = ["é" * 125 + ".wav", "é" * 125 + ".txt"]  # its metadata would have a name too long for a file


def read(files: Mapping[str, bytes]) -> tuple[Path, list[VoiceFiles]]:
    """Put the files beside links that lead everywhere, and read the folder, whose path is returned too."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory).resolve() / "voices"
        (folder / "sub").mkdir(parents=True)
        (folder.parent / "outside.wav").write_text(SECRET)
        (folder / "sub" / "b.wav").write_bytes(b"")
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (folder / "linked").symlink_to(folder.parent)
        return folder, read_voice_folder(folder)


@settings(deadline=None)  # a loaded machine is no fault
@given(st.dictionaries(st.sampled_from(NAMES + LONG), CONTENTS, max_size=6))
@example({"profile.yaml": b"profiles: {a: 2020-13-45}"})
@example({"profile.yaml": b"profiles: " + b"[" * 500})
@example({"profile.yaml": b'profiles: {a: "\\ud800"}'})
@example({"config.json": json.dumps({"a": {"transcript": "a", "audio_file": "x" * 300}}).encode()})
@example({"config.json": json.dumps({"a": {"transcript": "a", "audio_file": "../outside.wav"}}).encode()})
@example({"config.json": json.dumps({"a": {"transcript": "a", "audio_file": "linked/outside.wav"}}).encode()})
@example({"a.wav": b"", "a.txt": b"a", "a.json": b'{"x": "\\ud800"}'})
@example({"a.wav": b"", "a.txt": b"a", "a.json": b'{"x": NaN}'})
@example({LONG[0]: b"", LONG[1]: b"a"})
def test_any_content_gives_voices_or_one_sentence_that_names_its_file(files: dict[str, bytes]) -> None:
    try:
        folder, voices = read(files)
    except VoiceFolderError as error:
        sentence = str(error)
        assert sentence.isprintable(), "more than a line, or what cannot be shown"
        # A file's name may stand there without its ending: a voice is named after it.
        assert any(name.partition(".")[0] in sentence for name in files), sentence
        return
    for voice in voices:
        sent = json.dumps([voice.name, voice.transcript, voice.metadata], ensure_ascii=False, allow_nan=False)
        assert SECRET not in sent.encode().decode()
        if voice.audio is None:
            assert str(voice.metadata["description"]).strip()
        else:
            assert voice.audio.resolve().is_relative_to(folder)
            assert voice.transcript.strip()


@pytest.mark.parametrize("name", ["a.wav", "a.txt", "a.json", "config.json", "profile.yaml"])
@pytest.mark.parametrize("target", ["outside", "nothing", "itself", "a folder"])
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, name: str, target: str) -> None:
    outside = tmp_path / "outside"
    contents = {
        **{"a.wav": SECRET, "a.txt": SECRET, "a.json": json.dumps({"x": SECRET})},
        **{"config.json": json.dumps({"b": {"transcript": SECRET, "audio_file": "a.wav"}})},
        "profile.yaml": f"profiles: {{b: {SECRET}}}",
    }
    outside.write_text(contents[name])
    folder = tmp_path / "voices"
    folder.mkdir()
    for file in ("a.wav", "a.txt"):
        (folder / file).write_text("words")
    (folder / name).unlink(missing_ok=True)
    targets = {"outside": outside, "nothing": tmp_path / "nothing", "itself": folder / name, "a folder": tmp_path}
    os.symlink(targets[target], folder / name)
    if target == "outside":
        with pytest.raises(VoiceFolderError, match=name.partition(".")[0]):
            read_voice_folder(folder)
    elif name in ("a.wav", "a.txt") and target != "a folder":
        with pytest.raises(VoiceFolderError, match=r"a\.wav is a link to nothing|voice a has no"):
            read_voice_folder(folder)


def test_links_within_the_folder_are(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "clip").write_bytes(b"")
    (tmp_path / "a.wav").symlink_to("kept/clip")
    (tmp_path / "a.txt").write_text("\ufeffwords")
    assert read_voice_folder(tmp_path) == [VoiceFiles("a", tmp_path / "a.wav", "words")]
    assert ".wav" in AUDIO_EXTENSIONS
