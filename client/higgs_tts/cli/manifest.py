"""A batch's manifest: one JSON object per line, every line checked before anything is sent."""

import json
import math
import unicodedata
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from ..errors import HiggsError, InvalidRequestError
from ..params import GenerationParams
from .files import Files, Place, beside

MAX_ID_BYTES = 200  # file systems allow 255 for a name, and a temporary file adds to it
DERIVED_ID_DIGITS = 16
READS = 32  # recordings at a time
FORBIDDEN_IN_ID = set('/\\:*?"<>|')

TEXT_KEYS = ("id", "text", "voice", "reference", "reference_text")
# Each option is declared as `type | None`.
OPTION_TYPES: dict[str, Any] = {name: get_args(hint)[0] for name, hint in get_type_hints(GenerationParams).items()}


@dataclass(frozen=True)
class ReferenceFile:
    """A recording whose voice an item takes. Files with the same content are the same voice."""

    path: Place
    sha256: str  # of the file's bytes, when the manifest was read
    text: str  # the words spoken in it


@dataclass(frozen=True)
class Item:
    """One line of a manifest."""

    line: int  # from 1
    text: str
    voice: str | None
    reference: ReferenceFile | None
    params: GenerationParams
    given_id: str | None = None

    @cached_property
    def content(self) -> str:
        """SHA-256, in hexadecimal, of everything that determines the audio; the id does not."""
        content = {"text": self.text, "voice": self.voice, **self.params.to_options()}
        if self.reference is not None:
            content |= {"reference": self.reference.sha256, "reference_text": self.reference.text}
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def id(self) -> str:
        """The name of the item's audio file, without its extension."""
        return self.given_id or self.content[:DERIVED_ID_DIGITS]

    @property
    def prefix(self) -> tuple[str | None, ...]:
        """A key that is equal for items whose prompts are the same up to the text: same voices, same scene."""
        reference = (None, None) if self.reference is None else (self.reference.sha256, self.reference.text)
        speakers = json.dumps(self.params.speakers, sort_keys=True)
        params = self.params
        return (self.voice, *reference, speakers, params.system, params.scene, params.reference_place)


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of any manifest, counted from 0: an item's id says which one it belongs to."""

    index: int = 0
    count: int = 1

    def __contains__(self, item: Item) -> bool:
        return int(sha256(item.id.encode()).hexdigest(), 16) % self.count == self.index


def read_manifest(path: Place, files: Files | None = None) -> list[Item]:
    """The items in the order of their lines; blank lines are skipped.

    A reference is relative to the manifest's folder, or a whole address. A key whose value is null counts as absent.
    Raises InvalidRequestError with the number of the first line that is wrong, or when there is no item;
    OSError and StorageError when the manifest cannot be read.
    """
    files = files or Files()
    lines = list(_lines(path, files.read(path)))
    recordings = _recordings(path, lines, files)
    items: list[Item] = []
    lines_by_name: dict[str, int] = {}
    for number, line in lines:
        try:
            item = _item(number, _json_object(line), recordings)
            # Some file systems distinguish neither case nor Unicode normalization forms in names.
            name = unicodedata.normalize("NFC", item.id).casefold()
            other = lines_by_name.setdefault(name, number)
            if other != number:
                _refuse(f"has the id {item.id!r}, as has line {other}" if item.given_id
                        else f"repeats line {other}; give each an id of its own to speak it twice")  # fmt: skip
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{path}, line {number}: {error}") from None
        items.append(item)
    if not items:
        raise InvalidRequestError(f"{path} holds no item; give one JSON object a line.")
    return items


def group_by_prefix(items: list[Item]) -> list[Item]:
    """Put items with equal prefixes side by side; groups in the order of their first items, items in their order."""
    groups: dict[tuple[str | None, ...], list[Item]] = {}
    for item in items:
        groups.setdefault(item.prefix, []).append(item)
    return [item for group in groups.values() for item in group]


def _lines(path: Place, content: bytes) -> Iterator[tuple[int, str]]:
    """Number and text of each non-blank line. JSON strings may hold every line separator but a line feed."""
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequestError(
                f"{path}, line {number}: is not UTF-8: {error.reason} at byte {error.start} of the line."
            ) from None
        if text.strip():
            yield number, text


def _recordings(path: Place, lines: list[tuple[int, str]], files: Files) -> dict[str, ReferenceFile | Exception]:
    """The recordings that the lines name, without their words, or why they cannot be read."""
    names = set()
    for _, line in lines:
        # What is wrong with a line is told when it is its turn.
        with suppress(ValueError, TypeError, RecursionError, AttributeError):
            names.add(json.loads(line).get("reference"))

    def read(name: str) -> ReferenceFile | Exception:
        try:
            file = beside(path, name)
            return ReferenceFile(file, sha256(files.read(file)).hexdigest(), "")
        # A NUL in a path is a ValueError.
        except (OSError, ValueError, HiggsError) as error:
            return error

    named = [name for name in names if isinstance(name, str)]
    with ThreadPoolExecutor(READS) as pool:
        return dict(zip(named, pool.map(read, named), strict=True))


def _json_object(line: str) -> dict[str, Any]:
    try:
        given = json.loads(line, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        _refuse(f"is not JSON: {error.msg} at column {error.colno}")
    # Beyond Python's own bounds on the digits of an integer and on the depth of a structure.
    except (ValueError, RecursionError) as error:
        _refuse(f"cannot be read: {error}")
    if not isinstance(given, dict):
        _refuse(f"is a JSON {type(given).__name__}; give an object")
    return given


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    given = dict(pairs)
    if len(given) < len(pairs):
        keys = [key for key, _ in pairs]
        _refuse(f"has the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return given


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f"holds {name}, which is not JSON; give a finite number")


def _item(number: int, given: dict[str, Any], recordings: Mapping[str, ReferenceFile | Exception]) -> Item:
    known = [*TEXT_KEYS, *OPTION_TYPES]
    for key in given:
        if key not in known:
            _refuse(f"the key {key!r} is unknown; there are {', '.join(known)}")
    values = {key: _checked(key, value) for key, value in given.items() if value is not None}
    if not values.get("text", "").strip():
        _refuse("the text is missing or empty; give at least one word")
    return Item(
        line=number,
        text=values["text"],
        voice=values.get("voice"),
        reference=_reference(values, recordings),
        params=GenerationParams(**{key: values[key] for key in OPTION_TYPES if key in values}),
        given_id=_checked_id(values["id"]) if "id" in values else None,
    )


def _checked(key: str, value: Any) -> Any:
    """The value in the type of its key; the server checks ranges."""
    kind = OPTION_TYPES.get(key, str)
    if kind is str or get_origin(kind) is Literal:
        return _checked_string(key, value)
    if kind is bool:
        if not isinstance(value, bool):
            _refuse(f"{key} is {value!r}; give true or false")
        return value
    if kind == dict[str, str]:
        if not isinstance(value, dict):
            _refuse(f"{key} is {value!r}; give an object of strings")
        return {_checked_string(key, name): _checked_string(key, voice) for name, voice in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(f"{key} is {value!r}; give a number")
    try:
        number = kind(value)
    except OverflowError:
        _refuse(f"{key} is out of any range; give a smaller number")
    if number != value or not math.isfinite(number):
        _refuse(f"{key} is {value!r}; give {'a whole number' if kind is int else 'a smaller number'}")
    return number + 0  # -0.0 is 0.0, and the same content


def _checked_string(key: str, value: Any) -> str:
    if not isinstance(value, str):
        _refuse(f"{key} is {value!r}; give a string")
    if any("\ud800" <= character <= "\udfff" for character in value):
        _refuse(f"{key} holds half of a surrogate pair, which is no character")
    return value


def _checked_id(name: str) -> str:
    bad = [character for character in name if character in FORBIDDEN_IN_ID or not character.isprintable()]
    if bad:
        _refuse(f"the id {name!r} names a file and must not hold {bad[0]!r}")
    if name != name.strip() or not name or name.startswith(".") or len(name.encode()) > MAX_ID_BYTES:
        _refuse(f"the id {name!r} names a file: give 1 to {MAX_ID_BYTES} bytes, no dot in front, no space around")
    return name


def _reference(values: dict[str, Any], recordings: Mapping[str, ReferenceFile | Exception]) -> ReferenceFile | None:
    if "reference" not in values:
        if "reference_text" in values:
            _refuse("reference_text comes with reference only")
        return None
    if "voice" in values:
        _refuse("voice and reference exclude each other; give one of them")
    if "reference_text" not in values:
        _refuse("reference needs reference_text, the words spoken in it")
    found = recordings[values["reference"]]
    if isinstance(found, Exception):
        reason = found.strerror if isinstance(found, OSError) else str(found).rstrip(".")
        _refuse(f"cannot read the reference {values['reference']!r}: {reason}")
    return replace(found, text=values["reference_text"])


def _refuse(fault: str) -> NoReturn:
    raise InvalidRequestError(f"{fault}.")
