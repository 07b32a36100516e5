"""What in a text speaks for a transcript, and what against it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from runtime.text.dialogue.dialogue import Recognition
from runtime.text.dialogue.label_words import ASKING_WORDS
from runtime.text.dialogue.labels import HIDDEN, Label, speaker_key
from runtime.text.dialogue.person_words import SPEAKING_ROLES
from runtime.text.dialogue.talk import asks, describes, exclaims, is_sentence, is_talk

_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_HIDDEN = re.compile(f"[{HIDDEN}]")


def words_of(text: str) -> str:
    """The text without white space around it; nothing where there is only what nobody sees."""
    return text.strip() if _HIDDEN.sub("", text).strip() else ""


def said_under(text: str, labels: Sequence[Label]) -> list[tuple[Label, str]]:
    """Each label with the text up to the next one."""
    ends = [*(label.start for label in labels), len(text)][1:]
    return [(label, text[label.end : end]) for label, end in zip(labels, ends, strict=True)]


@dataclass(frozen=True)
class _Candidate:
    """A possible label and what would be said under it."""

    label: Label
    said: str
    is_given: bool
    is_known: bool

    @property
    def is_sure(self) -> bool:
        return self.label.style == "tag" or self.is_given

    @cached_property
    def is_talk(self) -> bool:
        return is_talk(self.said)

    @cached_property
    def asks(self) -> bool:
        return asks(self.said)

    @cached_property
    def is_lively(self) -> bool:
        return self.is_talk or self.asks or exclaims(self.said)

    @cached_property
    def is_sentence(self) -> bool:
        return is_sentence(self.said)

    @property
    def begins_big(self) -> bool:
        return next((c for c in self.said if c.isalnum()), "").isupper()


@dataclass(frozen=True)
class Evidence:
    """What in a text speaks for a transcript."""

    text: str
    candidates: list[_Candidate]
    headings: int

    @classmethod
    def of(cls, text: str, labels: Sequence[Label], recognition: Recognition) -> Evidence:
        """From everything that has the form of a label."""
        given = {speaker_key(name) for name in recognition.given}
        voices = {speaker_key(name) for name in recognition.voices}
        found: list[_Candidate] = []
        headings = 0
        for label, said in said_under(text, labels):
            is_given = label.key in given
            is_sure = is_given or label.style == "tag" or label.key in voices
            if label.is_a_heading and not is_sure and label.key not in ASKING_WORDS:
                headings += label.opens
            else:
                found.append(_Candidate(label, said, is_given, is_sure or label.names_a_person))
        # Behind a sentence many words have a colon; they are names where others are that surely are.
        run_on = any(one.is_known and not one.label.opens and one.label.style == "colon" for one in found)
        candidates = [one for one in found if one.label.opens or one.is_known or run_on]
        # Who asks and answers is nobody, unless somebody does it who has a name.
        if not any(one.is_known for one in candidates):
            named = [one for one in candidates if one.label.key not in ASKING_WORDS or not one.label.is_a_heading]
            candidates, headings = named, headings + len(candidates) - len(named)
        return cls(text, candidates, headings)

    @cached_property
    def is_sure(self) -> bool:
        """Whether there is a tag, or somebody whom the request has a voice for."""
        return any(candidate.is_sure for candidate in self.candidates)

    @cached_property
    def _is_given(self) -> bool:
        return any(candidate.is_given for candidate in self.candidates)

    @cached_property
    def speakers(self) -> set[str]:
        return {candidate.label.key for candidate in self.candidates}

    @cached_property
    def returning(self) -> set[str]:
        """Who speaks again after somebody else."""
        seen, returning, last = set(), set(), None
        for candidate in self.candidates:
            key = candidate.label.key
            if key in seen and key != last:
                returning.add(key)
            seen.add(key)
            last = key
        return returning

    def _share(self, holds: Sequence[bool]) -> float:
        return sum(holds) / max(1, len(self.candidates))

    @cached_property
    def is_dialogue(self) -> bool:
        """Whether at least two speak with each other."""
        turns = self.candidates
        if len(self.speakers) < 2 or not turns[0].label.opens or self.headings > len(turns):
            return False
        if any(not turn.label.opens for turn in turns) and not turns[0].is_lively:
            return False
        return self._is_known_to_talk if any(turn.is_known for turn in turns) else self._seems_to_talk

    @cached_property
    def _lively(self) -> float:
        return self._share([turn.is_lively for turn in self.candidates])

    @cached_property
    def _spoken(self) -> float:
        return self._share([turn.is_lively or turn.is_sentence for turn in self.candidates])

    @property
    def _is_known_to_talk(self) -> bool:
        """The same where a label surely names a person: the more such, and the more often, the less talk it takes."""
        if self.returning:
            return self._spoken >= 0.8 or self._lively >= 0.34 or (self._lively > 0 and self._spoken >= 0.5)
        alone = self._is_nothing_else
        if len({turn.label.key for turn in self.candidates if turn.is_known}) > 1:
            return self._spoken >= 0.5 and (self._lively >= 0.3 or (alone and self._is_first_names))
        return alone and self._spoken >= 0.5 and self._lively >= 0.5

    @property
    def _seems_to_talk(self) -> bool:
        """The same where no label surely names a person: it takes a return, a question's answer, or A and B."""
        alone = self._is_nothing_else
        if not self.returning:
            return alone and (self._is_asked_and_answered or (self.speakers == {"a", "b"} and self._spoken == 1))
        enough = self._lively >= 0.4 or (alone and self._lively >= 0.3 and self._spoken == 1)
        return enough and not self.headings and any(turn.is_talk or turn.asks for turn in self.candidates)

    @cached_property
    def _is_nothing_else(self) -> bool:
        """Whether the text begins with a label, and every one stands at the start of a line and heads talk."""
        before = self.text[: self.candidates[0].label.start]
        return not words_of(before) and not self.headings and all(turn.label.opens for turn in self.candidates)

    @cached_property
    def _is_first_names(self) -> bool:
        """Whether all labels are first names, and none has a description of who that is."""
        return all(
            turn.label.is_a_first_name and turn.is_sentence and turn.begins_big and not describes(turn.said)
            for turn in self.candidates
        )

    @cached_property
    def _is_asked_and_answered(self) -> bool:
        """Whether the text is a question and its answer, each with a label."""
        first, second = self.candidates[:2]
        both = len(self.candidates) == 2 and first.is_sentence and second.is_sentence
        return both and first.asks and second.is_talk and not second.asks

    @cached_property
    def is_monologue(self) -> bool:
        """Whether the text is one person's talk from its first word to its last."""
        turns = self.candidates
        if (
            len(self.speakers) != 1
            or not turns[0].is_known
            or self.headings
            or words_of(self.text[: turns[0].label.start])
        ):
            return False
        said = self.text[turns[0].label.end :]
        first_line, _, rest = said.strip().partition("\n")
        if not first_line or ("\n" in said[: len(said) - len(said.lstrip())] and rest):
            return False
        if SPEAKING_ROLES & set(turns[0].label.key.split()):
            return first_line[0].isupper() or is_sentence(said)
        if _BLANK_LINE.search(said.strip()) or (rest and not is_sentence(first_line)):
            return False
        begins_small = first_line[0].islower() and not turns[0].label.name.islower()
        return (turns[0].is_talk and turns[0].asks) if begins_small else turns[0].is_lively

    @cached_property
    def is_screenplay(self) -> bool:
        """Whether the cues are those of at least two who speak in turn, or of one who does again and again."""
        known = {cue.label.key for cue in self.candidates if cue.is_known}
        again = self.returning or (len(self.candidates) > 2 and len(self.speakers) == 1)
        return (
            bool((again and known) or len(known) >= 2 or len(self.returning) >= 2)
            and self.headings <= len(self.candidates)
            and any(cue.is_lively for cue in self.candidates)
        )

    def takes(self, candidate: _Candidate) -> bool:
        """Whether it is a label, the text being a transcript."""
        if candidate.is_sure or candidate.label.key in self.returning:
            return True
        if self.is_dialogue or self.is_monologue or self._is_given:
            return candidate.is_known or candidate.is_lively or candidate.is_sentence or candidate.begins_big
        return candidate.is_known and (candidate.is_lively or candidate.is_sentence)
