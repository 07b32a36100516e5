"""When a part counts as having lost its text: how long it may last, loop or be silent, and how short is too short."""

from __future__ import annotations

from runtime.formats.speech_plan import RunawayGuard
from runtime.text.duration import estimate

# A part that stops before this share of its shortest plausible duration was not spoken.
_LEAST_SHARE = 0.5
# Held notes and breaths are shorter.
_LOOP_SECONDS, _LOOP_REPEATS = 0.8, 4
_SILENCE_SECONDS = 4.0


def runaway_limits(text: str, language: str, frame_seconds: float) -> tuple[RunawayGuard, int]:
    """The guard of a part with that normalised text, and the fewest frames that count as speaking it."""
    duration = estimate(text, language)

    def frames(seconds: float) -> int:
        return max(1, round(seconds / frame_seconds))

    guard = RunawayGuard(
        max_frames=frames(duration.longest),
        loop_frames=frames(_LOOP_SECONDS),
        loop_repeats=_LOOP_REPEATS,
        silence_frames=frames(_SILENCE_SECONDS),
    )
    return guard, round(_LEAST_SHARE * duration.shortest / frame_seconds)
