"""The results of a batch as a table."""

from __future__ import annotations

import io
from dataclasses import fields
from typing import Any

import pyarrow.parquet
from higgs_tts.cli.results import Failed, Spoken
from higgs_tts.cli.table import table_of

from tests.storage.test_bucket_results import item, spoken


def read(*outcomes: Any) -> Any:
    return pyarrow.parquet.read_table(io.BytesIO(table_of(outcomes)))


def test_every_field_is_a_column_and_every_item_a_row() -> None:
    failed = Failed("b", "c0ffee", "OverloadedError", "full\nup", 3)
    table = read((item("a"), spoken(item("a"))), (item("b", "Gute Nacht"), failed))
    names = {field.name for kind in (Spoken, Failed) for field in fields(kind)}
    assert set(table.column_names) == names | {"line", "text", "voice"}
    first, second = table.to_pylist()
    assert first == dict.fromkeys(names) | vars(spoken(item("a"))) | {"line": 1, "text": "Guten Tag", "voice": "Zoë"}
    assert (second["error"], second["text"], second["seconds"], second["retries"]) == (
        "OverloadedError", "Gute Nacht", None, 3,
    )  # fmt: skip


def test_the_columns_do_not_depend_on_the_rows() -> None:
    assert read().schema == read((item("a"), spoken(item("a")))).schema
    assert len(read()) == 0
