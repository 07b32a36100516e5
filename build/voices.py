"""Voices of a bundle: profiles of any known format, at the codec's rate, as the files its models read."""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import soundfile
from higgs_tts.audio import ReferenceLimits, load_reference
from higgs_tts.cli.voice_folder import VoiceFiles, read_voice_folder
from higgs_tts.errors import HiggsError

from build.errors import BuildError
from build.targets import Target
from runtime.formats.errors import InvalidRequestError
from runtime.formats.voice_profile import BUNDLE, PROFILE_SUFFIX, VoiceProfile, VoiceRules

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


def voice_rules(target: Target) -> VoiceRules:
    """What a profile must be, as the bundle's models are told."""
    return VoiceRules(
        name_pattern=_NAME_PATTERN,
        reserved_names=_RESERVED_NAMES,
        name_rule=_NAME_RULE,
        max_transcript_characters=_MAX_TRANSCRIPT_CHARACTERS,
        max_description_characters=target.max_scene_characters,
        max_metadata_bytes=_MAX_METADATA_BYTES,
        max_added=_MAX_ADDED,
    )


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
        _write(voice, destination, limits, voice_rules(target))


def _write(voice: VoiceFiles, destination: Path, limits: ReferenceLimits, rules: VoiceRules) -> None:
    try:
        rules.check_name(voice.name)
    except InvalidRequestError:
        raise BuildError(
            f"voice {voice.name!r} has a name that voices cannot have; rename it: {rules.name_rule}"
        ) from None
    clip = destination / f"{voice.name}.wav" if voice.audio else None
    profile = VoiceProfile(voice.name, clip, voice.transcript, voice.metadata, 0.0, BUNDLE)
    try:
        rules.check(profile)
        samples = load_reference(voice.audio, limits) if voice.audio else None
    except (InvalidRequestError, HiggsError) as error:
        raise BuildError(f"voice {voice.name}: {error}") from error
    if samples is not None:
        profile = replace(profile, seconds=len(samples) / limits.sample_rate)
        try:
            soundfile.write(clip, samples, limits.sample_rate, subtype="FLOAT")
        except RuntimeError as error:
            raise BuildError(f"voice {voice.name} cannot be stored: {error}") from error
    (destination / f"{voice.name}{PROFILE_SUFFIX}").write_bytes(profile.content())
