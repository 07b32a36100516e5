"""What the converter writes beside its files and the build reads: where it stands, and in which form."""

EXPORT_FILE = "export.json"
# 2: the codec's decoder takes windows with their context and returns their own samples; before, it returned all.
FORMAT = 2
KNOWN_WORDS_FILE = "known_words.txt"  # beside a checkpoint that has one; runtime/text/known_words.py reads it
