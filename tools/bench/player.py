"""What a listener's player makes of a stream's chunks: it starts with the first and never stops by itself."""

from __future__ import annotations

from collections.abc import Sequence

from higgs_tts import AudioChunk


def starved_seconds(chunks: Sequence[AudioChunk]) -> float:
    """How long it had nothing to play between the first sample and the last."""
    starved, played_until = 0.0, None
    for chunk in chunks:
        if not len(chunk.samples):
            continue
        if played_until is None:
            played_until = chunk.received_at
        starved += max(0.0, chunk.received_at - played_until)
        played_until = max(played_until, chunk.received_at) + len(chunk.samples) / chunk.sample_rate
    return starved
