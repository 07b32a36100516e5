"""Whether a text is a transcript, and who says what in it.

It is decided once for the whole text: a transcript of which some labels are read out is worse than one that is read out
whole. Tags (`[SPEAKER0]`, `SPEAKER_00:`, `[S1]`) and names that the request has voices for are always labels. Other
names are believed for what they are (a first name, what people are called, a voice), for coming back, and for talk
behind them; words that are headings ("Note", "Ingredients", "周一") never are, whatever stands behind them. A text
that only might be a transcript is read out as it stands: that way nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from dialogue import DialogueTurn, Recognition
from label_words import ASKING_WORDS
from labels import HIDDEN, Label, find_cues, find_labels, speaker_key
from person_words import SPEAKING_ROLES
from talk import asks, describes, exclaims, is_sentence, is_talk

_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_HIDDEN = re.compile(f"[{HIDDEN}]")


def parse_transcript(text: str, recognition: Recognition) -> list[DialogueTurn]:
    """The turns of a transcript in order; a single turn of nobody where it names no speaker.

    A label with nothing behind it is no turn, so that there may be none at all. Lines without a label go on with the
    turn before; below a cue it ends with the paragraph.
    """
    labels = labels_of(text, recognition)
    given = {speaker_key(name): name for name in sorted(recognition.given)}
    names: dict[str, str] = {}
    turns = [DialogueTurn(None, _words(text[: labels[0].start] if labels else text))]
    for label, said in _said(text, labels):
        name = names.setdefault(label.key, given.get(label.key, label.name))
        own = _BLANK_LINE.search(said) if label.style == "cue" else None
        turns.append(DialogueTurn(name, _words(said[: own.start()] if own else said)))
        if own:
            turns.append(DialogueTurn(None, _words(said[own.end() :])))
    return [turn for turn in turns if turn.text]


def _words(text: str) -> str:
    return text.strip() if _HIDDEN.sub("", text).strip() else ""


def _said(text: str, labels: Sequence[Label]) -> list[tuple[Label, str]]:
    """Each label with the text up to the next one."""
    ends = [*(label.start for label in labels), len(text)][1:]
    return [(label, text[label.end : end]) for label, end in zip(labels, ends, strict=True)]


def labels_of(text: str, recognition: Recognition) -> list[Label]:
    """The labels of the text, in order; none where it is no transcript."""
    if recognition.mode == "off":
        return []
    labels = find_labels(text)
    if recognition.mode == "on":
        opening = {label.key for label in labels if label.opens}
        return [label for label in labels if label.style == "tag" or label.key in opening] or find_cues(text)
    evidence = _Evidence.of(text, labels, recognition)
    if evidence.is_sure or evidence.is_dialogue or evidence.is_monologue:
        return [candidate.label for candidate in evidence.candidates if evidence.takes(candidate)]
    cues = _Evidence.of(text, find_cues(text), recognition)
    return [candidate.label for candidate in cues.candidates] if cues.is_sure or cues.is_screenplay else []


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
class _Evidence:
    """What in a text speaks for a transcript."""

    text: str
    candidates: list[_Candidate]
    headings: int

    @classmethod
    def of(cls, text: str, labels: Sequence[Label], recognition: Recognition) -> _Evidence:
        """From everything that has the form of a label."""
        given = {speaker_key(name) for name in recognition.given}
        voices = {speaker_key(name) for name in recognition.voices}
        found: list[_Candidate] = []
        headings = 0
        for label, said in _said(text, labels):
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
        known = {turn.label.key for turn in turns if turn.is_known}
        lively = self._share([turn.is_lively for turn in turns])
        spoken = self._share([turn.is_lively or turn.is_sentence for turn in turns])
        if any(not turn.label.opens for turn in turns) and not turns[0].is_lively:
            return False
        alone = self._is_nothing_else
        if self.returning and known:
            return spoken >= 0.8 or (lively > 0 and spoken >= 0.5) or lively >= 0.34
        if len(known) >= 2:
            return spoken >= 0.5 and (lively >= 0.3 or (alone and self._is_first_names))
        if known:
            return alone and spoken >= 0.5 and lively >= 0.5
        if self.returning:
            enough = lively >= 0.4 or (alone and lively >= 0.3 and spoken == 1)
            return enough and not self.headings and any(turn.is_talk or turn.asks for turn in turns)
        return alone and self._is_asked_and_answered

    @cached_property
    def _is_nothing_else(self) -> bool:
        """Whether the text begins with a label, and every one stands at the start of a line and heads talk."""
        before = self.text[: self.candidates[0].label.start]
        return not _words(before) and not self.headings and all(turn.label.opens for turn in self.candidates)

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
            or _words(self.text[: turns[0].label.start])
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
        return turns[0].asks or (turns[0].is_lively and not begins_small)

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
