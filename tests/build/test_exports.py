"""Exports of another version are refused: their codec's decoder would take the same codes for something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from build.errors import BuildError
from build.exports import Exports
from runtime.formats.exports import EXPORT_FILE, FORMAT


@pytest.mark.parametrize("record", [{"format": FORMAT - 1}, {"format": FORMAT + 1}, {}])
def test_another_format_is_refused_in_one_sentence(tmp_path: Path, record: dict[str, int]) -> None:
    (tmp_path / EXPORT_FILE).write_text(json.dumps(record))
    with pytest.raises(BuildError, match=rf"has format \w+, this version builds format {FORMAT}; convert again"):
        Exports.read(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "1", "{"])
def test_what_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / EXPORT_FILE).write_text(content)
    with pytest.raises(BuildError, match=r"cannot be read .* run the conversion first"):
        Exports.read(tmp_path)
