"""When the demo voice says each word: the estimate against a recogniser that is told the words and finds them."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from higgs_tts import AudioChunk, GenerationParams, HeardPart, HiggsClient, PartText, TimedWord, timed_words

from demo.listener import Listener
from tests.demo.conftest import CHECKPOINT

SENTENCES = 48
VOICES = ("slt", "awb", "rms")
# Seconds: what captions and interruptions bear, half of what equal shares give.
MEDIAN, WORST = 0.09, 0.25
Heard = tuple[PartText, list[AudioChunk], list[tuple[str, float, float]]]


@pytest.fixture(scope="module")
def heard(client: HiggsClient) -> list[Heard]:
    """Held-out sentences, each one part, its number as its seed, in three voices: what it says, chunk by chunk, and
    where the recogniser finds its words.
    """
    held_out = json.loads((CHECKPOINT / "held_out.json").read_text())[:SENTENCES]

    def speak(job: tuple[int, dict[str, object]]) -> list[AudioChunk]:
        number, sentence = job
        params = GenerationParams(seed=number, chunk_method="speaker", max_chunk_seconds=0.4)
        return list(client.stream(str(sentence["written"]), voice=VOICES[number % 3], params=params))

    with ThreadPoolExecutor(4) as pool:
        spoken = list(pool.map(speak, enumerate(held_out)))
    listener, found = Listener(), []
    for chunks, sentence in zip(spoken, held_out, strict=True):
        said, samples = chunks[0].said, np.concatenate([chunk.samples for chunk in chunks])
        assert said is not None
        words = listener.word_times(samples, chunks[0].sample_rate, str(sentence["sentence"]))
        if len(words) == len(said.words):
            found.append((said, chunks, words))
    assert len(found) > 0.9 * len(spoken)
    return found


def estimated(said: PartText, chunks: list[AudioChunk]) -> tuple[TimedWord, ...]:
    return timed_words(said, np.concatenate([chunk.samples for chunk in chunks]), chunks[0].sample_rate)


def equal(said: PartText) -> PartText:
    """As if every word took as long."""
    return replace(said, words=tuple(replace(word, share=1 / len(said.words)) for word in said.words))


def errors(words: tuple[TimedWord, ...], truth: list[tuple[str, float, float]]) -> list[float]:
    """Of the starts of all words but the first, which needs no estimate, in seconds."""
    return [abs(word.start - start) for word, (_, start, _) in zip(words[1:], truth[1:], strict=True)]


def figures(of: list[float]) -> tuple[float, float]:
    """The median and the 95th percentile."""
    return float(np.median(of)), float(np.percentile(of, 95))


def test_the_starts_of_words_are_estimated_twice_as_well_as_by_equal_shares(
    heard: list[Heard], figure: Callable[[str, str], None]
) -> None:
    ours = [error for said, chunks, truth in heard for error in errors(estimated(said, chunks), truth)]
    plain = [error for said, chunks, truth in heard for error in errors(estimated(equal(said), chunks), truth)]
    (median, worst), (plain_median, plain_worst) = figures(ours), figures(plain)
    figure(
        f"starts of {len(ours)} words of held-out sentences, by shares of their sounds (equal shares)",
        f"median error {1000 * median:.0f} ms ({1000 * plain_median:.0f}), "
        f"95th percentile {1000 * worst:.0f} ms ({1000 * plain_worst:.0f})",
    )
    assert median < MEDIAN and worst < WORST
    assert median < 0.5 * plain_median and worst < 0.7 * plain_worst


def test_the_words_of_a_part_that_is_still_heard_are_expected(
    heard: list[Heard], figure: Callable[[str, str], None]
) -> None:
    """At each chunk, the starts of the words that it holds, of those before it known only what was heard."""
    late = []
    for said, chunks, truth in heard:
        listener, seconds = HeardPart(said, chunks[0].sample_rate), 0.0
        for chunk in chunks:
            listener.add(chunk.samples)
            words = listener.words(whole=False)
            own = [place for place, (_, start, _) in enumerate(truth) if place and seconds <= start < listener.stop]
            late += [abs(words[place].start - truth[place][1]) for place in own]
            seconds = listener.stop
    median, worst = figures(late)
    figure(
        f"starts of {len(late)} words while their part was still heard",
        f"median error {1000 * median:.0f} ms, 95th percentile {1000 * worst:.0f} ms",
    )
    assert median < 0.25


def test_a_pause_is_found_where_it_is(heard: list[Heard], figure: Callable[[str, str], None]) -> None:
    """Two sentences of a voice in one part: the second one starts where it does alone, behind the silence."""
    found = []
    for (one, first, _), (two, second, truth) in zip(heard, heard[len(VOICES) :], strict=False):
        total = one.seconds + two.seconds
        words = [replace(word, share=word.share * said.seconds / total) for said in (one, two) for word in said.words]
        both = replace(one, seconds=total, words=tuple(words))
        sound = np.concatenate([chunk.samples for chunk in (*first, *second)])
        rate, before = first[0].sample_rate, sum(len(chunk.samples) for chunk in first)
        found.append(abs(timed_words(both, sound, rate)[len(one.words)].start - before / rate - truth[0][1]))
    median, worst = figures(found)
    figure(
        f"starts of {len(found)} sentences behind a pause within a part",
        f"median error {1000 * median:.0f} ms, 95th percentile {1000 * worst:.0f} ms",
    )
    assert worst < 0.1
