"""From a checkpoint to codes over the whole TensorRT-LLM way: what each part leaves is what the next one really reads.

The converter's files, the build's call of trtllm-build, the placing of files in the repository, the settings, the
loader, the engine, and the network definition run from the converter's weights. Stood in for are NVIDIA's parts alone:
trtllm-build by a script that writes an engine's config.json as it does, the executor, and the layers the network is
made of.
"""

from __future__ import annotations

import json
import shutil
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from build import engines, repository
from build.exports import Exports
from build.model_settings import model_settings
from build.targets import Target, load_target
from build.trtllm import NETWORK
from convert import trtllm
from convert.checkpoint import Checkpoint
from runtime.engine.loader import start_engine
from runtime.engine.trtllm.engine import TrtllmEngine
from runtime.engine.types import AUDIO_EMBEDDING, Limits
from tests.build import trtllm_standin
from tests.build.trtllm_standin import runtime
from tests.engine.trtllm.standin.bindings import standin_bindings
from tests.engine.trtllm.standin.network import KeysAndValues, Part
from tests.engine.trtllm.test_parity import TEXT, WORDS, codes, invite_visitors, order, random_prompt
from tests.serving.higgs import Higgs
from tools.bench.listening import listen

pytestmark = pytest.mark.slow

FRAMES = 40
CODEC = {"sample_rate": 24000, "hop_length": 960, "num_codebooks": 8, "context_frames": 10}
# What trtllm-build writes of its arguments (tensorrt_llm/builder.py, BuildConfig.to_dict, and plugin.py).
TRTLLM_BUILD = """#!{python}
import json, sys, pathlib
words = sys.argv[1:]
given = {{name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2])}}
output = pathlib.Path(given["output_dir"])
lengths = {{name: int(value) for name, value in given.items() if name.startswith("max_")}}
plugins = {{
    "tokens_per_block": int(given["tokens_per_block"]),
    "use_paged_context_fmha": given["use_paged_context_fmha"] == "enable",
}}
checkpoint = pathlib.Path(given["checkpoint_dir"], "config.json")
(output / "rank0.engine").write_text("engine")
(output / "config.json").write_text(json.dumps({{
    "version": "1.2.1",
    "pretrained_config": json.loads(checkpoint.read_text()),
    "build_config": lengths | {{"plugin_config": plugins}},
}}))
"""


class Sequence(KeysAndValues):
    """One request's place in the paged cache."""

    def __init__(self) -> None:
        super().__init__(0)
        self.request: runtime.Request | None = None


class CompiledNetwork:
    """build/higgs_network.py with the converter's weights, run as TensorRT-LLM's runtime runs an engine."""

    device = torch.device("cpu")

    def __init__(self, checkpoint: Path, engine: Path) -> None:
        build = json.loads((engine / "config.json").read_text())["build_config"]
        models = sys.modules["tensorrt_llm.models"]
        kind = sys.modules["tensorrt_llm.models.modeling_utils"].PretrainedConfig
        config = kind.from_json_file(checkpoint / "config.json")
        model = models.MODEL_MAP[config.architecture].from_checkpoint(str(checkpoint), config=config)
        rows = build["max_prompt_embedding_table_size"] // build["max_batch_size"]
        self._runtime = runtime.Runtime(model, build["max_batch_size"], rows, build["max_seq_len"])
        self.hidden_size, self.table_ids = config.hidden_size, config.vocab_size
        self.dtype = getattr(torch, config.dtype)

    def new_cache(self) -> Sequence:
        return Sequence()

    def step(self, parts: list[Part]) -> list[torch.Tensor]:
        requests = []
        for ids, table, cache in parts:
            assert isinstance(cache, Sequence)
            if cache.request is None:
                cache.request = runtime.Request(ids.tolist(), table)
                weakref.finalize(cache, self._runtime.finish, cache.request)
            else:
                cache.request.ids += ids.tolist()
                cache.request.table = table
                if len(ids) > 1:  # another piece of the prompt
                    cache.request.prompt_length = len(cache.request.ids)
            requests.append(cache.request)
        return list(self._runtime.step(requests))


@dataclass
class Served:
    """The engine as the lm model starts it, and what stands in under it."""

    engine: TrtllmEngine
    executor: Any
    network: CompiledNetwork


Serve = Callable[[str], Served]


@pytest.fixture
def serve(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, script in (
        ("trtllm-build", TRTLLM_BUILD.format(python=sys.executable)),
        ("nvidia-smi", "#!/bin/sh\necho 8.9\n"),
    ):
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    trtllm_standin.install(monkeypatch)
    monkeypatch.setitem(sys.modules, "models", ModuleType("models"))
    SourceFileLoader("models", str(NETWORK)).load_module()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the lm model does
    running: list[TrtllmEngine] = []

    def serve(precision: str) -> Served:
        target = replace(
            load_target("l4"),
            max_streams=4,
            max_positions=512,
            prefill_tokens_per_step=64,
            reference_max_seconds=2.0,
            prompt_audio_seconds=2.0,
        )
        exports = Exports(tmp_path / "exports", {"codec": {"config": CODEC, "silence_codes": [[]] * 8}})
        trtllm.export(Checkpoint.open(str(checkpoint)), exports.directory / "lm", "bf16", target.max_positions)
        weights = built(exports, target, tmp_path)
        converted = exports.directory / "lm"
        if precision == "fp32":
            # Nothing is compiled in float32, which NVIDIA's attention kernels do not have; but only in it codes are
            # the same to the last. So what was built for bf16 is given float32's weights and their description.
            converted = tmp_path / "fp32"
            trtllm.export(Checkpoint.open(str(checkpoint)), converted, "fp32", target.max_positions)
            shutil.copy(converted / AUDIO_EMBEDDING, weights / AUDIO_EMBEDDING)
            config = json.loads((weights / "engine" / "config.json").read_text())
            config["pretrained_config"] = json.loads((converted / "config.json").read_text())
            (weights / "engine" / "config.json").write_text(json.dumps(config))
        network = CompiledNetwork(converted, weights / "engine")
        bindings = standin_bindings(network)
        for name in ("tensorrt_llm.bindings", "tensorrt_llm.bindings.executor"):
            module = ModuleType(name)
            vars(module).update(vars(bindings))
            monkeypatch.setitem(sys.modules, name, module)
        settings = model_settings("lm", exports, target, encoder="none here")
        settings["executor"] = {"device": "cpu", "reuse_blocks": False}
        engine = start_engine(settings, weights, Limits(**settings["limits"]))
        assert isinstance(engine, TrtllmEngine)
        running.append(engine)
        return Served(engine, bindings.executors[0], network)

    yield serve
    for engine in running:
        engine.close()
    torch.set_num_threads(threads)


def built(exports: Exports, target: Target, folder: Path) -> Path:
    """Compile and place, as a build does; returns the lm model's `weights`."""
    compiled = folder / "engines" / "lm"
    compiled.mkdir(parents=True)
    engines.COMPILERS["tensorrt-llm"](exports, target, compiled)
    weights = folder / "weights"
    repository._place_language_model(exports, target, folder / "engines", weights)
    return weights


def test_codes_from_the_converted_network_definition_equal_transformers(
    serve: Serve, higgs: Higgs, clip: np.ndarray, figure: Callable[[str, str], None]
) -> None:
    """With a clip, its prompt read in pieces, among others that join and leave."""
    expected = higgs.generate(FRAMES, TEXT, clip, WORDS)
    served = serve("fp32")
    prompt = higgs.prompt(expected)
    assert len(prompt) > 64 + 4, "must take more than one step to read"
    invite_visitors(served.engine)
    actual = codes(list(listen(served.engine, order("subject", prompt, frames=FRAMES))))
    np.testing.assert_array_equal(actual, expected.codes)
    assert len({len(keys) for keys in served.executor.history}) >= 3, "the others must join and leave"
    figure("checkpoint to codes, converter + network definition + engine", f"{actual.shape[1]} frames x 8, all equal")


def test_the_longest_clip_a_target_allows_fits_the_engine_built_for_it(serve: Serve) -> None:
    """In bf16, as it is deployed: the frame table has the type the engine's prompt table has."""
    served = serve("bf16")
    longest = random_prompt(1, served.engine.description.layout, clip_frames=50)  # 2 s
    assert codes(list(listen(served.engine, order("longest", longest, frames=12)))).shape[1] == 12
    assert served.network.dtype == torch.bfloat16
