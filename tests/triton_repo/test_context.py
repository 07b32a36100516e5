"""What a later part is spoken in view of. Run: python -m pytest tests/triton_repo/test_context.py"""

from __future__ import annotations

import numpy as np

from context import Context, ContextLimits
from engine.types import AudioSegment, Prompt, TextSegment
from script import Part, Script
from tests.triton_repo.stage import LAYOUT, codes, part, script

WIDE = ContextLimits(4096, 4096)


def context(written: Script, limits: ContextLimits = WIDE) -> Context:
    return Context(written, 0, LAYOUT, limits)


def shown(prompt: Prompt) -> list[int]:
    """The parts in a prompt, by the one id that each has."""
    ids = [int(id) for s in prompt.segments if isinstance(s, TextSegment) for id in s.ids]
    return [id for id in ids if id >= 100]


def numbered(number: int, **changes: object) -> Part:
    return part(ids=(100 + number,), **changes)


def flat(prompt: Prompt) -> list[int]:
    rows = []
    for segment in prompt.segments:
        rows += (segment.columns[:, 0] + 1000 if isinstance(segment, AudioSegment) else segment.ids).tolist()
    return rows


def test_the_older_half_goes_at_once_so_that_prompts_begin_alike() -> None:
    speech = context(script(part(), context_parts=4))
    seen, common = [], 0
    before: list[int] = []
    for number in range(12):
        prompt = speech.prompt(numbered(number), 10)
        seen.append(shown(prompt)[:-1])
        now = flat(prompt)
        common += now[: len(before)] == before
        before = now[:-1]  # but for its own words, which are not the next one's
        speech.add(numbered(number), codes(3))
    assert seen[:5] == [[], [100], [100, 101], [100, 101, 102], [100, 101, 102, 103]]
    assert seen[5:8] == [[103, 104], [103, 104, 105], [103, 104, 105, 106]]
    assert max(map(len, seen)) == 4
    assert common >= 8, "most prompts go on where the one before ended"


def test_no_context_means_none_but_the_chosen_voice_stays() -> None:
    speech = context(script(part(), context_parts=0))
    for number in range(3):
        speech.add(numbered(number), codes(3))
    assert shown(speech.prompt(numbered(9), 10)) == [109]

    smart = context(script(part(), context_parts=0))
    for number, speaker in enumerate(["Anna", "Bob", "Anna", "Bob"]):
        smart.add(numbered(number, speaker=speaker, cloned=False), codes(3))
    assert shown(smart.prompt(numbered(9), 10)) == [100, 101, 109], "the first of each speaker is its reference"


def test_context_yields_to_the_engines_room() -> None:
    written = script(part(), context_parts=16)
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
    speech = context(script(part()), ContextLimits(max_positions=30, max_audio_positions=10))
    speech.add(numbered(0, cloned=False), codes(20))
    assert shown(speech.prompt(numbered(1), 100)) == [101]


def test_neighbouring_texts_are_one_segment() -> None:
    speech = context(script(part()))
    speech.add(numbered(0), codes(3))
    kinds = [type(segment) for segment in speech.prompt(numbered(1), 10).segments]
    assert kinds == [TextSegment, AudioSegment, TextSegment]
    assert np.array_equal(speech.prompt(numbered(1), 10).segments[-1].ids, [4, 5, 101])  # type: ignore[union-attr]
