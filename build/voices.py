"""Voices of a bundle: profiles of any known format, at the codec's rate, as the files its models read.

Written for each voice: NAME.profile.json, as `runtime/voices/profile_folder.py` describes it, and NAME.wav if the
voice has audio.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import soundfile
from higgs_tts.audio import ReferenceLimits, load_reference
from higgs_tts.cli.voice_folder import VoiceFiles, read_voice_folder
from higgs_tts.errors import HiggsError

from build.errors import BuildError
from build.targets import Target

# Words that a request or a dialogue uses without meaning a profile.
_RESERVED_NAMES = r"default|none|smart|auto|speaker\d*"
_MAX_ADDED = 1000
_MAX_TRANSCRIPT_CHARACTERS = 4096  # far more than the longest clip can say
_MAX_METADATA_BYTES = 16384


def _name_pattern() -> str:
    """A regular expression for letters of any script with their marks, and the joiners that some are spelt with."""
    is_mark = [unicodedata.category(chr(code)).startswith("M") for code in range(sys.maxunicode + 1)]
    edges = [code for code, (before, here) in enumerate(pairwise([False, *is_mark])) if before != here]
    marks = "".join(rf"\U{first:08x}-\U{end - 1:08x}" for first, end in zip(edges[::2], edges[1::2], strict=True))
    joiner = r"(?<=[^\x00-\x7f])[\u200c\u200d](?=[^\x00-\x7f])"
    return rf"(?=.{{1,48}}$)[^\W_](?:[\w.{marks}-]|{joiner})*"


_NAME_PATTERN = _name_pattern()
_NAME_RULE = "a name is 1 to 48 letters, digits, '_', '-' or '.', beginning with a letter or digit"


def voice_rules(target: Target) -> dict[str, Any]:
    """The rules for profiles, as in the settings of the bundle's models."""
    return {
        "name_pattern": _NAME_PATTERN,
        "reserved_names": _RESERVED_NAMES,
        "name_rule": _NAME_RULE,
        "max_transcript_characters": _MAX_TRANSCRIPT_CHARACTERS,
        "max_description_characters": target.max_scene_characters,
        "max_metadata_bytes": _MAX_METADATA_BYTES,
        "max_added": _MAX_ADDED,
    }


def write_voices(source: Path | None, destination: Path, sample_rate: int, target: Target) -> None:
    """Convert every profile of `source` (None: no voices). Raises BuildError for one that cannot be used."""
    destination.mkdir(parents=True)
    if source is None:
        return
    limits = ReferenceLimits(sample_rate, target.reference_min_seconds, target.reference_max_seconds)
    try:
        voices = read_voice_folder(source)
    except HiggsError as error:
        raise BuildError(str(error)) from error
    for voice in voices:
        _write(voice, destination, limits, target.max_scene_characters)


def _write(voice: VoiceFiles, destination: Path, limits: ReferenceLimits, max_description: int) -> None:
    if not re.fullmatch(_NAME_PATTERN, voice.name) or re.fullmatch(_RESERVED_NAMES, voice.name, re.IGNORECASE):
        raise BuildError(f"voice {voice.name!r} has a name that voices cannot have; rename it: {_NAME_RULE}")
    _check_texts(voice, max_description)
    profile: dict[str, Any] = {
        "transcript": voice.transcript,
        "audio": None,
        "seconds": 0.0,
        "metadata": voice.metadata,
    }
    if voice.audio is not None:
        try:
            samples = load_reference(voice.audio, limits)
        except HiggsError as error:
            raise BuildError(f"voice {voice.name}: {error}") from error
        profile |= {"audio": f"{voice.name}.wav", "seconds": len(samples) / limits.sample_rate}
        try:
            soundfile.write(destination / f"{voice.name}.wav", samples, limits.sample_rate, subtype="FLOAT")
        except RuntimeError as error:
            raise BuildError(f"voice {voice.name} cannot be stored: {error}") from error
    text = json.dumps(profile, ensure_ascii=False, indent=2) + "\n"
    (destination / f"{voice.name}.profile.json").write_text(text, encoding="utf-8")


def _check_texts(voice: VoiceFiles, max_description: int) -> None:
    """Raises BuildError for a profile that the server would skip."""
    for key in ("language", "gender", "description"):
        if not isinstance(voice.metadata.get(key, ""), str):
            raise BuildError(f"voice {voice.name}: {key} must be text, not {voice.metadata[key]!r}")
    said = voice.transcript if voice.audio else voice.metadata["description"]
    most = _MAX_TRANSCRIPT_CHARACTERS if voice.audio else max_description
    if len(said) > most or not any(c.isalnum() for c in said):
        raise BuildError(f"voice {voice.name}: its words must be 1 to {most} characters, not {len(said)}")
