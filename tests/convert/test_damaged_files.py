"""Checkpoints whose JSON files are damaged are refused in one sentence."""

import pytest

from convert.checkpoint import Checkpoint
from convert.errors import ModelLoadingError
from convert.export import export


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (b"", "needs a weight_map"),
        (b"{", "needs a weight_map"),
        (b"[]", "needs a weight_map"),
        (b"{}", "needs a weight_map"),
        (b'{"weight_map": []}', "needs a weight_map"),
        (b'{"weight_map": null}', "needs a weight_map"),
        (b"\xff\xfe\x00", "needs a weight_map"),
        (b"[" * 100_000, "needs a weight_map"),
        (b'{"weight_map": {}}', "names no weights"),
        (b'{"weight_map": {"a": "gone.safetensors"}}', "names gone.safetensors, which is missing"),
        (b'{"weight_map": {"a": "../model.safetensors"}}', "is no file of its folder"),
        (b'{"weight_map": {"a": "/etc/passwd"}}', "is no file of its folder"),
        (b'{"weight_map": {"a": ".."}}', "is no file of its folder|which is missing"),
        (b'{"weight_map": {"a": "x\\u0000y"}}', "is no file of its folder"),
        (b'{"weight_map": {"a": 7}}', "is no file of its folder"),
        (b'{"weight_map": {"a": ["model.safetensors"]}}', "is no file of its folder"),
        (b'{"weight_map": {"a": "config.json"}}', "is not a safetensors file"),
    ],
)
def test_a_damaged_index_is_refused_in_one_sentence(damaged, index, words):
    # Where the weights are one file, the index is not read.
    (damaged / "model.safetensors").rename(damaged / "model-00001-of-00001.safetensors")
    (damaged / "model.safetensors.index.json").write_bytes(index)
    with pytest.raises(ModelLoadingError, match=words) as error:
        Checkpoint.open(damaged)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"{", b"\xff\xff", b"[" * 100_000])
def test_a_damaged_description_is_refused_in_one_sentence(damaged, name, content):
    (damaged / name).write_bytes(content)
    with pytest.raises(ModelLoadingError, match=name) as error:
        Checkpoint.open(damaged)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"{", b"\xff\xff", b'{"model": {"type": "BPE"}}', None])
def test_a_damaged_tokenizer_is_refused_before_anything_is_made(damaged, tmp_path, content):
    tokenizer = damaged / "tokenizer.json"
    tokenizer.unlink(missing_ok=True)
    if content is not None:
        tokenizer.write_bytes(content)
    with pytest.raises(ModelLoadingError, match=r"tokenizer\.json"):
        export(str(damaged), tmp_path / "exports", codec=str(damaged))
    assert not list(tmp_path.glob("exports*"))
