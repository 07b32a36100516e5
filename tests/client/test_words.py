"""When words are heard: by their shares of the speech, with the silences where they are, monotonic whatever came."""

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from higgs_tts import (
    AsyncHiggsClient,
    AudioChunk,
    HeardPart,
    HiggsClient,
    PartText,
    SpeechPart,
    SpeechReport,
    TimedWord,
    Word,
    timed_words,
)
from higgs_tts.captions import captions
from higgs_tts.hearing import Hearing

from .conftest import Command
from .standin.server import StandInServer

RATE = 16000
# Mary is expected to speak for 0.2 s, and so on: a second in all.
WORDS = {"Mary,": 0.2, "come": 0.3, "to": 0.1, "me.": 0.4}


def said(words: dict[str, float] = WORDS, seconds: float = 1.0) -> PartText:
    written, told = " ".join(words), []
    for word, share in words.items():
        start = written.index(word)
        told.append(Word(word, start, start + len(word), share))
    return PartText(written, 0, len(written), seconds, tuple(told))


def sound(*lengths: float) -> np.ndarray:
    """Float32 [n], of speech (a positive number of seconds), of silence (a negative one)."""
    pieces = []
    for seconds in lengths:
        steps = np.arange(round(abs(seconds) * RATE))
        noise = 1e-3 * np.sin(steps)  # a recording's silence is none
        pieces.append(noise + (seconds > 0) * 0.4 * np.sin(0.05 * steps))
    return np.concatenate(pieces).astype(np.float32)


def times(words: tuple[TimedWord, ...]) -> list[tuple[float, float]]:
    return [(word.start, word.stop) for word in words]


def test_the_speech_is_shared_between_its_first_and_its_last_sound() -> None:
    words = timed_words(said(), sound(-0.3, 2.0, -0.5), RATE)
    assert [(word.text, word.characters) for word in words] == [
        ("Mary,", (0, 5)),
        ("come", (6, 10)),
        ("to", (11, 13)),
        ("me.", (14, 17)),
    ]
    np.testing.assert_allclose(times(words), [(0.3, 0.7), (0.7, 1.3), (1.3, 1.5), (1.5, 2.3)], atol=0.011)
    shifted = timed_words(said(), sound(-0.3, 2.0, -0.5), RATE, start=10.0)
    np.testing.assert_allclose(times(shifted), np.array(times(words)) + 10)


def test_a_silence_parts_two_words_and_corrects_both_sides() -> None:
    """Mary spoke for 0.6 s of 2, and not for the 0.4 s that her share is; the rest has its proportions."""
    words = timed_words(said(), sound(0.6, -0.3, 1.4), RATE)
    np.testing.assert_allclose(times(words), [(0, 0.6), (0.9, 1.425), (1.425, 1.6), (1.6, 2.3)], atol=0.011)


def test_a_silence_prefers_the_mark_that_asks_for_it() -> None:
    """It lies nearer to the end of "come" by the shares alone."""
    words = timed_words(said({"Mary,": 0.4, "come": 0.15, "home": 0.45}), sound(0.5, -0.3, 0.5), RATE)
    assert words[0].stop == pytest.approx(0.5, abs=0.011) and words[1].start == pytest.approx(0.8, abs=0.011)


def test_a_silence_far_from_every_end_is_within_a_word() -> None:
    words = timed_words(said({"One": 0.5, "two": 0.5}), sound(0.5, -0.2, 3.5), RATE)
    np.testing.assert_allclose(times(words), [(0, 2.2), (2.2, 4.2)], atol=0.011)


def test_a_short_silence_is_part_of_a_word() -> None:
    words = timed_words(said(), sound(0.45, -0.06, 1.49), RATE)
    np.testing.assert_allclose(times(words), times(timed_words(said(), sound(2.0), RATE)), atol=0.011)


def test_while_a_part_is_heard_its_words_are_expected_and_then_corrected() -> None:
    heard = HeardPart(said(), RATE)
    np.testing.assert_allclose(times(heard.words(whole=False)), [(0, 0.2), (0.2, 0.5), (0.5, 0.6), (0.6, 1)])
    audio, estimates = sound(-0.3, 0.3, -0.3, 1.0, -0.1), []
    for piece in np.array_split(audio, 19):  # of any length
        heard.add(piece)
        estimates.append(times(heard.words(whole=False)))
    assert all(flat == sorted(flat) for flat in (list(np.ravel(one)) for one in estimates))
    early, late = estimates[5], estimates[9]
    np.testing.assert_allclose(early[0], (0.3, 0.5), atol=0.011)  # where the sound begins is known
    np.testing.assert_allclose(late, [(0.3, 0.6), (0.9, 1.2), (1.2, 1.3), (1.3, 1.7)], atol=0.011)  # and the pause
    assert times(heard.words(whole=True)) == times(timed_words(said(), audio, RATE))
    assert heard.stop == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(
    "samples", [np.zeros(0, np.float32), np.zeros(5, np.float32), sound(-1.0), sound(0.004), np.zeros(RATE, np.float32)]
)
@pytest.mark.parametrize("words", [{}, {"One": 0.0, "two": 0.0}, {"One": 1.0}, WORDS])
@pytest.mark.parametrize("whole", [False, True])
def test_whatever_was_heard_the_times_are_in_order(samples: np.ndarray, words: dict[str, float], whole: bool) -> None:
    flat = list(np.ravel(times(timed_words(said(words), samples, RATE, whole=whole))))
    assert len(flat) == 2 * len(words) and flat == sorted(flat) and all(np.isfinite(flat))


def test_random_sounds_keep_the_order() -> None:
    chance = np.random.default_rng(4)
    for _ in range(200):
        audio = sound(*(chance.uniform(0.05, 0.6, chance.integers(1, 9)) * chance.choice([-1, 1], 1)))
        for whole in (False, True):
            flat = list(np.ravel(times(timed_words(said(), audio, RATE, whole=whole))))
            assert flat == sorted(flat)
            assert not whole or flat[-1] <= len(audio) / RATE + 0.01


def chunk(number: int, samples: np.ndarray, start: float, **more: object) -> AudioChunk:
    values = {"part": number, "finish_reason": None, "received_at": 0.0} | more
    return AudioChunk(samples, round(start * RATE), RATE, **values)


def report(*parts: tuple[float, float, str]) -> SpeechReport:
    """Of parts from a second to another, and how they ended; each is `said` behind the one before."""
    told = [
        SpeechPart(None, "", "", (20 * number, 20 * number + 17), start, stop, reason, 0)
        for number, (start, stop, reason) in enumerate(parts)
    ]
    return SpeechReport("en", "high", {}, 0, 0, tuple(told))


def told(*parts: tuple[float, float, str], arrived: float = 1e9) -> SpeechReport:
    """The report with the words of parts that sound from their start to their stop, as far as they arrived."""
    hearing, words = Hearing(), []
    for number, (start, stop, _) in enumerate(parts):
        samples = sound(1.0)[:0] if start >= arrived else sound(min(stop, arrived) - start)
        words = [replace(word, start=word.start + 20 * number, stop=word.stop + 20 * number) for word in said().words]
        part = replace(said(), words=tuple(words))
        hearing.heard(chunk(number, samples, start, said=part))
    last = hearing.heard(chunk(len(parts) - 1, sound(1.0)[:0], 0.0, finish_reason="stop", report=report(*parts)))
    assert last.report is not None
    return last.report


def test_an_interruption_is_told_in_whole_words() -> None:
    both = told((0.0, 1.0, "stop"), (2.0, 3.0, "stop"))
    seconds = [0.0, 0.05, 0.15, 0.5, 0.9, 1.5, 2.05, 2.15, 2.4, 9.0]
    assert [both.heard(second) for second in seconds] == [0, 0, 5, 10, 17, 17, 17, 25, 30, 37]


@pytest.mark.parametrize("reason", ["cancelled", "length", "runaway"])
def test_a_part_that_was_cut_has_the_words_that_were_spoken_at_the_usual_pace(reason: str) -> None:
    (part,) = told((0.0, 0.5, reason)).parts
    assert [word.text for word in part.words] == ["Mary,", "come"]
    assert part.characters == (0, 10)
    assert part.words[-1].stop == 0.5
    (part,) = told((0.0, 0.05, reason)).parts
    assert (part.words, part.characters) == ((), (0, 0))
    (part,) = told((0.0, 6.0, reason)).parts
    assert [word.stop for word in part.words] == pytest.approx([0.2, 0.5, 0.6, 1.0], abs=0.011)


def test_what_did_not_arrive_was_not_heard() -> None:
    (first, second) = told((0.0, 1.0, "stop"), (1.0, 2.0, "stop"), arrived=0.5).parts
    assert [word.text for word in first.words] == ["Mary,", "come"]
    assert second.words == () and second.characters == (20, 20)


def test_a_server_s_words_reach_both_clients(settled: StandInServer) -> None:
    text = "seconds=0.6 chunk=0.2 speakers=Anna,Bob"

    async def run() -> list[AudioChunk]:
        async with AsyncHiggsClient(settled.url) as client:
            return [one async for one in client.stream(text)]

    with HiggsClient(settled.url) as client:
        chunks = list(client.stream(text))
        speech = client.synthesize(text)
    for one in (chunks, asyncio.run(run())):
        assert [each.said and each.said.written for each in one] == ["Words 0", "Words 1", "Words 2"]
        assert one[-1].report is not None and speech.report == one[-1].report
    assert [(word.text, word.characters) for word in speech.words[2:4]] == [("Words", (10, 15)), ("1", (16, 17))]
    np.testing.assert_allclose(times(speech.words), [(0.1 * step, 0.1 * (step + 1)) for step in range(6)], atol=0.011)


def test_a_resumed_stream_tells_its_words_once(settled: StandInServer) -> None:
    text = "words seconds=1 chunk=0.1 error=CUDAFailureError error_after=4 failures=1 chunk_again=0.3"
    with HiggsClient(settled.url) as client:
        chunks = list(client.stream(text))
    assert [each.said is not None for each in chunks] == [True, *[False] * (len(chunks) - 1)]
    assert chunks[-1].report is not None
    (part,) = chunks[-1].report.parts
    assert times(part.words) == [(0.0, 0.5), (0.5, 1.0)]


def spoken(speaker: str | None, text: str, start: float) -> SpeechPart:
    """Two words a second."""
    words, place = [], 0
    for number, word in enumerate(text.split()):
        place = text.index(word, place)
        words.append(TimedWord(word, (place, place + len(word)), start + number / 2, start + (number + 1) / 2))
    return SpeechPart(speaker, text, text, (0, len(text)), start, start + len(words) / 2, "stop", 0, tuple(words))


def test_captions_are_of_two_lines_at_most() -> None:
    long = "This is a sentence that says a little more than a single line can hold, and then it goes on and on for us."
    cues = captions([spoken(None, "Hi there.", 3599.5), spoken(None, long, 3602.0)], ".srt").split("\n\n")
    assert cues[0] == "1\n00:59:59,500 --> 01:00:00,500\nHi there."
    assert cues[1].splitlines()[2:] == ["This is a sentence that says a little more", "than a single line can hold,"]
    assert cues[2].splitlines()[0] == "3" and " ".join(cues[2].splitlines()[2:]) == "and then it goes on and on for us."
    for cue in cues[:-1]:
        lines = cue.splitlines()[2:]
        assert len(lines) <= 2 and max(map(len, lines)) <= 42


def test_captions_name_who_speaks_and_cannot_be_broken_by_a_word() -> None:
    text = captions([spoken("Anna", "Go --> there.", 0.0)], ".vtt")
    assert text == "WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.500\nAnna: Go → there.\n"
    (first, *_) = json.loads(captions([spoken("Anna", "Go.", 0.0)], ".json"))
    assert first == {"text": "Go.", "characters": [0, 3], "start": 0.0, "stop": 0.5, "speaker": "Anna"}


def test_the_command_writes_captions(settled: StandInServer, command: Command, tmp_path) -> None:
    process = command("seconds=0.4 chunk=0.2 speakers=Anna,Bob", "--url", settled.url, "--captions", "out.vtt")
    assert process.wait(15) == 0
    assert (tmp_path / "out.vtt").read_text().splitlines()[2:5] == [
        "1",
        "00:00:00.000 --> 00:00:00.200",
        "Anna: Words 0",
    ]


def test_captions_of_another_kind_are_refused(command: Command) -> None:
    _, errors = (process := command("hi", "--captions", "out.txt")).communicate(timeout=15)
    assert process.returncode == 2 and b"end its name in .srt, .vtt or .json" in errors
