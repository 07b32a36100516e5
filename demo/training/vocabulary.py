"""The demo checkpoint's tokenizer: byte-level BPE whose merges are learned from the domain's sentences."""

from __future__ import annotations

import json
import random

from tokenizers import Tokenizer, trainers

from demo.domain import Domain
from demo.sizes import TRAINED_VOCABULARY
from demo.tokenizer import NUM_SPECIAL, build_tokenizer, byte_characters

CORPUS_SENTENCES = 20000
SEED = 5
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
    """Sentences as users may write them, and the fixed words of every prompt."""
    domain, generator = Domain.load(), random.Random(SEED)
    sentences = [domain.draw(generator) for _ in range(CORPUS_SENTENCES)]
    written = [domain.written(sentence) for sentence in sentences]
    return [*sentences, *written, *PROMPT_WORDS * (CORPUS_SENTENCES // 10)]
