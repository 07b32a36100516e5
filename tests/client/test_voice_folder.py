"""Folders of voices in the formats that are around."""

import json
from pathlib import Path
from unicodedata import normalize

import pytest
from higgs_tts import VoiceFolderError
from higgs_tts.cli.voice_folder import VoiceFiles, read_voice_folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def test_clips_with_their_words_and_metadata(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"b.wav": "", "b.txt": " words \n", "b.json": '{"language": "en"}', "a.FLAC": "", "a.txt": "对，就是我"},
    )
    write(tmp_path, {"notes.txt": "no voice", "picture.png": ""})
    assert read_voice_folder(tmp_path) == [
        VoiceFiles("a", tmp_path / "a.FLAC", "对，就是我"),
        VoiceFiles("b", tmp_path / "b.wav", "words", {"language": "en"}),
    ]


def test_bosons_descriptions(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"profile.yaml": "profiles:\n  male_en: Male, calm; clear audio.\n  女声: >\n    温柔，\n    清晰。\n"},
    )
    assert read_voice_folder(tmp_path) == [
        VoiceFiles("male_en", None, "", {"description": "Male, calm; clear audio."}),
        VoiceFiles("女声", None, "", {"description": "温柔， 清晰。"}),
    ]


def test_the_config_of_bosons_vllm_server(tmp_path: Path) -> None:
    entries = {
        "en_man_1": {"transcript": "Keep learning.", "audio_file": "en_man.wav"},
        "old_man": {"transcript": "I think so.", "audio_file": "sub/old.wav", "system_prompt": "A master."},
    }
    write(tmp_path, {"config.json": json.dumps(entries), "en_man.wav": "", "sub/old.wav": ""})
    assert read_voice_folder(tmp_path) == [
        VoiceFiles("en_man_1", tmp_path / "en_man.wav", "Keep learning."),
        VoiceFiles("old_man", tmp_path / "sub/old.wav", "I think so.", {"system_prompt": "A master."}),
    ]


def test_formats_stand_beside_each_other(tmp_path: Path) -> None:
    write(tmp_path, {"a.wav": "", "a.txt": "a", "b.wav": "", "profile.yaml": "profiles: {c: Deep.}"})
    write(tmp_path, {"config.json": '{"bee": {"transcript": "b", "audio_file": "b.wav"}}'})
    assert [voice.name for voice in read_voice_folder(tmp_path)] == ["a", "bee", "c"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a.wav": ""}, r"voice a has no a\.txt with the words"),
        ({"a.wav": "", "a.txt": " \n"}, r"voice a has no a\.txt"),
        ({"a.wav": "", "a.txt": "a", "a.json": "{"}, r"a\.json is not valid JSON"),
        ({"a.wav": "", "a.txt": "a", "a.json": "[]"}, r"a\.json must hold a JSON object"),
        ({"a.wav": "", "a.flac": "", "a.txt": "a"}, "Voice a appears twice"),
        ({"profile.yaml": "profiles: [a"}, r"profile\.yaml is not valid YAML"),
        ({"profile.yaml": "a: b"}, r"no mapping `profiles`"),
        ({"profile.yaml": "profiles: {a: 7}"}, "profile 'a' must be a name with a description"),
        ({"profile.yaml": "profiles: {a: !!python/object:os.system x}"}, r"not valid YAML"),
        ({"config.json": '{"a": {"audio_file": "a.wav"}}'}, "voice 'a' must have a transcript and an audio_file"),
        ({"config.json": '{"a": {"transcript": "a", "audio_file": "a.wav"}}'}, r"names .a\.wav., which is not there"),
        ({"config.json": '{"a": 7}'}, "voice 'a' must have"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    write(tmp_path, files)
    with pytest.raises(VoiceFolderError, match=sentence):
        read_voice_folder(tmp_path)


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(VoiceFolderError, match="There is no folder"):
        read_voice_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["Zoë", "José", "Nguyễn", "Ångström", "が"])
@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_a_name_is_the_same_in_both_forms_of_its_accents(tmp_path: Path, name: str, forms: tuple[str, str]) -> None:
    first, second = (normalize(form, name) for form in forms)
    write(tmp_path, {f"{first}.wav": "", f"{second}.txt": "words"})
    expected = VoiceFiles(normalize("NFC", name), tmp_path / f"{first}.wav", "words")
    assert read_voice_folder(tmp_path) == [expected]
    write(tmp_path, {"config.json": json.dumps({first: {"transcript": "words", "audio_file": f"{second}.wav"}})})
    assert read_voice_folder(tmp_path) == [expected]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_words_and_descriptions_may_begin_with_a_mark(tmp_path: Path, encoding: str) -> None:
    write(tmp_path, {"a.wav": ""})
    (tmp_path / "a.txt").write_text("déjà vu", encoding)
    (tmp_path / "a.json").write_text('{"language": "fr"}', encoding)
    (tmp_path / "profile.yaml").write_text("profiles: {b: a calm voice}", encoding)
    assert read_voice_folder(tmp_path) == [
        VoiceFiles("a", tmp_path / "a.wav", "déjà vu", {"language": "fr"}),
        VoiceFiles("b", None, "", {"description": "a calm voice"}),
    ]
