"""What a batch is asked to do, line by line."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import pytest
from higgs_tts import GenerationParams, InvalidRequestError
from higgs_tts.cli.manifest import OPTION_TYPES, Item, group_by_prefix, read_manifest
from hypothesis import given, settings
from hypothesis import strategies as st


def read(folder: Path, *lines: dict[str, Any] | str) -> list[Item]:
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return read_manifest(manifest)


def test_every_key_is_read(tmp_path: Path) -> None:
    examples: dict[Any, Any] = {str: "x", bool: True, dict[str, str]: {"Anna": "slt"}}
    values = {name: (get_args(kind) or [examples.get(kind, 3)])[0] for name, kind in OPTION_TYPES.items()}
    values |= {name: examples[kind] for name, kind in OPTION_TYPES.items() if kind in examples}
    (tmp_path / "me.wav").write_bytes(b"a recording")
    (item,) = read(tmp_path, {"id": "a", "text": "hi", "reference": "me.wav", "reference_text": "la", **values})
    assert (item.line, item.id, item.text, item.voice) == (1, "a", "hi", None)
    assert item.params == GenerationParams(**values)
    assert item.reference is not None
    assert (item.reference.path, item.reference.text) == (tmp_path / "me.wav", "la")


@pytest.mark.parametrize(
    "key, value, sentence",
    [
        ("hold_parts", 1, "hold_parts is 1; give true or false"),
        ("speakers", "slt", "speakers is 'slt'; give an object of strings"),
        ("speakers", {"Anna": 3}, "speakers is 3; give a string"),
    ],
)
def test_values_of_another_kind_are_refused(tmp_path: Path, key: str, value: Any, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        read(tmp_path, {"text": "hi", key: value})


def test_null_counts_as_absent_and_blank_lines_as_nothing(tmp_path: Path) -> None:
    items = read(tmp_path, "\ufeff", {"text": "hi", "voice": None, "seed": None}, " \r", {"text": "ho"})
    assert [(item.line, item.text, item.params) for item in items] == [
        (2, "hi", GenerationParams()),
        (4, "ho", GenerationParams()),
    ]


def test_ids_come_from_everything_that_makes_the_audio(tmp_path: Path) -> None:
    (tmp_path / "me.wav").write_bytes(b"a recording")
    (tmp_path / "you.wav").write_bytes(b"another")
    lines: list[dict[str, Any]] = [{"text": "hi"}, {"text": "ho"}]
    lines += [{"text": "hi", **more} for more in ({"voice": "anna"}, {"voice": "belinda"}, {"seed": 0}, {"seed": 1})]
    lines += [{"text": "hi", "speakers": {"hi": voice}} for voice in ("anna", "belinda")]
    lines += [{"text": "hi", "scene": "anna"}, {"text": "hi", "preset": "anna"}]
    lines += [{"text": "hi", "reference": name, "reference_text": "la"} for name in ("me.wav", "you.wav")]
    lines += [{"text": "hi", "reference": "me.wav", "reference_text": "lo"}]
    assert len({item.id for item in read(tmp_path, *lines)}) == len(lines)


def test_ids_depend_on_the_recording_and_not_on_its_path(tmp_path: Path) -> None:
    (tmp_path / "me.wav").write_bytes(b"a recording")
    (tmp_path / "copy.wav").write_bytes(b"a recording")
    (first,) = read(tmp_path, {"text": "hi", "reference": "me.wav", "reference_text": "la"})
    (other,) = read(tmp_path, {"text": "hi", "reference": "copy.wav", "reference_text": "la"})
    (tmp_path / "me.wav").write_bytes(b"a new one")
    (changed,) = read(tmp_path, {"text": "hi", "reference": "me.wav", "reference_text": "la"})
    assert first.id == other.id != changed.id


def test_items_of_one_voice_and_scene_follow_each_other_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "me.wav").write_bytes(b"a recording")
    (tmp_path / "copy.wav").write_bytes(b"a recording")
    kinds: list[dict[str, Any]] = [
        {"voice": "b"},
        {"voice": "a"},
        {"voice": "b", "scene": "A hall"},
        {},
        {"reference": "me.wav", "reference_text": "la"},
        {"voice": "b", "seed": 3},
        {"reference": "copy.wav", "reference_text": "la"},
        {"voice": "a", "temperature": 0.3},
        {},
    ]
    items = read(tmp_path, *({"id": str(index), "text": "hi", **kind} for index, kind in enumerate(kinds)))
    assert "".join(item.id for item in group_by_prefix(items)) == "051723846"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"text": "hi"', "is not JSON: Expecting ',' delimiter at column 14"),
        ("[" * 100_000, "cannot be read"),
        ('{"text": "hi", "seed": ' + "9" * 5000 + "}", "cannot be read"),
        ('["hi"]', "is a JSON list; give an object"),
        ('{"text": "hi", "text": "ho"}', "has the key 'text' twice"),
        ('{"text": "hi", "temperature": NaN}', "holds NaN"),
        ({"text": "hi", "speed": 2}, "the key 'speed' is unknown; there are id, text, voice, reference, "),
        ({"voice": "anna"}, "the text is missing"),
        ({"text": " \n"}, "the text is missing or empty"),
        ({"text": 3}, "text is 3; give a string"),
        ({"text": "\ud800"}, "half of a surrogate pair"),
        ({"text": "hi", "seed": "7"}, "seed is '7'; give a number"),
        ({"text": "hi", "seed": 7.5}, "seed is 7.5; give a whole number"),
        ({"text": "hi", "top_k": True}, "top_k is True; give a number"),
        ('{"text": "hi", "temperature": 1e999}', "temperature is "),
        ('{"text": "hi", "temperature": 1' + "0" * 400 + "}", "temperature is out of any range"),
        ('{"text": "hi", "seed": 1e999}', "seed is "),
        ({"text": "hi", "id": "a/b"}, "must not hold '/'"),
        ({"text": "hi", "id": "a\nb"}, "must not hold '\\n'"),
        ({"text": "hi", "id": "../a"}, "must not hold '/'"),
        ({"text": "hi", "id": ".."}, "no dot in front"),
        ({"text": "hi", "id": ""}, "names a file"),
        ({"text": "hi", "id": "ä" * 101}, "1 to 200 bytes"),
        ({"text": "hi", "id": "first"}, "has the id 'first', as has line 1"),
        ({"text": "hi", "id": "FIRST"}, "has the id 'FIRST', as has line 1"),
        ({"text": "same"}, "repeats line 2; give each an id"),
        ({"text": "hi", "reference": "none.wav", "reference_text": "la"}, "none.wav': No such file"),
        ({"text": "hi", "reference": "a\0b", "reference_text": "la"}, "cannot read the reference"),
        ({"text": "hi", "reference": "me.wav"}, "needs reference_text"),
        ({"text": "hi", "reference_text": "la"}, "comes with reference only"),
        ({"text": "hi", "voice": "anna", "reference": "x", "reference_text": "la"}, "exclude each other"),
    ],
)
def test_a_wrong_line_is_refused_by_its_number(tmp_path: Path, line: dict[str, Any] | str, sentence: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(tmp_path, {"text": "hello", "id": "first"}, {"text": "same"}, line, "{")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'manifest.jsonl'}, line 3: ")
    assert sentence in message
    assert message.count("\n") == 0


def test_a_line_that_is_not_utf8_is_refused_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(b'{"text": "hi"}\n{"text": "caf\xe9"}\n')
    with pytest.raises(InvalidRequestError, match=r"line 2: is not UTF-8: .* at byte 13 of the line\.$"):
        read_manifest(tmp_path / "m.jsonl")


@pytest.mark.parametrize("content", [b"", b"\n \r\n"])
def test_a_manifest_without_an_item_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.jsonl").write_bytes(content)
    with pytest.raises(InvalidRequestError, match="holds no item"):
        read_manifest(tmp_path / "m.jsonl")


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
kinds: dict[Any, st.SearchStrategy[Any]] = {
    str: words,
    float: numbers,
    int: st.integers(),
    bool: st.booleans(),
    dict[str, str]: st.dictionaries(words, words, max_size=3),
}
# What a word may be is the server's to say: a newer one may know more than this client.
values = {name: kinds.get(kind, words) for name, kind in OPTION_TYPES.items()}
lines = st.fixed_dictionaries({"text": words.filter(str.strip)}, optional={"voice": words, **values})


@settings(deadline=None)  # the machine may be busy
@given(st.lists(lines, min_size=1, unique_by=lambda line: json.dumps(line, sort_keys=True)), st.booleans())
def test_whatever_json_holds_is_read_as_it_was_written(manifest: list[dict[str, Any]], ascii_only: bool) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.jsonl"
        path.write_text(
            "".join(
                json.dumps({"id": str(index), **line}, ensure_ascii=ascii_only) + "\n"
                for index, line in enumerate(manifest)
            ),
            "utf-8",
            newline="\n",
        )
        items = read_manifest(path)
    for index, (item, line) in enumerate(zip(items, manifest, strict=True)):
        assert (item.line, item.id) == (index + 1, str(index))
        read_back = {"text": item.text, **({} if item.voice is None else {"voice": item.voice})}
        assert read_back | item.params.to_options() == line


@settings(deadline=None)  # the machine may be busy
@given(lines, lines)
def test_contents_are_equal_only_for_lines_that_are(line: dict[str, Any], other: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        first, again, second = read(
            Path(folder), *({"id": str(n), **each} for n, each in enumerate((line, line, other)))
        )
    assert first.content == again.content
    assert (first.content == second.content) == (line == other)
