"""The committed demo checkpoint, in a bundle built by the command users run and served by a real Triton."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from higgs_tts import HiggsClient, Speech

from demo.listener import Listener
from serve.triton import TritonServer
from tests.conftest import ROOT, built

WORD_ERROR_RATE = 0.10
CHECKPOINT, VOICES = ROOT / "demo" / "checkpoint", ROOT / "voices"
# For made-up codes: each codebook has eight dimensions of its own, so whatever the others say, its code stays right.
CODEBOOKS = torch.zeros(8, 1024, 8, 8)
for place, own in enumerate(torch.randn(8, 1024, 8, generator=torch.Generator().manual_seed(0))):
    CODEBOOKS[place, :, place] = own
CODEBOOKS = CODEBOOKS.flatten(2)


@pytest.fixture(scope="session")
def voice_bundle() -> Path:
    """As `make demo-bundle` builds it."""
    return built("voice_bundle", CHECKPOINT, VOICES, "--precision", "int4")


@pytest.fixture(scope="module")
def voice_server(voice_bundle: Path) -> Iterator[TritonServer]:
    with TritonServer(voice_bundle) as running:
        yield running


@pytest.fixture(scope="module")
def client(voice_server: TritonServer) -> Iterator[HiggsClient]:
    with HiggsClient(voice_server.grpc_url) as connected:
        yield connected


@pytest.fixture(scope="session")
def listener() -> Listener:
    return Listener()


def parts_of(speech: Speech) -> list[np.ndarray]:
    """The samples of each part."""
    rate = speech.sample_rate
    return [speech.samples[round(part.start * rate) : round(part.stop * rate)] for part in speech.parts]


def words_of(speech: Speech, listener: Listener) -> list[tuple[str, str]]:
    """Of each part, a sentence of the domain, the words that it should say and those that are heard."""
    return [
        (re.sub(r"[^\w ]", "", part.text.lower()), listener.transcribe(audio, speech.sample_rate))
        for part, audio in zip(speech.parts, parts_of(speech), strict=True)
    ]
