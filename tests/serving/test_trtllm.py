"""The lm model on its TensorRT-LLM engine inside a real Triton, with the stand-in where the bindings would be.

The model process imports a package named tensorrt_llm that a test wrote; everything else in it is what a GPU bundle
holds. It proves the way from Triton to the executor and back, not NVIDIA's part.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from higgs_tts import CUDAFailureError, HiggsClient
from safetensors.torch import load_file, save_file

from serve.triton import TritonServer
from tests.engine.trtllm.conftest import engine_config
from tests.serving.higgs import Higgs
from tests.serving.models import codes_of, one_part
from tests.serving.test_parity import GREEDY, TEXT, WINDOWS, WORDS, marked
from tools.bench.metrics import metrics

ROOT = Path(__file__).resolve().parent.parent.parent
FRAMES = 60
_PACKAGE = """
import sys
import threading
import time
from pathlib import Path

sys.path.append({root!r})  # behind the bundle's own runtime
from tests.engine.trtllm.standin.bindings import standin_bindings
from tests.engine.trtllm.standin.network import Network


def lose_the_device():
    while not Path({lost!r}).exists():
        time.sleep(0.05)
    for executor in bindings.executors:
        executor.dead = RuntimeError("CUDA error: unspecified launch failure")


bindings = standin_bindings(Network(Path({checkpoint!r})))
globals().update(vars(bindings))
threading.Thread(target=lose_the_device, daemon=True).start()
"""


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """When it exists, the executor has lost its device."""
    return tmp_path_factory.mktemp("device") / "lost"


@pytest.fixture(scope="module")
def trtllm_server(
    bundle: Path, checkpoint: Path, lost: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    directory = tmp_path_factory.mktemp("trtllm-bundle")
    copy = directory / "bundle"
    shutil.copytree(bundle, copy, copy_function=os.link)
    lm = copy / "model_repository" / "lm" / "1"
    settings = json.loads((lm / "settings.json").read_text())
    settings |= {"engine": "tensorrt-llm", "executor": {"device": "cpu"}}
    settings["limits"] |= {"max_streams": 3, "max_positions": 1024}
    (lm / "settings.json").unlink()  # a link: writing into it would change the bundle it came from
    (lm / "settings.json").write_text(json.dumps(settings))
    for name in ("text.onnx", "audio.onnx", "weights.bin"):
        (lm / "weights" / name).unlink()
    weight = load_file(checkpoint / "model.safetensors")["model.embed_audio_tokens.embed_audio_tokens.weight"]
    save_file({"weight": weight.float()}, lm / "weights" / "audio_embedding.safetensors")
    (lm / "weights" / "engine").mkdir()
    (lm / "weights" / "engine" / "config.json").write_text(json.dumps(engine_config(len(weight))))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"] = {name: entry for name, entry in manifest["files"].items() if "/lm/" not in f"/{name}"}
    (copy / "manifest.json").unlink()
    (copy / "manifest.json").write_text(json.dumps(manifest))

    package = lm / "tensorrt_llm" / "bindings"  # where the model process finds modules
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "executor.py").write_text(_PACKAGE.format(root=str(ROOT), checkpoint=str(checkpoint), lost=str(lost)))
    with TritonServer(copy) as server:
        yield server


def test_greedy_codes_out_of_triton_equal_transformers(
    trtllm_server: TritonServer, higgs: Higgs, clip: np.ndarray, figure: Callable[[str, str], None]
) -> None:
    expected = higgs.generate(FRAMES, TEXT, clip, WORDS)
    config = higgs.model.config
    ids = marked(expected.ids, expected.clip, config.audio_token_id, config.audio_delay_token_id)
    codes, reason = codes_of(trtllm_server.grpc_url, one_part(ids, GREEDY, WINDOWS, FRAMES), expected.clip)
    np.testing.assert_array_equal(codes, expected.codes)
    assert reason == "length"
    deadline = time.monotonic() + 5
    while metrics(trtllm_server.metrics_url)["higgs_frames_total"] < FRAMES and time.monotonic() < deadline:
        time.sleep(0.05)
    page = metrics(trtllm_server.metrics_url)
    assert page["higgs_frames_total"] == FRAMES and page["higgs_steps_total"] == FRAMES + 7, "warm-up does not count"
    figure("TensorRT-LLM engine in a real Triton, stand-in executor", f"{codes.shape[1]} frames x 8, all equal")


def test_the_client_hears_a_stream_and_may_leave_it(trtllm_server: TritonServer) -> None:
    with HiggsClient(trtllm_server.grpc_url) as client:
        for chunk in client.stream("One sentence that is cut off."):
            assert len(chunk.samples)
            break
        assert sum(len(chunk.samples) for chunk in client.stream("And another one.")) > 0


def test_an_executor_that_lost_its_device_ends_the_process_for_the_launcher(
    trtllm_server: TritonServer, lost: Path
) -> None:
    with HiggsClient(trtllm_server.grpc_url, resume=False) as client:
        stream = client.stream("A long enough sentence, which nobody will hear to its end.")
        next(stream)
        lost.touch()
        with pytest.raises(CUDAFailureError, match="unspecified launch failure"):
            list(stream)
    deadline = time.monotonic() + 5
    while (ailment := trtllm_server.ailment()) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ailment == "the process of model lm has ended"
