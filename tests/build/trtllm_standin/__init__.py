"""`tensorrt_llm` for the CPU: torch behind exactly those of its functions and layers that build/higgs_network.py uses.

What the network definition calls is executed at once, on the values fed to the network's inputs, instead of being
recorded and compiled. Names, argument names and the rules TensorRT enforces while a network is built (types that agree,
ranks, parameters that a checkpoint must bring) are TensorRT-LLM's; `signatures.json` holds the argument names as its
sources have them, and a test compares. It proves wiring, names, shapes and arithmetic, and nothing of NVIDIA's kernels.
"""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from tests.build.trtllm_standin import attention, functional, layers, models, module, network

# Module of TensorRT-LLM -> what it offers here. Anything else fails as it would if NVIDIA had removed it.
MODULES: dict[str, dict[str, object]] = {
    "_common": {"default_net": network.default_net},
    "functional": {name: getattr(functional, name) for name in functional.OFFERED},
    "layers": {
        **{name: getattr(layers, name) for name in ("ColumnLinear", "Embedding", "RmsNorm")},
        **{name: getattr(attention, name) for name in ("Attention", "AttentionMaskType", "KeyValueCacheParams")},
    },
    "layers.moe": {"MixtureOfExperts": layers.MixtureOfExperts, "MoeConfig": layers.MoeConfig},
    "models": {"MODEL_MAP": models.MODEL_MAP},
    "models.modeling_utils": {
        "DecoderModelForCausalLM": models.DecoderModelForCausalLM,
        "PretrainedConfig": models.PretrainedConfig,
    },
    "module": {"Module": module.Module, "ModuleList": module.ModuleList},
}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `import tensorrt_llm` find the stand-in until the fixture ends, with no model of ours registered yet."""
    root = ModuleType("tensorrt_llm")
    found = {"": root}
    for path, contents in MODULES.items():
        parent, _, name = path.rpartition(".")
        found[path] = ModuleType(f"tensorrt_llm.{path}")
        vars(found[path]).update(contents)
        setattr(found[parent], name, found[path])
    monkeypatch.setattr(models, "MODEL_MAP", models.MODEL_MAP)
    models.MODEL_MAP.clear()
    for path, found_module in found.items():
        monkeypatch.setitem(sys.modules, f"tensorrt_llm.{path}".rstrip("."), found_module)
