"""`python -m convert` as a command: what it says and leaves when the disk is full."""

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from convert.errors import ModelLoadingError
from convert.export import export
from demo.tokenizer import build_tokenizer

ROOT = Path(__file__).resolve().parents[2]


def test_a_full_disk_ends_in_one_sentence_and_leaves_the_old_exports(transformers_checkpoint, tmp_path):
    """A limit on the size of a file fails a write as a full disk does, and needs no disk to fill."""
    output = tmp_path / "exports"
    output.mkdir()
    (output / "export.json").write_text(json.dumps({"format": 1}))
    refused = subprocess.run(
        [sys.executable, "-B", "-m", "convert", str(transformers_checkpoint), "--output", str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert refused.returncode == 1
    assert refused.stderr == f"convert: File too large: {output}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["exports"]
    assert json.loads((output / "export.json").read_text()) == {"format": 1}


def test_a_tokenizer_that_does_not_fit_is_refused_before_anything_is_exported(transformers_checkpoint, tmp_path):
    copy = shutil.copytree(transformers_checkpoint, tmp_path / "copy")
    build_tokenizer(600).save(str(copy / "tokenizer.json"))
    with pytest.raises(ModelLoadingError, match=r"has the id 599, and the vocab_size is 512"):
        export(str(copy), tmp_path / "exports")
    for content in ("{}", "[1]", "no JSON"):
        (copy / "tokenizer.json").write_text(content)
        with pytest.raises(ModelLoadingError, match=r"tokenizer\.json is damaged .*download it again"):
            export(str(copy), tmp_path / "exports")


def test_boson_s_checkpoint_does_not_name_its_codec(boson_checkpoint, tmp_path):
    with pytest.raises(ModelLoadingError, match="does not name its codec; give it with --codec"):
        export(str(boson_checkpoint), tmp_path / "exports")
