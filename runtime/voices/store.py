"""All voices of a server: those of its bundle, which are read-only, and those added to its state folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from runtime.formats.errors import AudioFormatError, InvalidRequestError, ModelLoadingError, StateError, quoted
from runtime.formats.file_names import canonical, shown
from runtime.formats.voice_profile import ADDED, BUNDLE, VoiceProfile, VoiceRules
from runtime.formats.whole_files import open_file
from runtime.voices.code_files import CodeFiles, clip_digest, codes_key
from runtime.voices.profile_folder import NewClip, ProfileFolder
from runtime.voices.reference import ReferenceRules
from runtime.voices.state import STATE_VARIABLE, state_directory, voices_are_read_only

_ATTEMPTS = 2  # at reading a voice that another process is replacing
_CLIPS_IN_MEMORY = 32
_DIGESTS_IN_MEMORY = 1024
_NO_SAMPLES = np.zeros(0, np.float32)

logger = logging.getLogger(__name__)


class VoiceStore:
    """Each call sees what any process has added or removed. A bundle's voice hides an added one of the same name.

    A profile's embedding is what the code files hold for its clip: codes from this bundle's encoder and no other.

    Args:
        bundle: folder of the bundle's voices.
        state: folder of the added ones; None: nothing can be added.
        rules: the rules for profiles.
        limits: the limits for their clips.
        known_codes: finds the codes of a clip by its digest, if the clip was encoded before.
        read_only: nothing can be added, replaced or removed.
    """

    def __init__(
        self,
        bundle: Path,
        state: Path | None,
        rules: VoiceRules,
        limits: ReferenceRules,
        known_codes: Callable[[str], np.ndarray | None] = lambda digest: None,
        read_only: bool = False,
    ) -> None:
        self._read_only = read_only
        self._bundle = ProfileFolder(bundle, BUNDLE, rules)
        self._added = ProfileFolder(state, ADDED, rules) if state else None
        self._state, self._rules, self._limits, self._known_codes = state, rules, limits, known_codes
        # A clip's file name identifies its content, so what was read stays valid.
        self._read = lru_cache(_CLIPS_IN_MEMORY)(self._read_clip)
        self._digest = lru_cache(_DIGESTS_IN_MEMORY)(lambda path: clip_digest(limits.checked(self._read(path))))

    @classmethod
    def open(cls, bundle: Path, settings: dict[str, Any]) -> VoiceStore:
        """Open the store that the bundle's settings and the environment describe.

        Raises ModelLoadingError when the bundle has no folder of voices.
        """
        if not bundle.is_dir():
            raise ModelLoadingError(f"the bundle lacks its folder of voices, {bundle}")
        codes, state = settings["codes"], state_directory()
        files = CodeFiles(state / "codes", codes["max_bytes"]) if state else None
        return cls(
            bundle,
            state / "voices" if state else None,
            VoiceRules(**settings["voices"]),
            ReferenceRules(**settings["reference"]),
            lambda digest: files.load(codes_key(codes["codec"], digest)) if files else None,
            voices_are_read_only(),
        )

    @property
    def rules(self) -> VoiceRules:
        return self._rules

    def profiles(self) -> list[VoiceProfile]:
        """Every voice, by name."""
        added = self._added.profiles() if self._added else {}
        both = added | self._bundle.profiles()
        return [both[name] for name in sorted(both)]

    def get(self, name: str) -> VoiceProfile:
        """The profile. Raises InvalidRequestError, which lists the known voices."""
        name = canonical(name)
        profile = self._bundle.profiles().get(name) or (self._added.profiles().get(name) if self._added else None)
        if profile is None:
            known = ", ".join(profile.name for profile in self.profiles()) or "none on this server"
            raise InvalidRequestError(f"voice {quoted(name)} is unknown; there are: {known}")
        return profile

    def load(self, name: str) -> tuple[VoiceProfile, np.ndarray]:
        """What is needed to speak in a voice: the profile and, if its embedding is not known, its clip.

        The clip is float32 [samples] at the codec's rate, with 0 samples if the codes are known or the voice is
        described in words. Raises InvalidRequestError for an unknown voice, AudioFormatError for a clip that cannot be
        read.
        """
        for _ in range(_ATTEMPTS):
            profile = self.get(name)
            with suppress(FileNotFoundError):  # replaced or removed this very moment
                return self._loaded(profile)
        raise InvalidRequestError(f"voice {quoted(name)} lost its clip before it was first used; add it again")

    def show(self, name: str) -> tuple[VoiceProfile, np.ndarray]:
        """Like `load`, but always with the clip if it still exists."""
        profile, samples = self.load(name)
        if profile.audio_path is not None and profile.embedding is not None:
            with suppress(FileNotFoundError):
                samples = self._read(profile.audio_path)
        return profile, samples

    def add(
        self, name: str, samples: np.ndarray | None, transcript: str, metadata: dict[str, Any], replacing: bool
    ) -> VoiceProfile:
        """Store a voice: a clip at the codec's rate and its transcript or, without a clip, metadata that describes it.

        Raises InvalidRequestError, AudioFormatError, and StateError when it cannot be kept.
        """
        self._refuse_if_read_only()
        name = canonical(name)
        self._rules.check_name(name)
        clip = None
        if samples is None or samples.size == 0:
            self._rules.check_description(metadata)
            if transcript.strip():
                raise InvalidRequestError("a transcript needs audio, the clip that says it")
        else:
            digest = clip_digest(self._limits.checked(samples))
            self._rules.check_transcript(transcript)
            clip = NewClip(samples.reshape(-1).astype(np.float32), self._limits.sample_rate, digest)
        if name in self._bundle.profiles():
            raise InvalidRequestError(
                f"voice {quoted(name)} belongs to the bundle and cannot be replaced; take another name"
            )
        added = self._writable()
        there = added.profiles()
        if name not in there and len(there) >= self._rules.max_added:
            raise InvalidRequestError(f"there are {len(there)} added voices, which is the limit; remove one first")
        try:
            return added.write(name, clip, transcript.strip(), metadata, replacing)
        except FileExistsError:
            raise InvalidRequestError(
                f"voice {quoted(name)} already exists; ask for it to be replaced, or remove it"
            ) from None
        except (OSError, RuntimeError) as error:  # soundfile's errors are RuntimeErrors
            raise self._refused(f"voice {quoted(name)} cannot be kept", error) from error

    def remove(self, name: str) -> None:
        """Remove an added voice. Raises InvalidRequestError for any other, StateError when it cannot be removed."""
        self._refuse_if_read_only()
        name = canonical(name)
        self._rules.check_name(name)
        try:
            if self._added and self._added.delete(name):
                return
        except OSError as error:
            raise self._refused(f"voice {quoted(name)} cannot be removed", error) from error
        self.get(name)
        raise InvalidRequestError(f"voice {quoted(name)} belongs to the bundle and cannot be removed")

    def sweep(self) -> None:
        """Remove what a killed writer left."""
        if self._added:
            self._added.sweep()

    def _loaded(self, profile: VoiceProfile) -> tuple[VoiceProfile, np.ndarray]:
        if profile.audio_path is None:
            return profile, _NO_SAMPLES
        codes = self._known_codes(profile.clip or self._digest(profile.audio_path))
        if codes is not None:
            return replace(profile, embedding=codes), _NO_SAMPLES
        return profile, self._read(profile.audio_path)

    def _refuse_if_read_only(self) -> None:
        if self._read_only:
            raise StateError("the voices of this server are read-only; only its operator adds, replaces or removes one")

    def _writable(self) -> ProfileFolder:
        if self._added is None:
            raise StateError(
                f"this server has no state folder to keep voices in; start it with --state DIR or {STATE_VARIABLE}"
            )
        return self._added

    def _refused(self, what: str, error: OSError | RuntimeError) -> StateError:
        logger.warning("%s: %s", what, error)  # which may name a folder, as no message to a client does
        reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        return StateError(f"{what}: the server cannot write its state folder ({reason})")

    def _read_clip(self, path: Path) -> np.ndarray:
        try:
            # Pass an open file: libsndfile would take the file's name for text.
            with open_file(path, os.O_RDONLY) as file:
                samples, rate = soundfile.read(file, dtype="float32")
        except FileNotFoundError:
            raise
        except (OSError, RuntimeError) as error:
            raise AudioFormatError(f"the voice's clip {shown(path.name)} cannot be read: {error}") from error
        if rate != self._limits.sample_rate or samples.ndim != 1:
            raise AudioFormatError(
                f"the voice's clip {shown(path.name)} has {rate} Hz; it must have {self._limits.sample_rate}"
            )
        samples.flags.writeable = False
        return samples
