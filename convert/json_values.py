"""JSON objects whose values are read with a type, and with an error that says where they should have been."""

import json
import math
from pathlib import Path
from typing import Any

from convert.errors import ModelLoadingError


class JsonValues:
    """The JSON object in `file`, or `values` as if they stood there. Every reader raises ModelLoadingError."""

    def __init__(self, file: Path, values: dict[str, Any] | None = None) -> None:
        self.where = str(file)
        self.values: dict[str, Any] = read_json(file) if values is None else values

    def wrong(self, key: str, needed: str) -> ModelLoadingError:
        """The error that `key` does not hold what is needed."""
        return ModelLoadingError(f"{self.where}: {key} is {self.values.get(key)!r} where {needed} is needed.")

    def _get(self, key: str, kind: type | tuple[type, ...], needed: str) -> Any:
        value = self.values.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(key, needed)
        return value

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.values.get(key) is not None

    def integer(self, key: str) -> int:
        return int(self._get(key, int, "an integer"))

    def optional_integer(self, key: str) -> int | None:
        return self.integer(key) if self.has(key) else None

    def count(self, key: str) -> int:
        """An integer of 1 or more."""
        if (value := self.integer(key)) < 1:
            raise self.wrong(key, "1 or more")
        return value

    def place(self, key: str, size: int) -> int:
        """An integer from 0 to `size` - 1."""
        if not 0 <= (value := self.integer(key)) < size:
            raise self.wrong(key, f"a number from 0 to {size - 1}")
        return value

    def number(self, key: str) -> float:
        """A finite number above 0."""
        value = float(self._get(key, (int, float), "a number"))
        if not (value > 0 and math.isfinite(value)):
            raise self.wrong(key, "a number above 0")
        return value

    def text(self, key: str) -> str:
        return str(self._get(key, str, "a string"))

    def counts(self, key: str) -> list[int]:
        """A list of integers of 1 or more, one at least."""
        values = self._get(key, list, "a list of integers")
        if not values or not all(type(value) is int and value > 0 for value in values):
            raise self.wrong(key, "a list of integers above 0")
        return list(values)

    def nested(self, key: str) -> "JsonValues":
        return JsonValues(Path(f"{self.where}: {key}"), self._get(key, dict, "an object"))

    def refuse_unless(self, key: str, expected: Any, default: Any) -> None:
        value = self.values.get(key, default)
        if value != expected:
            raise ModelLoadingError(f"{self.where}: {key} is {value!r}; only {expected!r} is supported.")


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in `file`. Raises ModelLoadingError if it is missing or holds something else."""
    if not file.is_file():
        raise ModelLoadingError(f"{file} is missing; a checkpoint folder holds it beside the weights.")
    try:
        content = json.loads(file.read_bytes())  # which also takes a byte order mark
    except (ValueError, RecursionError) as error:
        raise ModelLoadingError(f"{file} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ModelLoadingError(f"{file} holds {type(content).__name__} where a JSON object is needed.")
    return content
