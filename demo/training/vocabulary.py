"""The trained checkpoint's tokenizer: letters, for any word, however common, is read letter by letter.

What a letter sounds like follows from its neighbours, and one rule for all words is learned from all of them. Only the
words of the chat template are one token each, where they stand alone; with a space before them they too are letters.
So are the two system messages, in which there is nothing to read.
"""

from __future__ import annotations

from tokenizers import Tokenizer

from demo.sizes import LETTER_VOCABULARY
from demo.tokenizer import build_tokenizer
from demo.training.conversations import SMART_SYSTEM, SYSTEM

TEMPLATE_PIECES = ("system", "user", "assistant", "\n\n", "[SPEAKER")


def trained_tokenizer() -> Tokenizer:
    """The tokenizer; the same one at every call."""
    return build_tokenizer(LETTER_VOCABULARY, pieces=TEMPLATE_PIECES, passages=(SYSTEM, SMART_SYSTEM))
