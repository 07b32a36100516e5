"""Where our readings and those of two text normalisers differ, for a file of sentences, one a line.

The two are oracles to judge against by eye, never a dependency: together they take over a gigabyte, and
NeMo-text-processing compiles its French grammar for nine minutes at the first start. They live in a virtual environment
of their own:

    python3.11 -m venv /tmp/oracles && /tmp/oracles/bin/pip install --no-deps nemo_text_processing==1.2.0
    /tmp/oracles/bin/pip install WeTextProcessing==1.2.0 cdifflib editdistance inflect joblib pandas regex sacremoses \
        "setuptools<82" tqdm transformers==4.46.3 wget wrapt "numpy<2" num2words==0.5.14 cn2an==0.5.24
    /tmp/oracles/bin/python -m tools.compare_readings --language en sentences.txt

NeMo knows all four languages, WeTextProcessing English and Chinese. A sentence is printed where what is read out
differs in anything but case, punctuation and spaces, with the parts that differ; the last line counts. `--all` also
prints the sentences that only one of the oracles reads differently.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path

from runtime.text.readings.normalization import normalize

Reader = Callable[[str], str]
CACHE = Path.home() / ".cache" / "reading-oracles"  # compiled grammars


def nemo(language: str) -> Reader:
    """NeMo-text-processing's reading of a sentence."""
    from nemo_text_processing.text_normalization.normalize import Normalizer  # noqa: PLC0415  (takes seconds)

    normalizer = Normalizer(input_case="cased", lang=language, cache_dir=str(CACHE / "nemo"))
    return lambda text: str(normalizer.normalize(text, punct_post_process=True))


def wetext(language: str) -> Reader | None:
    """WeTextProcessing's reading of a sentence, None in a language that it does not know."""
    directory = CACHE / f"wetext-{language}"
    directory.mkdir(parents=True, exist_ok=True)
    if language == "zh":
        from tn.chinese.normalizer import Normalizer  # noqa: PLC0415
    elif language == "en":
        from tn.english.normalizer import Normalizer  # noqa: PLC0415
    else:
        return None
    normalizer = Normalizer(cache_dir=str(directory))
    return lambda text: str(normalizer.normalize(text))


def words(text: str) -> list[str]:
    """What is heard: words in lower case, a Chinese character each; digits and signs as they are."""
    return re.findall(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+|[$€£¥%°@#&+=<>/]", text.casefold())


def differing(ours: str, theirs: str) -> str:
    """The stretches in which two readings differ, ours before theirs."""
    left, right = words(ours), words(theirs)
    changes = SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    return "; ".join(
        f"{' '.join(left[a:b]) or '-'} | {' '.join(right[c:d]) or '-'}"
        for kind, a, b, c, d in changes
        if kind != "equal"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare our readings with two oracles'.")
    parser.add_argument("sentences", type=Path, help="text file, one sentence a line")
    parser.add_argument("--language", choices=("en", "zh", "es", "fr"), required=True)
    parser.add_argument("--all", action="store_true", help="also print where only one oracle differs")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    oracles = {"nemo": nemo(arguments.language), "wetext": wetext(arguments.language)}
    sentences = [line for line in arguments.sentences.read_text(encoding="utf-8").splitlines() if line.strip()]
    counts = dict.fromkeys([name for name, oracle in oracles.items() if oracle], 0)
    against_all = 0
    for sentence in sentences:
        ours = normalize(sentence, arguments.language)
        found = {}
        for name, oracle in oracles.items():
            if oracle is None:
                continue
            try:
                theirs = oracle(sentence)
            except Exception as error:  # an oracle that fails on a sentence says nothing about it
                theirs = ours
                print(f"{name} failed on {sentence!r}: {error}", file=sys.stderr)
            if change := differing(ours, theirs):
                found[name] = change
                counts[name] += 1
        unanimous = len(found) == len(counts)
        against_all += unanimous
        if found and (unanimous or arguments.all):
            print(sentence, f"  ours    {ours}", *(f"  {name:7} {change}" for name, change in found.items()), sep="\n")
    differ = ", ".join(f"{name} differs in {count}" for name, count in counts.items())
    print(f"{len(sentences)} sentences: {differ}; every oracle differs from ours in {against_all}")


if __name__ == "__main__":
    main()
