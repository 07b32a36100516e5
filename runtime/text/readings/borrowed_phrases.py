"""What English says in Spanish, French or Latin, and what so tells nothing about the language of a text that has it."""

from __future__ import annotations

import re
from pathlib import Path

import tomllib

_PHRASES: str = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["phrases"]
BORROWED = re.compile(
    rf"(?<![\w'-])(?:{'|'.join(' '.join(one.split()) for one in _PHRASES.split(';'))})(?![\w'-])", re.IGNORECASE
)
