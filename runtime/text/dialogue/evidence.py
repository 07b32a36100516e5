"""What in a text speaks for a transcript, and what against it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from runtime.text.dialogue.candidates import Candidate, returning, said_under, speaking_headings, words_of
from runtime.text.dialogue.dialogue import Recognition
from runtime.text.dialogue.label_words import ASKING_WORDS
from runtime.text.dialogue.labels import Label, speaker_key
from runtime.text.dialogue.person_words import SPEAKING_ROLES
from runtime.text.dialogue.talk import asks, describes, exclaims, instructs, is_interview, is_sentence, is_talk

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s|(?<=[。！？])")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_ACT = re.compile(
    r"(?:\W*(?:(?:acte?|scene|scène|acto|escena)\b[^\n]{0,40}|第[一二三四五六七八九十\d]{1,3}[幕场場][^\n]{0,20})(?:\n|$)\s*)+",
    re.IGNORECASE,
)  # the heading of an act or a scene


@dataclass(frozen=True)
class Evidence:
    """What in a text speaks for a transcript."""

    text: str
    candidates: list[Candidate]
    headings: int
    others: int  # what looks like a label but is not, headings included

    @classmethod
    def of(cls, text: str, labels: Sequence[Label], recognition: Recognition) -> Evidence:
        """From everything that looks like a label."""
        given = {speaker_key(name) for name in recognition.given}
        voices = {speaker_key(name) for name in recognition.voices}
        found: list[Candidate] = []
        either: list[Candidate] = []
        headings = 0
        for label, said in said_under(text, labels):
            is_given = label.key in given
            is_voice = label.key in voices
            is_sure = is_given or is_voice or label.style == "tag"
            one = Candidate(label, said, is_given, is_voice, is_sure or label.names_a_person)
            if label.tells_a_manner and not is_sure:
                continue
            if label.is_a_heading and not is_sure and label.key not in ASKING_WORDS:
                either.append(one)
                headings += label.opens
            else:
                found.append(one)
        if either and (people := speaking_headings(found, either)):
            found = sorted([*found, *people], key=lambda one: one.label.start)
            headings -= len(people)
        # After a sentence many words have a colon; they count as names if others surely are names.
        run_on = any(one.is_known and not one.label.opens and one.label.style == "colon" for one in found)
        candidates = [one for one in found if one.label.opens or one.is_known or run_on]
        # "Question" and "Answer" are not speakers, unless a named person speaks too, or one asks about the other.
        asking = all(one.label.key in ASKING_WORDS and not one.is_sure for one in candidates)
        if asking and not is_interview(*([one.said for one in candidates[place::2]] for place in (0, 1))):
            candidates, headings = [], headings + len(candidates)
        return cls(text, candidates, headings, len(labels) - len(candidates))

    @cached_property
    def is_sure(self) -> bool:
        """Whether there is a tag, or a speaker for whom the request has a voice."""
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
        return returning(self.candidates)

    @property
    def is_believed(self) -> bool:
        """Whether the labels name speakers; each form of label needs its own evidence."""
        if self.is_sure or not self.candidates:
            return self.is_sure
        style = self.candidates[0].label.style
        if style == "cue":
            return self.is_screenplay
        if style not in ("tag", "colon", "number"):
            return self.is_logged
        return self.is_dialogue or self.is_monologue

    def _share(self, holds: Sequence[bool]) -> float:
        return sum(holds) / max(1, len(self.candidates))

    @cached_property
    def is_dialogue(self) -> bool:
        """Whether at least two speak with each other."""
        turns = self.candidates
        if len(self.speakers) < 2 or not turns[0].label.opens or self.headings > len(turns):
            return False
        if any(not turn.label.opens for turn in turns):
            first, called = turns[0], exclaims(turns[0].said) and all(turn.begins_big for turn in turns)
            if not first.is_lively or not (self.returning or first.asks or called):
                return False
        if turns[0].label.counted and not self.returning and not turns[0].asks:
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
            plain = self._spoken >= 0.8 and (self._lively > 0 or all(turn.begins_big for turn in self.candidates))
            return plain or self._lively > 0.33 or (self._lively > 0 and self._spoken >= 0.5)
        alone = self._is_nothing_else
        if all(instructs(turn.said) and not turn.asks and not exclaims(turn.said) for turn in self.candidates):
            return False
        if len({turn.label.key for turn in self.candidates if turn.is_known}) > 1:
            return self._spoken >= 0.5 and (self._lively >= 0.3 or (alone and self._is_first_names))
        return alone and self._spoken >= 0.5 and self._lively >= 0.5

    @property
    def _seems_to_talk(self) -> bool:
        """The same where no label surely names a person: it takes a return, a question's answer, or A and B."""
        alone = self._is_nothing_else
        if not self.returning:
            return alone and (self._is_asked_and_answered or (self.speakers == {"a", "b"} and self._spoken == 1))
        strange = not any(turn.label.is_made_of_words for turn in self.candidates)
        enough = self._lively >= 0.4 or (alone and self._spoken == 1 and self._lively >= (0.25 if strange else 0.3))
        return enough and not self.headings and any(turn.is_talk or turn.asks for turn in self.candidates)

    @cached_property
    def _is_nothing_else(self) -> bool:
        """Whether the text begins with a label, or a scene's heading, and every label opens a line and heads talk."""
        before = self.text[: self.candidates[0].label.start]
        begins = not words_of(before) or bool(_ACT.fullmatch(before))
        return begins and not self.headings and all(turn.label.opens for turn in self.candidates)

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
            or self.others
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
        if begins_small:
            return turns[0].is_talk and turns[0].asks
        first_sentence = _SENTENCE_END.split(first_line, maxsplit=1)[0]
        lively = is_talk(first_sentence) or asks(first_sentence) or exclaims(first_sentence)
        return lively or (turns[0].is_voice and turns[0].is_sentence)

    @cached_property
    def is_logged(self) -> bool:
        """Whether the text is a log or a play without colons, of at least two: it takes a return, and talk."""
        turns = self.candidates
        if len(self.speakers) < 2 or not turns[0].label.opens or self.headings or not self._lively:
            return False
        if not self.returning:
            known = all(turn.is_known and turn.label.style != "dash" for turn in turns)
            return known and self._is_nothing_else and self._lively >= 0.5
        if any(turn.is_known for turn in turns):
            return self._lively > 0.33 or (turns[0].label.style != "bracket" and self._is_nothing_else)
        return self._has_no_other_line and self._lively > (0 if turns[0].label.style == "nick" else 0.33)

    @cached_property
    def _has_no_other_line(self) -> bool:
        """Whether a label begins every line of the text, or the line before it."""
        lines = sum(turn.said.strip().count("\n") for turn in self.candidates)
        return self._is_nothing_else and not lines

    @cached_property
    def is_screenplay(self) -> bool:
        """Whether the cues belong to at least two who speak in turn, or to one who speaks again and again."""
        known = {cue.label.key for cue in self.candidates if cue.is_known}
        again = self.returning or (len(self.candidates) > 2 and len(self.speakers) == 1)
        return (
            bool((again and known) or len(known) >= 2 or len(self.returning) >= 2)
            and self.headings <= len(self.candidates)
            and any(cue.is_lively for cue in self.candidates)
        )

    @cached_property
    def is_loose_screenplay(self) -> bool:
        """The same for cues that are not set off like a screenplay's."""
        return (
            bool(self.returning)
            and len(self.speakers) > 1
            and self._is_nothing_else
            and self._lively >= 0.5
            and all(words_of(turn.said) for turn in self.candidates)
        )

    def takes(self, candidate: Candidate) -> bool:
        """Whether it is a label, the text being a transcript."""
        if candidate.is_sure or candidate.label.key in self.returning:
            return True
        if self.is_dialogue or self.is_monologue or self._is_given:
            return candidate.is_known or candidate.is_lively or candidate.is_sentence or candidate.begins_big
        return candidate.is_known and (candidate.is_lively or candidate.is_sentence)
