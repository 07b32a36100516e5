"""Whether a text is a transcript, and who says what in it.

It is decided once for the whole text: a transcript of which some labels are read out is worse than one that is read out
whole. Tags (`[SPEAKER0]`, `SPEAKER_00:`, `[S1]`) and names that the request has voices for are always labels. Other
names are believed for what they are (a first name, what people are called, a voice), for coming back, and for talk
behind them; words that are headings ("Note", "Ingredients", "周一") never are, whatever stands behind them. A text
that only might be a transcript is read out as it stands: that way nothing is lost.
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

# In the order in which they are looked for: one form for all of a text.
_FORMS = (find_labels, find_brackets, find_stamped, find_cues, find_plays, find_loose_cues)
# How something is said, behind the colon: "ANNA: (whispering) Hello." Other words in brackets are spoken.
_FURTHER = r"(?:(?<=ing|ndo|ant)(?:,? [^\W\d_]+){1,3})?"
_MANNER = re.compile(
    rf"\s*{MARKS}[(\[（](?:{'|'.join(sorted(MANNER_WORDS))}){_FURTHER}[)\]）]{MARKS}(?=\s*\S)", re.IGNORECASE
)
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


def parse_transcript(text: str, recognition: Recognition) -> list[DialogueTurn]:
    """The turns of a transcript in order; a single turn of nobody where it names no speaker.

    A label with nothing behind it is no turn, so that there may be none at all. Lines without a label go on with the
    turn before; below a screenplay's cue it ends with the paragraph, for then comes what is done.
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
    """The labels of the text, in order; none where it is no transcript."""
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
