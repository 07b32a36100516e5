"""One possible label of a text, what would be said under it, and whether that looks like speech."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from runtime.text.dialogue.label_parts import HIDDEN
from runtime.text.dialogue.labels import Label
from runtime.text.dialogue.talk import asks, exclaims, is_sentence, is_talk

_HIDDEN = re.compile(f"[{HIDDEN}]")


def words_of(text: str) -> str:
    """The text without surrounding white space; empty if it has only invisible characters."""
    return text.strip() if _HIDDEN.sub("", text).strip() else ""


def said_under(text: str, labels: Sequence[Label]) -> list[tuple[Label, str]]:
    """Each label with the text up to the next one."""
    ends = [*(label.start for label in labels), len(text)][1:]
    return [(label, text[label.end : end]) for label, end in zip(labels, ends, strict=True)]


@dataclass(frozen=True)
class Candidate:
    """A possible label and what would be said under it.

    `is_given`: the request has a voice for it. `is_voice`: a voice has this name. `is_known`: it is a person's name.
    """

    label: Label
    said: str
    is_given: bool
    is_voice: bool
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


def returning(turns: Sequence[Candidate]) -> set[str]:
    """Who speaks again after somebody else."""
    seen: set[str] = set()
    back: set[str] = set()
    last = ""
    for turn in turns:
        key = turn.label.key
        if key in seen and key != last:
            back.add(key)
        seen.add(key)
        last = key
    return back


def speaking_headings(others: Sequence[Candidate], headings: Sequence[Candidate]) -> list[Candidate]:
    """The headings that are speakers, since the text is talk: "Author" in an interview, April with her friends."""
    turns = sorted([*others, *headings], key=lambda one: one.label.start)
    if not any(turn.is_lively for turn in turns):
        return []
    back = returning(turns)
    answers = {id(after) for before, after in pairwise(turns) if before.is_known and before.asks}
    around = zip(turns, turns[1:], turns[2:], strict=False)
    answers |= {id(turn) for before, turn, after in around if before.label.key == after.label.key}
    known = {one.label.key for one in others if one.is_known}
    lively = {one.label.key for one in headings if one.is_lively}
    asking = {one.label.key for one in headings if one.asks}
    among_known = lively if known & back else asking if known else set()

    def speaks(one: Candidate) -> bool:
        comes_back = one.label.key in back
        if not one.label.may_be_a_person:
            return comes_back and one.label.key in among_known
        return comes_back or id(one) in answers or (len(known) > 1 and one.is_lively)

    return [one for one in headings if one.label.opens and speaks(one)]
