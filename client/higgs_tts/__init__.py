"""Speech from a Triton server that runs the Higgs Audio V2 bundle."""

from importlib.metadata import version

from .aio import AsyncHiggsClient, AsyncSpeechSession, AsyncSpeechStream
from .audio import Reference
from .client import HiggsClient, SpeechSession, SpeechStream
from .errors import (
    AudioFormatError,
    AudioTokenizationError,
    CUDAFailureError,
    GenerationTimeoutError,
    HiggsError,
    InvalidRequestError,
    MemoryExhaustionError,
    ModelLoadingError,
    OverloadedError,
    ServerUnavailableError,
    StateError,
    StreamStalledError,
    VoiceFolderError,
)
from .params import GenerationParams
from .speech import AudioChunk, FinishReason, Speech, SpeechPart, SpeechReport
from .voices import VoiceProfile
from .words import HeardPart, PartText, TimedWord, Word, timed_words

__version__ = version("higgs-tts-client")

__all__ = [
    "AsyncHiggsClient",
    "AsyncSpeechSession",
    "AsyncSpeechStream",
    "AudioChunk",
    "AudioFormatError",
    "AudioTokenizationError",
    "CUDAFailureError",
    "FinishReason",
    "GenerationParams",
    "GenerationTimeoutError",
    "HeardPart",
    "HiggsClient",
    "HiggsError",
    "InvalidRequestError",
    "MemoryExhaustionError",
    "ModelLoadingError",
    "OverloadedError",
    "PartText",
    "Reference",
    "ServerUnavailableError",
    "Speech",
    "SpeechPart",
    "SpeechReport",
    "SpeechSession",
    "SpeechStream",
    "StateError",
    "StreamStalledError",
    "TimedWord",
    "VoiceFolderError",
    "VoiceProfile",
    "Word",
    "timed_words",
]
