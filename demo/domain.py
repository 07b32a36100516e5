"""Sentences that a recogniser can be sure of: drawn from domain.gram, a tenth of them held out from training."""

from __future__ import annotations

import random
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

GRAMMAR_FILE = Path(__file__).with_name("domain.gram")
# Words the recogniser's dictionary lacks, in its own phones.
PRONUNCIATIONS = {"higgs": "HH IH G Z"}
PROPER_RULES = ("name", "city", "weekday")
HELD_OUT_SHARE = 10  # one sentence in this many is never trained on


@dataclass(frozen=True)
class Domain:
    """A grammar without recursion: each rule is a list of alternatives, each a list of words and `<rule>` names."""

    rules: dict[str, list[list[str]]]
    proper: frozenset[str]  # words written with a capital letter wherever they stand

    @classmethod
    def load(cls, file: Path = GRAMMAR_FILE) -> Domain:
        """Reads the part of JSGF that the file uses: rules, sequences and alternatives."""
        source = re.sub(r"//[^\n]*", "", file.read_text())
        rules = {
            name: [alternative.split() for alternative in body.split("|")]
            for name, body in re.findall(r"<(\w+)>\s*=([^;]*);", source)
        }
        proper = {word for rule in PROPER_RULES for words in rules[rule] for word in words}
        return cls(rules, frozenset(proper | {"i"}))

    @property
    def words(self) -> list[str]:
        """Every word of the domain, sorted."""
        items = {item for body in self.rules.values() for words in body for item in words}
        return sorted(item for item in items if not item.startswith("<"))

    def draw(self, generator: random.Random) -> str:
        """One sentence as the recogniser would write it: lower case, no punctuation."""
        return " ".join(self._expand("sentence", generator))

    def sentences(self, count: int, seed: int, held_out: bool) -> list[str]:
        """`count` different sentences, all held out from training or none of them; fewer if the domain is too small."""
        generator, found = random.Random(seed), dict[str, None]()
        for _ in range(50 * count):
            sentence = self.draw(generator)
            if is_held_out(sentence) == held_out:
                found[sentence] = None
            if len(found) == count:
                break
        return list(found)

    def holds(self, sentence: str) -> bool:
        """Whether the grammar has this sentence, in lower case and without punctuation."""
        return re.fullmatch(self._pattern("sentence"), sentence) is not None

    def written(self, sentence: str) -> str:
        """The sentence as a user would type it: capitals, and a full stop or a question mark."""
        words = [word.capitalize() if word in self.proper else word for word in sentence.split()]
        mark = (
            "?" if words[0] in {"where", "how", "what", "who", "can"} or sentence.endswith("how are you today") else "."
        )
        return " ".join([words[0][0].upper() + words[0][1:], *words[1:]]) + mark

    def _pattern(self, rule: str) -> str:
        """A regular expression of what a rule can be."""
        ways = (
            " ".join(self._pattern(item[1:-1]) if item.startswith("<") else re.escape(item) for item in items)
            for items in self.rules[rule]
        )
        return f"(?:{'|'.join(ways)})"

    def _expand(self, rule: str, generator: random.Random) -> list[str]:
        words: list[str] = []
        for item in generator.choice(self.rules[rule]):
            words += self._expand(item[1:-1], generator) if item.startswith("<") else [item]
        return words


def is_held_out(sentence: str) -> bool:
    """Whether a sentence belongs to the held-out tenth: by its words alone, so that every step of the recipe agrees."""
    return zlib.crc32(sentence.encode()) % HELD_OUT_SHARE == 0
