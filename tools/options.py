"""`python -m tools.options`: writes what repeats the table of options (`runtime/formats/options.py`): the client's
class, from which its command line follows, and the page of documentation.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, get_args

from runtime.formats.options import (
    AUDIO_QUALITY_PRESETS,
    DEFAULT_PRESET,
    KINDS,
    MAX_SEED,
    OPTIONS,
    Bundle,
    Option,
    Preset,
)
from tools.bench.report import table

ROOT = Path(__file__).resolve().parent.parent
CLIENT, PAGE = ROOT / "client" / "higgs_tts" / "params.py", ROOT / "docs" / "options.md"
BEGIN, END = "<!-- options: begin -->\n", "<!-- options: end -->\n"
_PRESET = "Values for several of the options at once."
_HEAD = '''"""What a caller may ask of the generation. Written by the bundle's tools/options.py: change it there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


def told(meaning: str, unit: str = "", on: bool | None = None) -> dict[str, Any]:
    """What is known of an option. `on`: what a switch is where nobody sets it."""
    return {"meaning": meaning, "unit": unit, "on": on}


@dataclass(frozen=True)
class GenerationParams:
    """Options of one request. None leaves the choice to the server, which also checks the values.

    A preset sets several of the others at once; its values live in the server, and options given beside it win.
    """

'''
_TAIL = '''
    def to_options(self) -> dict[str, Any]:
        """The options that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}
'''


def client_class() -> str:
    """The client's module of options."""
    preset = Option(_PRESET, None, choices=tuple(AUDIO_QUALITY_PRESETS))
    lines = [_field("preset", str, preset)]
    lines += [_field(name, KINDS[name], one) for name, one in OPTIONS.items()]
    return _HEAD + "".join(lines) + _TAIL


def _field(name: str, kind: Any, one: Option) -> str:
    literal = f"Literal[{', '.join(map(_quoted, one.choices))}]"
    written = literal if one.choices else str(kind) if get_args(kind) else kind.__name__
    kind_text = written if written.endswith("| None") else f"{written} | None"
    more = f", unit={_quoted(one.unit)}" if one.unit else ""
    more += f", on={one.default}" if kind is bool else ""
    lines = textwrap.wrap(one.meaning, 90, drop_whitespace=False)
    meaning = "\n".join(f"            {_quoted(line)}" for line in lines)
    return f"    {name}: {kind_text} = field(default=None, metadata=told(\n{meaning}{more},\n    ))\n"


def _quoted(text: str) -> str:
    return repr(text) if '"' in text else f'"{text}"'


def page_table() -> str:
    """The table of the page of documentation."""
    presets = ", ".join(f"`{name}`" for name in AUDIO_QUALITY_PRESETS)
    rows = [("`preset`", f"`{DEFAULT_PRESET}`", presets, _PRESET)]
    for name, one in OPTIONS.items():
        choices = ", ".join(f"`{choice}`" for choice in one.choices)
        rows.append((f"`{name}`", _default(name, one), choices or _range(one), one.meaning))
    return table(("option", "default", "allowed", "what it does"), rows) + "\n"


def _default(name: str, one: Option) -> str:
    if isinstance(one.default, Preset):
        return "/".join(f"{values[name]:g}" for values in AUDIO_QUALITY_PRESETS.values())
    if isinstance(one.default, Bundle):
        return "the bundle's"
    if one.default is None or one.default in ("", {}):
        return "none"
    return f"`{str(one.default).lower() if isinstance(one.default, bool) else one.default}`"


def _range(one: Option) -> str:
    if one.low is None:
        return "true, false" if isinstance(one.default, bool) else ""
    low = "one frame" if isinstance(one.low, Bundle) else f"{one.low:g}"
    if isinstance(one.high, Bundle):
        return f"{low} to the bundle's `{one.high}`"
    return f"{low} to {'2⁶³ - 1' if one.high == MAX_SEED else f'{one.high:g}'} {one.unit}".strip()


def written_page(page: str) -> str:
    """The page with its table renewed."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + page_table() + END + rest.split(END)[1]


def formatted(source: str) -> str:
    """Python as ruff formats it."""
    command = [sys.executable, "-m", "ruff", "format", "-"]
    return subprocess.run(command, cwd=ROOT, input=source, text=True, capture_output=True, check=True).stdout


def main() -> None:
    """Write both."""
    CLIENT.write_text(formatted(client_class()))
    PAGE.write_text(written_page(PAGE.read_text()))


if __name__ == "__main__":
    main()
