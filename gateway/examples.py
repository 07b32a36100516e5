"""Requests for speech that `/docs` shows. Tests speak each of them."""

from __future__ import annotations

from fastapi.openapi.models import Example

EXAMPLES: dict[str, Example] = {
    "sentence": {
        "summary": "A sentence, as OpenAI's clients ask for it",
        "value": {"model": "tts-1", "input": "The speech is streamed out of Triton.", "voice": "alloy"},
    },
    "dialogue": {
        "summary": "A dialogue, with a voice for each speaker",
        "value": {
            "input": "Anna: How are you today?\nJohn: Thank you very much, Anna.",
            "speakers": {"Anna": "feminine", "John": "masculine"},
            "response_format": "opus",
        },
    },
    "scene": {
        "summary": "A scene, a preset and a seed: the same request gives the same audio",
        "value": {
            "input": "Good morning. Today it will be sunny.",
            "voice": "onyx",
            "instructions": "A quiet room. The speaker is cheerful.",
            "preset": "high_quality",
            "seed": 7,
            "response_format": "wav",
        },
    },
    "events": {
        "summary": "Server-sent events, which say who speaks when",
        "value": {
            "input": "Dinner is at seven in the evening.",
            "response_format": "pcm",
            "sample_rate": 16000,
            "speed": 1.25,
            "stream_format": "sse",
        },
    },
    "whole": {
        "summary": "One answer with its length, and the report in its headers",
        "value": {"input": "The code is four seven nine.", "stream": False, "response_format": "mp3"},
    },
}
