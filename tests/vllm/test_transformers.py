"""The suite of every engine against transformers (tests/engine/test_transformers.py), over vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.engine.contract import SpeechEngine
from tests.engine.test_transformers import *  # noqa: F403
from tests.vllm.conftest import started


@pytest.fixture(scope="module")  # type: ignore[no-redef] # in place of the one that is imported
def eight(weights: Path) -> Iterator[SpeechEngine]:
    with started(weights) as running:
        yield running
