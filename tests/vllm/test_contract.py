"""The suite that every engine passes (tests/engine/test_contract.py), over vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.engine.contract import SpeechEngine
from tests.engine import orders
from tests.engine.test_contract import *  # noqa: F403
from tests.vllm.conftest import started


@pytest.fixture  # type: ignore[no-redef] # in place of the one that is imported
def engine(weights: Path) -> Iterator[SpeechEngine]:
    with started(weights, orders.LIMITS) as running:
        yield running
