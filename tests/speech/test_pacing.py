"""Who rests and who yields, from how far each stream is ahead of the codec and of its listener. Seconds of audio."""

from __future__ import annotations

from runtime.engine.types import Pace
from runtime.speech.pacing import FULL, HALF, PLENTY, SHORT, Pacing


def names(*streams: str) -> frozenset[str]:
    return frozenset(streams)


def test_a_stream_alone_runs_ahead_of_its_listener_as_fast_as_it_can() -> None:
    pacing = Pacing()
    pacing.begins("file")
    for second in range(100):
        pacing.sent("file", 10.0 * second, now=second)
        pacing.left("file", 10.0 * second, now=second)
        assert pacing.pace(now=second) == Pace()
    assert pacing.late(now=100) == 0


def test_a_stream_alone_leaves_the_machine_to_the_codec_until_it_is_first_heard_but_not_for_long() -> None:
    pacing = Pacing()
    pacing.begins("said")
    assert pacing.pace(now=1.0) == Pace()
    pacing.sent("said", 0.2, now=1.0)
    assert pacing.pace(now=1.01).resting == names("said")
    pacing.left("said", 0.2, now=1.02)
    pacing.sent("said", 0.5, now=1.03)
    assert pacing.pace(now=1.04).resting == names()

    pacing.ends("said", wanted=False)
    pacing.begins("codes only")
    pacing.sent("codes only", 0.2, now=2.0)
    assert pacing.pace(now=2.05).resting == names("codes only")
    assert pacing.pace(now=2.2).resting == names(), "the codec may never say a word"


def test_of_several_streams_none_waits_for_anothers_first_window() -> None:
    pacing = Pacing()
    for name in "ab":
        pacing.begins(name)
    pacing.sent("a", 0.2, now=1.0)
    assert pacing.pace(now=1.01).resting == names()


def test_streams_that_fill_the_codec_rest_together_until_one_has_half() -> None:
    pacing = Pacing()
    for name in "ab":
        pacing.begins(name)
        pacing.sent(name, FULL + 1, now=1)
    assert pacing.pace(now=1).resting == names("a", "b")
    pacing.left("a", 1 + FULL - HALF, now=2)
    assert pacing.pace(now=2).resting == names("a", "b"), "not for every window: a step for both costs less"
    pacing.left("a", 2 + FULL - HALF, now=3)
    assert pacing.pace(now=3).resting == names("b"), "what is still full stays"
    pacing.left("b", 2 + FULL - HALF, now=4)
    assert pacing.pace(now=4).resting == names()


def test_those_with_plenty_yield_while_somebody_has_too_little() -> None:
    pacing = Pacing()
    pacing.begins("queued"), pacing.sent("queued", PLENTY, now=0)
    pacing.begins("heard"), pacing.sent("heard", 60.0, now=0), pacing.left("heard", 60.0, now=0)
    assert pacing.pace(now=1) == Pace()
    pacing.begins("new")
    assert pacing.pace(now=1).yielding == names("queued", "heard")
    pacing.sent("new", SHORT, now=2)
    assert pacing.pace(now=2).yielding == names()
    pacing.left("new", SHORT, now=2)
    assert pacing.pace(now=2).yielding == names()
    assert pacing.pace(now=2.5).yielding == names("queued", "heard"), "its listener has heard half of it"
    pacing.ends("new", wanted=True)
    assert pacing.pace(now=2.5).yielding == names()


def test_there_is_hurry_while_somebody_who_hears_a_stream_has_little_in_store() -> None:
    pacing = Pacing()
    pacing.begins("new")
    assert not pacing.pace(now=0).hurried, "it has said nothing yet"
    pacing.sent("new", SHORT / 2, now=1)
    assert pacing.pace(now=1).hurried
    pacing.left("new", SHORT / 2, now=1), pacing.sent("new", 3.0, now=1)
    assert not pacing.pace(now=1).hurried
    pacing.left("new", 3.0, now=1)
    assert not pacing.pace(now=1.5).hurried
    assert pacing.pace(now=3.5).hurried


def test_a_listener_who_waits_makes_a_stream_late_also_when_only_the_codec_is_behind() -> None:
    pacing = Pacing()
    pacing.begins("stream")
    assert pacing.late(now=50) == 0, "it waits for a place, which is counted elsewhere"
    pacing.sent("stream", 10.0, now=50)
    assert pacing.late(now=50.5) == 0
    assert pacing.late(now=52) == 1
    pacing.left("stream", 4.0, now=52)
    assert (pacing.late(now=56), pacing.late(now=58)) == (0, 1)
    pacing.ends("stream", wanted=True)
    assert pacing.late(now=58) == 1
    pacing.left("stream", 10.0, now=58)
    assert pacing.late(now=99) == 0


def test_without_word_from_the_codec_what_was_sent_counts_as_heard() -> None:
    pacing = Pacing(hears=False)
    pacing.begins("stream")
    pacing.sent("stream", 10 * FULL, now=0)
    assert pacing.pace(now=0) == Pace()
    pacing.ends("stream", wanted=True)
    assert pacing.late(now=999) == 0


def test_a_stream_the_codec_says_nothing_of_does_not_rest_for_ever() -> None:
    pacing = Pacing()
    for stream in ("codes only", "note lost"):
        pacing.begins(stream)
        pacing.sent(stream, 2 * FULL, now=0)
    pacing.left("note lost", 1.0, now=2)
    assert pacing.pace(now=4).resting == names("codes only", "note lost")
    assert pacing.pace(now=6).resting == names("note lost")
    assert pacing.pace(now=8).resting == names()
    pacing.left("note lost", 2.0, now=9)
    assert pacing.pace(now=9).resting == names("note lost"), "the codec speaks of it again"


def test_nor_does_it_yield_for_ever_to_streams_that_come_and_go() -> None:
    pacing = Pacing()
    for stream in ("codes only", "far ahead"):
        pacing.begins(stream)
        pacing.sent(stream, 2 * PLENTY, now=0)
    pacing.sent("far ahead", 20.0, now=0), pacing.left("far ahead", 15.0, now=1)
    pacing.begins("new")
    assert pacing.pace(now=4).yielding == names("codes only", "far ahead")
    assert pacing.pace(now=6).yielding == names("far ahead")
    assert pacing.pace(now=14).yielding == names("far ahead"), "its listener has enough"
    assert pacing.pace(now=17).yielding == names()


def test_what_ended_is_forgotten_whatever_order_the_notes_come_in_and_if_they_do_not() -> None:
    pacing = Pacing()
    for stream in ("overtaken", "note lost", "codes only"):
        pacing.begins(stream)
    pacing.sent("overtaken", 1.0, now=0)
    pacing.left("overtaken", 2.0, now=1)
    pacing.sent("overtaken", 2.0, now=1)
    pacing.ends("overtaken", wanted=True)
    for stream in ("note lost", "codes only"):
        pacing.sent(stream, 10.0, now=0)
        pacing.ends(stream, wanted=True)
    pacing.left("note lost", 4.0, now=1)
    pacing.pace(now=3)
    assert pacing.late(now=7) == 2
    pacing.pace(now=200)
    assert pacing.late(now=200) == 0
