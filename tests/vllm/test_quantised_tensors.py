"""The formats as the converter and its tests read and write them, beside vLLM's and compressed-tensors' own code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from convert.json_values import JsonValues
from convert.quantised import Quantisation
from convert.quantised_forms import Form
from tests.quantised_checkpoints import KINDS, Kind, grouped

OUTPUTS, INPUTS = 96, 64
COMPRESSED = [name for name, kind in KINDS.items() if "config_groups" in kind.config]


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.randn(OUTPUTS, INPUTS, generator=torch.Generator().manual_seed(0))


def form(kind: Kind) -> Form:
    return Quantisation.read(JsonValues(Path("config.json"), kind.config)).groups[0].form


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_tensors_reads_the_same_values(name: str, weight: torch.Tensor) -> None:
    from compressed_tensors.compressors import BaseCompressor  # noqa: PLC0415
    from compressed_tensors.quantization import QuantizationScheme  # noqa: PLC0415

    kind = KINDS[name]
    parts, _ = kind.store(weight)
    compressor = BaseCompressor.get_value_from_registry(kind.config["format"])
    scheme = QuantizationScheme.model_validate(kind.config["config_groups"]["group_0"])
    # Its int8 and e4m3 are multiplied in the scale's type, ours in float32.
    theirs = compressor.decompress({end: part.clone() for end, part in parts.items()}, scheme)["weight"]
    torch.testing.assert_close(form(kind).values(parts), theirs.float(), rtol=2**-8, atol=0)


@pytest.mark.parametrize(("name", "bits"), [("awq", 4), ("gptq of 4 bits", 4), ("gptq of 8 bits", 8)])
def test_vllm_packs_the_same_words(name: str, bits: int, weight: torch.Tensor) -> None:
    from vllm.model_executor.layers.quantization.utils import quant_utils  # noqa: PLC0415

    kind = KINDS[name]
    parts, values = kind.store(weight)
    numbers, _, _, _ = grouped(weight, bits, symmetric=name != "awq")
    pack = quant_utils.awq_pack if name == "awq" else quant_utils.gptq_pack
    assert torch.equal(parts["qweight"], pack(numbers, bits, INPUTS, OUTPUTS))
    torch.testing.assert_close(form(kind).values(parts), values, rtol=0, atol=0)
