"""Whether a text is a transcript, and who says what in it.

It is decided once for the whole text: a transcript of which some labels are read out is worse than one that is read out
whole. Tags (`[SPEAKER0]`, `SPEAKER_00:`, `[S1]`) and names that the request has voices for are always labels. Other
names are believed for what they are (a first name, what people are called, a voice), for coming back, and for talk
behind them; words that are headings ("Note", "Ingredients", "周一") never are, whatever stands behind them. A text
that only might be a transcript is read out as it stands: that way nothing is lost.
"""

from __future__ import annotations

import re

from runtime.text.dialogue.dialogue import DialogueTurn, Recognition
from runtime.text.dialogue.evidence import Evidence, said_under, words_of
from runtime.text.dialogue.labels import Label, find_cues, find_labels, speaker_key

_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


def parse_transcript(text: str, recognition: Recognition) -> list[DialogueTurn]:
    """The turns of a transcript in order; a single turn of nobody where it names no speaker.

    A label with nothing behind it is no turn, so that there may be none at all. Lines without a label go on with the
    turn before; below a cue it ends with the paragraph.
    """
    labels = labels_of(text, recognition)
    given = {speaker_key(name): name for name in sorted(recognition.given)}
    names: dict[str, str] = {}
    turns = [DialogueTurn(None, words_of(text[: labels[0].start] if labels else text))]
    for label, said in said_under(text, labels):
        name = names.setdefault(label.key, given.get(label.key, label.name))
        own = _BLANK_LINE.search(said) if label.style == "cue" else None
        turns.append(DialogueTurn(name, words_of(said[: own.start()] if own else said)))
        if own:
            turns.append(DialogueTurn(None, words_of(said[own.end() :])))
    return [turn for turn in turns if turn.text]


def labels_of(text: str, recognition: Recognition) -> list[Label]:
    """The labels of the text, in order; none where it is no transcript."""
    if recognition.mode == "off":
        return []
    labels = find_labels(text)
    if recognition.mode == "on":
        opening = {label.key for label in labels if label.opens}
        return [label for label in labels if label.style == "tag" or label.key in opening] or find_cues(text)
    evidence = Evidence.of(text, labels, recognition)
    if evidence.is_sure or evidence.is_dialogue or evidence.is_monologue:
        return [candidate.label for candidate in evidence.candidates if evidence.takes(candidate)]
    cues = Evidence.of(text, find_cues(text), recognition)
    return [candidate.label for candidate in cues.candidates] if cues.is_sure or cues.is_screenplay else []
