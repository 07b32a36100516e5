"""The results of a batch as one Parquet table, which needs the extra `parquet`."""

import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, get_args, get_type_hints

from ..errors import InvalidRequestError
from .manifest import Item
from .results import Failed, Result, Spoken

_KINDS: dict[Any, str] = {int: "int64", float: "float64"}  # all else is text


def table_of(outcomes: Sequence[tuple[Item, Result]]) -> bytes:
    """A Parquet file with a row for each item: its line, text and voice, then every field of its result."""
    require_table()
    import pyarrow  # noqa: PLC0415  (150 MB that few need)
    import pyarrow.parquet  # noqa: PLC0415

    columns = {"id": "string", "line": "int64", "text": "string", "voice": "string"}
    for kind in (Spoken, Failed):
        hints = get_type_hints(kind)
        for field in fields(kind):
            types = (hints[field.name], *get_args(hints[field.name]))
            columns.setdefault(field.name, next((_KINDS[each] for each in types if each in _KINDS), "string"))
    rows = [
        {**dict.fromkeys(columns), **asdict(result), "line": item.line, "text": item.text, "voice": item.voice}
        for item, result in outcomes
    ]
    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in columns.items()])
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), file)
    return file.getvalue()


def require_table() -> None:
    """Raises InvalidRequestError without the extra."""
    try:
        import pyarrow  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        raise InvalidRequestError("A Parquet file needs: pip install 'higgs-tts-client[parquet]'") from None
