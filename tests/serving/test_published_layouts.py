"""Checkpoints as they are published, sharded and with every field, in both layouts: built, served and spoken.

Both hold the same weights, so they must speak the same samples.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from higgs_tts import GenerationParams, HiggsClient

from demo.make_checkpoint import CODEC_FOLDER
from serve.triton import TritonServer
from tests.conftest import built, made

pytestmark = pytest.mark.long

LAYOUTS = ("boson", "transformers")
TEXT = "The same weights under two sets of names."
SHARD_BYTES = 500_000
PARAMS = GenerationParams(seed=5, temperature=0.7, max_seconds=2.0, runaway_guard=False)


@pytest.fixture(scope="module")
def bundles(voices: Path) -> dict[str, Path]:
    found = {}
    for layout in LAYOUTS:
        checkpoint = made(f"published-{layout}", size="tiny", layout=layout, shard_bytes=SHARD_BYTES)
        assert len(list(checkpoint.glob("model-*-of-*.safetensors"))) > 2
        # As on the hub, only transformers' layout says which codec belongs to it.
        codec = ["--codec", str(checkpoint / CODEC_FOLDER)] if layout == "boson" else []
        found[layout] = built(f"bundle-of-{layout}", checkpoint, voices, *codec)
    return found


def test_both_layouts_are_served_alike_by_the_commands_users_run(bundles: dict[str, Path], tmp_path: Path) -> None:
    spoken = {}
    for layout, bundle in bundles.items():
        with TritonServer(bundle) as server:
            command = [
                sys.executable,
                "-m",
                "higgs_tts",
                TEXT,
                "--url",
                server.grpc_url,
                "-o",
                str(tmp_path / "out.wav"),
            ]
            options = ["--seed", "5", "--temperature", "0.7", "--max-seconds", "2.0", "--no-runaway-guard"]
            subprocess.run([*command, *options], check=True, capture_output=True)
            written, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
            with HiggsClient(server.grpc_url) as client, client.stream(TEXT, params=PARAMS) as stream:
                chunks = [chunk.samples for chunk in stream]
        spoken[layout] = np.concatenate(chunks)
        assert rate == 24000 and len(chunks) > 1
        np.testing.assert_allclose(written, spoken[layout], atol=1 / 32767)
        assert spoken[layout].std() > 0.01
    np.testing.assert_array_equal(spoken["boson"], spoken["transformers"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_checkpoint_does_not_say_is_served_as_the_original_does(bundles: dict[str, Path], layout: str) -> None:
    settings = json.loads((bundles[layout] / "model_repository" / "prompt" / "1" / "settings.json").read_text())
    assert (settings["options"]["ras_window"], settings["options"]["ras_max_repeats"]) == (7, 2)
