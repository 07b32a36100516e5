"""Words before a colon that do not name a speaker: notes, headings, form fields, mail headers, days.

Latin letters are lower-case and without accents.
"""

from __future__ import annotations

from pathlib import Path

from runtime.text.readings.word_sets import listed, words

_FILE = Path(__file__).with_suffix(".toml")

LABEL_WORDS = listed(_FILE, "label_words")

# In Chinese, Japanese and Korean a heading ends with one of these, or is one of single characters.
ASIAN_LABEL_ENDINGS = tuple(listed(_FILE, "asian_label_endings"))
ASIAN_LABEL_WORDS = listed(_FILE, "asian_label_words")
# Those that count people as well: "Guest One".
NUMBER_WORDS = words(
    "one two three four five six seven eight nine ten uno dos tres cuatro cinco un deux trois quatre cinq"
)

# Labels for the asking and answering sides of an interview in which somebody else is named.
ASKING_WORDS = words("q a question answer p r pregunta respuesta reponse f frage antwort 问 答 問 в о")

# How something is said: "ANNA: (whispering) Hello."
MANNER_WORDS = listed(_FILE, "manner_words")
