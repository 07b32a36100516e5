"""What a later part is spoken in view of."""

from __future__ import annotations

import pytest

from runtime.engine.types import AudioSegment, Prompt, TextSegment
from runtime.formats.speech_plan import PlannedPart, SpeechPlan
from runtime.speech.context import Context, ContextLimits
from tests.speech.stage import LAYOUT, PREFIXES, codes, flat, part, plan

WIDE = ContextLimits(4096, 4096)


def context(written: SpeechPlan, limits: ContextLimits = WIDE) -> Context:
    return Context(written, PREFIXES[0], LAYOUT, limits)


def shown(prompt: Prompt) -> list[int]:
    """The parts in a prompt, by the one id that each has."""
    ids = [int(id) for s in prompt.segments if isinstance(s, TextSegment) for id in s.ids]
    return [id for id in ids if id >= 100]


def numbered(number: int, **changes: object) -> PlannedPart:
    return part(ids=(100 + number,), **changes)


@pytest.mark.parametrize("context_parts", [1, 2, 3, 4, 8])
def test_a_part_sees_exactly_the_last_ones(context_parts: int) -> None:
    speech = context(plan(part(), context_parts=context_parts))
    for number in range(12):
        before = range(100 + max(0, number - context_parts), 100 + number)
        assert shown(speech.prompt(numbered(number), 10)) == [*before, 100 + number]
        speech.add(numbered(number), codes(3))


def test_an_anchor_is_one_of_the_last_parts_and_stays_when_it_no_longer_is() -> None:
    speech = context(plan(part(), context_parts=2))
    seen = []
    for number, speaker in enumerate(["Anna", "Anna", "Anna", "Anna", "Bob", "Anna", "Bob", "Anna"]):
        seen.append([id - 100 for id in shown(speech.prompt(numbered(number), 10))[:-1]])
        speech.add(numbered(number, speaker=speaker, cloned=False), codes(3))
    assert seen == [[], [0], [0, 1], [0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5], [0, 4, 5, 6]]


def test_no_context_means_none_but_the_chosen_voice_stays() -> None:
    speech = context(plan(part(), context_parts=0))
    for number in range(3):
        speech.add(numbered(number), codes(3))
    assert shown(speech.prompt(numbered(9), 10)) == [109]

    smart = context(plan(part(), context_parts=0))
    for number, speaker in enumerate(["Anna", "Bob", "Anna", "Bob"]):
        smart.add(numbered(number, speaker=speaker, cloned=False), codes(3))
    assert shown(smart.prompt(numbered(9), 10)) == [100, 101, 109], "the first of each speaker is its reference"


def test_context_yields_to_the_engines_room() -> None:
    written = plan(part(), context_parts=16)
    audio = len(codes(20)[0]) + 2 + LAYOUT.num_codebooks - 1
    limits = ContextLimits(max_positions=4096, max_audio_positions=3 * audio)
    speech = context(written, limits)
    for number in range(8):
        prompt = speech.prompt(numbered(number), 10)
        assert sum(len(s) for s in prompt.segments if isinstance(s, AudioSegment)) <= limits.max_audio_positions
        speech.add(numbered(number), codes(20))

    tight = context(written, ContextLimits(max_positions=120, max_audio_positions=4096))
    for number in range(8):
        prompt = tight.prompt(numbered(number), frames := 60)
        assert len(prompt) + frames + LAYOUT.num_codebooks <= 120
        tight.add(numbered(number, cloned=False), codes(20))


def test_a_part_that_fits_by_itself_is_always_spoken() -> None:
    speech = context(plan(part()), ContextLimits(max_positions=30, max_audio_positions=10))
    speech.add(numbered(0, cloned=False), codes(20))
    assert shown(speech.prompt(numbered(1), 100)) == [101]


def test_what_is_dropped_for_room_is_the_oldest_and_no_more_than_that() -> None:
    columns = len(codes(20)[0]) + 2 + LAYOUT.num_codebooks - 1
    speech = context(plan(part(), context_parts=16), ContextLimits(4096, max_audio_positions=3 * columns))
    for number in range(5):
        speech.add(numbered(number, cloned=number > 0), codes(20))
    assert shown(speech.prompt(numbered(9), 10)) == [100, 103, 104, 109], "the chosen voice goes last"


def test_a_prompt_is_the_prefix_and_then_words_codes_and_closing_of_each_part() -> None:
    speech = context(plan(part()))
    speech.add(numbered(0), codes(3))
    prompt = flat(speech.prompt(numbered(1), 10))
    assert prompt == [1, 2, 3, 100, 1010, 1000, 1001, 1002, 1011, 1011, 4, 5, 101]
