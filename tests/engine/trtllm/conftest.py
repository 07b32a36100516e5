"""The TensorRT-LLM engine over its stand-in, with transformers' own layers of the demo checkpoint underneath."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from convert import lm
from convert.checkpoint import Checkpoint
from runtime.engine.trtllm.engine import ENGINE, TrtllmEngine
from runtime.engine.trtllm.executor_config import ExecutorOptions
from runtime.engine.types import AUDIO_EMBEDDING, Limits, ModelDescription
from tests.engine.trtllm.standin.bindings import standin_bindings
from tests.engine.trtllm.standin.executor import Executor
from tests.engine.trtllm.standin.network import Network
from tests.engine.trtllm.streams import LIMITS

MAX_BATCH, ROWS = 8, 200


@pytest.fixture(scope="session")
def network(checkpoint: Path) -> Network:
    return Network(checkpoint)


@pytest.fixture(scope="session")
def trtllm_directory(checkpoint: Path, network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("trtllm"), checkpoint, network)


def written(directory: Path, checkpoint: Path, network: Network) -> Path:
    """What the TensorRT-LLM bundle's `lm` has, with the engine itself left out: only its config.json is read here."""
    lm.describe(Checkpoint.open(str(checkpoint)).config, 4096).write(directory / ModelDescription.FILE)
    save_file({"weight": network.audio_embedding.clone()}, directory / AUDIO_EMBEDDING)
    (directory / ENGINE).mkdir()
    (directory / ENGINE / "config.json").write_text(json.dumps(engine_config(network.table_ids)))
    return directory


def engine_config(vocabulary: int) -> dict[str, Any]:
    """What trtllm-build writes beside an engine, as far as it is read."""
    return {
        "version": "1.2.1",
        "pretrained_config": {"dtype": "float32", "vocab_size": vocabulary, "mapping": {"tp_size": 1}},
        "build_config": {
            "max_batch_size": MAX_BATCH,
            "max_input_len": 2048,
            "max_seq_len": 4096,
            "max_num_tokens": 2048,
            "max_prompt_embedding_table_size": MAX_BATCH * ROWS,
            "plugin_config": {"use_paged_context_fmha": True, "tokens_per_block": 16},
        },
    }


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen soon."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


Start = Callable[..., tuple[TrtllmEngine, Executor]]


@pytest.fixture
def start(network: Network, trtllm_directory: Path) -> Iterator[Start]:
    """Start an engine with these limits; returns it and the stand-in executor under it."""
    running: list[TrtllmEngine] = []

    def start(limits: Limits, options: ExecutorOptions | None = None) -> tuple[TrtllmEngine, Executor]:
        bindings = standin_bindings(network)
        options = replace(options or ExecutorOptions(), device=network.device.type)
        engine = TrtllmEngine(trtllm_directory, limits, options, bindings=bindings)
        running.append(engine)
        return engine, bindings.executors[0]

    yield start
    for engine in running:
        engine.close()


@pytest.fixture
def running(start: Start) -> tuple[TrtllmEngine, Executor]:
    return start(LIMITS)
