"""Stores of voice profiles over folders of a test, and what is put into them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from build.targets import load_target
from build.voices import voice_rules
from runtime.voices.code_files import CodeFiles, clip_digest, codes_key
from runtime.voices.reference import ReferenceRules
from runtime.voices.store import VoiceStore

RATE = 24000
RULES = voice_rules(load_target("cpu"))
LIMITS = {"sample_rate": RATE, "hop_length": 960, "min_seconds": 0.5, "max_seconds": 30.0, "min_peak": 1e-3}
# argv: bundle's folder, state's folder, and what is needed to open a store over them.
OPEN = f"""
import json, os, signal, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from runtime.formats.errors import RequestError
from runtime.voices.reference import ReferenceRules
from runtime.formats.voice_profile import VoiceRules
from runtime.voices.store import VoiceStore

store = VoiceStore(Path(sys.argv[1]), Path(sys.argv[2]), {RULES!r}, ReferenceRules(**{LIMITS!r}))
def clip(level):
    return np.full({RATE}, level, np.float32)
"""


def clip(level: float = 0.5, seconds: float = 1.0) -> np.ndarray:
    return np.full(int(seconds * RATE), level, np.float32)


def open_store(folders: tuple[Path, Path], codec: str = "codec", **settings: Any) -> Any:
    """The codes of one codec's clips are found in `codes` beside the state's voices."""
    rules = replace(RULES, **settings)
    files = code_files(folders)
    return VoiceStore(
        folders[0], folders[1], rules, ReferenceRules(**LIMITS), lambda digest: files.load(codes_key(codec, digest))
    )


def code_files(folders: tuple[Path, Path]) -> Any:
    return CodeFiles(folders[0].parent / "codes", 2**20)


def encode(folders: tuple[Path, Path], samples: np.ndarray, codes: np.ndarray, codec: str = "codec") -> None:
    """What `codec_encoder` keeps when it has encoded a clip."""
    code_files(folders).store(codes_key(codec, clip_digest(samples)), codes)


def add(store: Any, name: str, level: float = 0.5, replacing: bool = False) -> Any:
    """A voice whose transcript tells the clip's level."""
    return store.add(name, clip(level), f"level {level}", {"gender": "none"}, replacing)


def names(store: Any) -> list[str]:
    return [profile.name for profile in store.profiles()]
