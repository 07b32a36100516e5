"""Words are told with the audio in which they begin, and their times add up to it, whatever was expected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from higgs_tts import AudioChunk, PartText, SpeechPart, SpeechReport, TimedWord, Word

from gateway.alignment import Aligned, Alignment, aligned

RATE = 16_000
STEP = 0.25  # seconds of a chunk


def part(words: str, first: int = 0, seconds: float = 1.0, apart: str = " ") -> PartText:
    """Words of equal length, which stand in the given text from a character on."""
    told, place = [], first
    for word in words.split():
        told.append(Word(word, place, place + len(word), 1 / len(words.split())))
        place += len(word) + len(apart)
    return PartText(apart.join(words.split()), first, place - len(apart), seconds, tuple(told))


def chunks(number: int, said: PartText, start: float, seconds: float) -> list[AudioChunk]:
    """The part as it comes, all of it sound."""
    sound = (0.4 * np.sin(0.05 * np.arange(round(seconds * RATE)))).astype(np.float32)
    size = round(STEP * RATE)
    return [
        AudioChunk(
            sound[place : place + size], round(start * RATE) + place, RATE, None, 0.0, part=number,
            said=said if place == 0 else None,
        )
        for place in range(0, len(sound), size)
    ]  # fmt: skip


def ended(chunk: AudioChunk, said: PartText, count: int) -> AudioChunk:
    """As the stream's last one, whose report knows so many words of the last part, in the last 0.1 s."""
    seconds = np.linspace(chunk.stop - 0.1, chunk.stop, count + 1)
    words = tuple(
        TimedWord(word.text, (word.start, word.stop), start, stop)
        for word, start, stop in zip(said.words, seconds, seconds[1:], strict=False)
    )
    parts = [SpeechPart(None, "", "", (0, 0), 0.0, 0.0, "stop", 0, ()) for _ in range(chunk.part + 1)]
    report = SpeechReport("en", "high", {}, 0, 0, (*parts[1:], replace(parts[0], words=words)))
    return replace(chunk, finish_reason="stop", report=report)


def heard(stream: list[AudioChunk], speed: float = 1.0) -> list[Aligned]:
    """What is told with each chunk."""
    alignment, told = Alignment(speed), []
    for chunk in stream:
        alignment.hears(chunk)
        told.append(alignment.take())
    assert alignment.take() is None
    return [one for one in told if one is not None]


def text(told: list[Aligned]) -> list[str]:
    return ["".join(one.characters()[0]) for one in told]


def test_words_come_with_the_audio_in_which_they_begin() -> None:
    told = heard(chunks(0, part("One two three four."), 0.0, 1.0))
    assert text(told) == ["One", " two", " three", " four."]
    assert [[(word.text, word.start) for word in one.words()] for one in told] == [
        [("One", 0.0)], [("two", 0.25)], [("three", 0.5)], [("four.", 0.75)]
    ]  # fmt: skip


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("expected", [0.4, 1.0, 1.9])
def test_times_add_up_to_the_audio(speed: float, expected: float) -> None:
    """As pipecat adds the spans, and as LiveKit adds the audio, whether the voice is slower or faster than expected."""
    first = chunks(0, part("One two three.", 0, expected), 0.0, 1.1)
    second = chunks(1, said := part("Four five six.", 15, expected), 1.1, 0.9)
    told = heard([*first, *second[:-1], ended(second[-1], said, 3)], speed)
    clock = 0
    for one in told:
        assert clock == pytest.approx(1000 * one.start, abs=1)
        _, starts, lasts = one.characters()
        assert starts == sorted(starts) and starts[0] >= 0
        assert all(start + last == after for start, last, after in zip(starts, lasts, starts[1:], strict=False))
        clock += starts[-1] + lasts[-1]
        since = one.characters(0.0)[1]
        assert since[0] == pytest.approx(1000 * one.start + starts[0], abs=1)
    assert clock == 2000 / speed
    assert "".join(text(told)).split() == ["One", "two", "three.", "Four", "five", "six."]
    words = [word for one in told for word in one.words()]
    assert [word.start for word in words] == sorted(word.start for word in words)


def test_a_speech_begins_with_a_word_even_while_it_is_silent() -> None:
    """pipecat drops the spaces that a speech begins with, and their time."""
    first, *_ = chunks(0, part("One two."), 0.0, 0.5)
    (told,) = heard([replace(first, samples=np.zeros_like(first.samples))])
    assert [(word.text, word.start) for word in told.words()] == [("One", STEP)]


def test_a_faster_voice_has_its_last_words_when_the_next_part_begins() -> None:
    first, second = chunks(0, part("One two three.", 0, 3.0), 0.0, 0.5), chunks(1, part("Four.", 15), 0.5, 0.25)
    told = heard([*first, *second])
    assert text(told) == ["One", " ", "two three. Four."]
    assert [word.start for word in told[-1].words()] == [0.5] * 3


def test_a_part_that_was_cut_has_the_words_that_its_report_has() -> None:
    stream = chunks(0, said := part("One two three four.", 0, 4.0), 0.0, 0.5)
    assert text(heard([stream[0], ended(stream[1], said, 2)])) == ["One", " two "]
    alignment = Alignment(1.0)
    alignment.hears(stream[0])
    assert (told := alignment.take()) and [word.text for word in told.words()] == ["One"]  # of an interrupted one


def test_a_part_s_end_is_told_before_the_next_one() -> None:
    """For those who send each part as a file of its own."""
    alignment = Alignment(1.0)
    for chunk in chunks(0, part("One two.", 0, 9.0), 0.0, 0.5):
        alignment.hears(chunk)
        alignment.take()
    alignment.begin_part(0)
    assert alignment.take() is None
    alignment.begin_part(1)
    assert (told := alignment.take()) and text([told]) == ["two. "]


def test_characters_of_a_language_without_spaces_stay_together() -> None:
    stream = chunks(0, said := part("你 好 吗", 0, 0.75, apart=""), 0.0, 0.75)
    assert text(heard([*stream[:-1], ended(stream[-1], said, 3)])) == ["你", "好", "吗 "]


def test_a_whole_speech_is_aligned_by_its_report() -> None:
    last = ended(chunks(0, said := part("One two."), 0.0, 0.25)[0], said, 2)
    characters, starts, lasts = aligned(last, 0.5).characters()
    assert "".join(characters) == "One two. "
    assert starts[0] == 300 and starts[-1] + lasts[-1] == 500
    assert aligned(replace(last, report=None), 1.0).words() == []
