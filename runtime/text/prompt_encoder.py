"""The prompt as token ids: Higgs Audio V2's chat format, with the user's text kept apart from the format's marks.

A prompt is a prefix (system text, scene, reference clips with their words or in the scene), any number of turns already
spoken, and the turn to speak. What separates them is always the same, so that the pieces can be made once and joined
later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from runtime.formats.errors import InvalidRequestError, ModelLoadingError
from runtime.text.readings.normalization import EVENT_TAG

SYSTEM_TEXT = "Generate audio following instruction."
REFERENCE_MARK = "<|AUDIO_OUT|>"
_MARKS = (
    "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|scene_desc_start|>",
    "<|scene_desc_end|>", "<|audio_bos|>", "<|audio_out_bos|>", "<|audio_eos|>", REFERENCE_MARK,
    "<SE>", "</SE>", "<SE_s>", "</SE_s>", "<SE_e>", "</SE_e>",
)  # fmt: skip

_CLIPS_COME_ALONG = (
    "audio cannot stand within a text; a clip comes as voice, or as reference_audio with reference_text, and a request "
    "gets one stream of audio"
)
_WORDS_ARE_GIVEN = "the model cannot be asked to make up the words; give the words to be spoken"
# What the original's prompts request with a mark, and this bundle does not do.
_UNSUPPORTED = {
    "generation_instruction_start": _WORDS_ARE_GIVEN,
    "generation_instruction_end": _WORDS_ARE_GIVEN,
    "AUDIO": _CLIPS_COME_ALONG,
    "AUDIO_OUT": _CLIPS_COME_ALONG,
    "__AUDIO_PLACEHOLDER__": _CLIPS_COME_ALONG,
    "recipient": "speech is addressed to nobody but the listener; leave the mark out",
}
_MARK = re.compile(r"<\|(\w+)\|>")


def check_marks(text: str, name: str) -> None:
    """Raises InvalidRequestError for a mark of the model that requests something unsupported; others are just text."""
    for mark in _MARK.finditer(text):
        if mark[1] in _UNSUPPORTED:
            raise InvalidRequestError(f"{name} holds {mark[0]}: {_UNSUPPORTED[mark[1]]}")


class PromptEncoder:
    """Text to ids. What users write can never become a mark, except the sound-event tags that belong in text.

    Raises ModelLoadingError when the tokenizer cannot be read or lacks one of the format's marks.
    """

    def __init__(self, tokenizer_file: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:
            raise ModelLoadingError(f"{tokenizer_file.name} cannot be read: {error}") from error
        self._tokenizer.encode_special_tokens = True  # a mark's spelling inside a text is just text
        self._marks: dict[str, int] = {}
        for mark in _MARKS:
            token = self._tokenizer.token_to_id(mark)
            if token is None:
                raise ModelLoadingError(f"{tokenizer_file.name} has no token {mark}")
            self._marks[mark] = token

    @property
    def closing(self) -> list[int]:
        """What follows the audio of a turn that has been spoken."""
        return list(self._mark("<|audio_eos|>", "<|eot_id|>"))

    def prefix(
        self, system: str = SYSTEM_TEXT, scene: Sequence[str] = (), references: Sequence[str] = ()
    ) -> np.ndarray:
        """int32 ids of everything before the first turn to speak; without system and scene there is no system message.

        scene: its pieces, with a clip between each pair. references: the words of each clip that has its own turn.
        A clip itself is one REFERENCE_MARK for the engine to fill.
        """
        return np.fromiter(self._prefix(system.strip(), scene, references), dtype=np.int32)

    def turn(self, text: str) -> np.ndarray:
        """int32 ids of a turn to speak, ending where its audio begins."""
        return np.fromiter(self._turn(text), dtype=np.int32)

    def _prefix(self, system: str, scene: Sequence[str], references: Sequence[str]) -> Iterator[int]:
        yield from self._mark("<|begin_of_text|>")
        if system or scene:
            yield from self._header("system")
            if scene:
                yield from self._plain(f"{system}\n\n" if system else "", before="\n\n")
                yield from self._scene(scene)
            else:
                yield from self._plain(system, before="\n\n")
            yield from self._mark("<|eot_id|>")
        for words in references:
            yield from self._turn(words)
            yield from self._mark(REFERENCE_MARK)
            yield from self.closing

    def _scene(self, pieces: Sequence[str]) -> Iterator[int]:
        yield from self._mark("<|scene_desc_start|>")
        for place, piece in enumerate(pieces):
            if place:
                yield from self._mark("<|audio_bos|>", REFERENCE_MARK, "<|audio_eos|>")
            last = place == len(pieces) - 1
            yield from self._plain(piece + "\n" * last, before="\n" * (place == 0))
        yield from self._mark("<|scene_desc_end|>")

    def _turn(self, text: str) -> Iterator[int]:
        yield from self._header("user")
        yield from self._plain(text.strip(), before="\n\n")
        yield from self._mark("<|eot_id|>")
        yield from self._header("assistant")
        yield from self._plain("", before="\n\n")
        yield from self._mark("<|audio_out_bos|>")

    def _header(self, role: str) -> Iterator[int]:
        yield from self._mark("<|start_header_id|>")
        yield from self._plain(role)
        yield from self._mark("<|end_header_id|>")

    def _mark(self, *marks: str) -> Iterator[int]:
        return (self._marks[mark] for mark in marks)

    def _plain(self, text: str, before: str = "") -> Iterator[int]:
        """Text as the tokenizer splits it between marks; `before` belongs to the same stretch."""
        for part in EVENT_TAG.split(before + text):
            if part in self._marks:
                yield self._marks[part]
            elif part:
                yield from self._tokenizer.encode(part, add_special_tokens=False).ids
