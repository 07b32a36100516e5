"""The demo checkpoint's tokenizer: byte-level BPE whose merges make one token of every word of the domain.

A model this small should not have to put words together from pieces first; any other text is cut into more pieces.
"""

from __future__ import annotations

import json
import random

from tokenizers import Tokenizer, trainers

from demo.domain import Domain
from demo.sizes import TRAINED_VOCABULARY
from demo.tokenizer import NUM_SPECIAL, build_tokenizer, byte_characters

CORPUS_SENTENCES = 30000  # enough to meet every word at the start and in the middle of a sentence
SEED = 5
REPETITIONS = 50  # of each form: all are equally common, so that rare words are merged too
PROMPT_WORDS = ("system", "user", "assistant", "\n\nGenerate audio following instruction.")


def trained_tokenizer() -> Tokenizer:
    """The tokenizer; the same one at every call."""
    corpus = _corpus()
    learner = build_tokenizer(TRAINED_VOCABULARY)
    trainer = trainers.BpeTrainer(
        vocab_size=TRAINED_VOCABULARY - NUM_SPECIAL, initial_alphabet=byte_characters(), show_progress=False
    )
    learner.train_from_iterator(corpus, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    return build_tokenizer(TRAINED_VOCABULARY, [(left, right) for left, right in merges])


def _corpus() -> list[str]:
    """Every form in which a word of the domain is written, and the fixed words of every prompt."""
    domain, generator = Domain.load(), random.Random(SEED)
    forms = set()
    for _ in range(CORPUS_SENTENCES):
        first, *others = domain.written(domain.draw(generator))[:-1].split()
        forms |= {first, *(f" {word}" for word in others)}
    forms |= {form.lower() for form in forms}
    return [*sorted(forms), *PROMPT_WORDS] * REPETITIONS
