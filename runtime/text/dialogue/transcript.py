"""Whether a text is a transcript, and who says what in it.

The decision is made once for the whole text: reading out some labels of a transcript is worse than reading out all of
them. Tags (`[SPEAKER0]`, `SPEAKER_00:`, `[S1]`) and names for which the request has voices are always labels. The
evidence for other names is what they are (a first name, a word for a person, a voice), that they return, and that talk
follows them; words that are headings ("Note", "Ingredients", "周一") are never labels, whatever follows them. A text
that only might be a transcript is read out unchanged: that way nothing is lost.
"""

from __future__ import annotations

import re

from runtime.text.dialogue.bare_labels import (
    find_brackets,
    find_cues,
    find_loose_cues,
    find_plays,
    find_stamped,
    has_scene_headings,
)
from runtime.text.dialogue.candidates import said_under, words_of
from runtime.text.dialogue.dialogue import DialogueTurn, Recognition
from runtime.text.dialogue.evidence import Evidence
from runtime.text.dialogue.label_parts import MARKS
from runtime.text.dialogue.label_words import MANNER_WORDS
from runtime.text.dialogue.labels import Label, find_labels, speaker_key

# In search order: one form for the whole text.
_FORMS = (find_labels, find_brackets, find_stamped, find_cues, find_plays, find_loose_cues)
# How something is said, behind the colon: "ANNA: (whispering) Hello." Other words in brackets are spoken.
_FURTHER = r"(?:(?<=ing|ndo|ant)(?:,? [^\W\d_]+){1,3})?"
_MANNER = re.compile(
    rf"\s*{MARKS}[(\[（](?:{'|'.join(sorted(MANNER_WORDS))}){_FURTHER}[)\]）]{MARKS}(?=\s*\S)", re.IGNORECASE
)
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


def parse_transcript(text: str, recognition: Recognition) -> list[DialogueTurn]:
    """The turns of a transcript in order; a single turn without a speaker if the text names none.

    A label with nothing after it is not a turn, so there may be no turn at all. Lines without a label continue the turn
    before; a turn under a screenplay's cue ends with the paragraph, since stage directions follow.
    """
    labels = labels_of(text, recognition)
    given = {speaker_key(name): name for name in sorted(recognition.given)}
    acted = any(label.acted for label in labels) or has_scene_headings(text)
    names: dict[str, str] = {}
    turns = [DialogueTurn(None, words_of(text[: labels[0].start] if labels else text))]
    for label, behind in said_under(text, labels):
        manner = _MANNER.match(behind) if label.style == "colon" else None
        said = behind[manner.end() :] if manner else behind
        name = names.setdefault(label.key, given.get(label.key, label.name))
        own = _BLANK_LINE.search(said) if label.style == "cue" and acted else None
        turns.append(DialogueTurn(name, words_of(said[: own.start()] if own else said)))
        if own:
            turns.append(DialogueTurn(None, words_of(said[own.end() :])))
    return [turn for turn in turns if turn.text]


def labels_of(text: str, recognition: Recognition) -> list[Label]:
    """The labels of the text, in order; none if it is not a transcript."""
    if recognition.mode == "off":
        return []
    given = {speaker_key(name) for name in recognition.given}
    for find in _FORMS:
        labels = find(text)
        if recognition.mode == "on":
            opening = {label.key for label in labels if label.opens and not label.tells_a_manner}
            if labels := [label for label in labels if label.style == "tag" or label.key in opening]:
                return labels
            continue
        evidence = Evidence.of(text, [one for one in labels if one.style != "number" or one.key in given], recognition)
        if evidence.is_sure or (evidence.is_loose_screenplay if find is find_loose_cues else evidence.is_believed):
            return [one.label for one in evidence.candidates if one.label.style == "cue" or evidence.takes(one)]
    return []
