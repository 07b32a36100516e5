"""Which GPU is taken, and what is said when none will do. The lines are those nvidia-smi documents for CSV queries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serve.errors import DeviceError
from serve.gpu import GIB, choose, parse, query_gpus
from tests.serve.small import driver

TWO_H100 = """\
0, GPU-5b3a2c10-7d1e-4f6a-9c55-0a1b2c3d4e5f, NVIDIA H100 80GB HBM3, 9.0, 81559, 12044, 550.90.07
1, GPU-8c4d1e22-0f3b-4a7c-8d66-1b2c3d4e5f60, NVIDIA H100 80GB HBM3, 9.0, 81559, 81008, 550.90.07
"""
MIXED = """\
0, GPU-aaaa0000, NVIDIA L4, 8.9, 23034, 22563, 535.161.08
1, GPU-bbbb1111, NVIDIA A100-SXM4-40GB, 8.0, 40960, 40326, 535.161.08
2, GPU-cccc2222, NVIDIA L4, 8.9, 23034, 9000, 535.161.08
"""
NOWHERE: dict[str, str] = {}


def test_every_gpu_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "answer").write_text(TWO_H100)
    driver(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked; cat {tmp_path}/answer')
    first, second = query_gpus()
    assert (first.index, first.name, first.compute_capability) == (0, "NVIDIA H100 80GB HBM3", "9.0")
    assert (first.total_bytes, first.free_bytes) == (81559 * 2**20, 12044 * 2**20)
    assert second.uuid.startswith("GPU-8c4d1e22")
    asked = (tmp_path / "asked").read_text()
    assert "--query-gpu=index,uuid,name,compute_cap,memory.total,memory.free,driver_version" in asked
    assert "--format=csv,noheader,nounits" in asked


@pytest.mark.parametrize(
    "script, words",
    [
        (
            'echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; exit 9',
            "nvidia-smi failed with status 9: NVIDIA-SMI has failed because",
        ),
        ('echo "0, GPU-1, NVIDIA GB10, 12.1, [N/A], [N/A], 580.1"', "cannot be read: '0, GPU-1, NVIDIA GB10"),
        ('echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2', "status 2: Field"),
    ],
)
def test_a_driver_in_trouble_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    driver(tmp_path, monkeypatch, script)
    with pytest.raises(DeviceError, match=r"nvidia-smi") as error:
        query_gpus()
    assert words in str(error.value)


def test_no_driver_and_no_device_are_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert query_gpus() == []
    driver(tmp_path, monkeypatch, 'echo "No devices were found"; exit 6')
    assert query_gpus() == []
    with pytest.raises(DeviceError, match=r"compute capability 9\.0 is needed and this machine shows none"):
        choose([], "9.0", 0, environment=NOWHERE)


def test_the_emptiest_of_those_that_fit_is_taken() -> None:
    assert choose(parse(TWO_H100), "9.0", 40 * GIB, environment=NOWHERE)[0].index == 1
    assert choose(parse(MIXED), "8.9", 10 * GIB, environment=NOWHERE)[0].index == 0
    assert choose(parse(MIXED), "8.0", 10 * GIB, environment=NOWHERE)[0].index == 1


@pytest.mark.parametrize("device", ["0", "GPU-5b3a2c10-7d1e-4f6a-9c55-0a1b2c3d4e5f", "GPU-5b3a"])
def test_a_named_gpu_is_taken_though_another_is_emptier(device: str) -> None:
    assert choose(parse(TWO_H100), "9.0", 5 * GIB, device, NOWHERE)[0].index == 0
    assert choose(parse(TWO_H100), "9.0", 5 * GIB, environment={"CUDA_VISIBLE_DEVICES": device})[0].index == 0


def test_the_option_stands_above_the_environment() -> None:
    assert choose(parse(TWO_H100), "9.0", 5 * GIB, "0", {"CUDA_VISIBLE_DEVICES": "1"})[0].index == 0
    assert choose(parse(MIXED), "8.9", 5 * GIB, environment={"CUDA_VISIBLE_DEVICES": "1,2"})[0].index == 2


def test_several_are_taken_and_any_from_a_capability_on() -> None:
    def indices(capability: str, gib: int, count: int, device: str | None = None) -> list[int]:
        chosen = choose(parse(MIXED), capability, gib * GIB, device, NOWHERE, count)
        return [gpu.index for gpu in chosen]

    assert indices("8.9", 5, 2) == [0, 2], "the emptiest first"
    assert indices("8.0+", 5, 1) == [1] and indices("8.9+", 5, 1) == [0]
    assert indices("8.0+", 5, 3) == [1, 0, 2]
    assert indices("8.9", 5, 2, "2,0") == [0, 2]
    for capability, gib, count, device, words in (
        ("8.9", 5, 3, None, "3 GPUs of compute capability 8.9 are needed; there is GPU 0"),
        ("9.0+", 5, 1, None, "a GPU of compute capability 9.0 or more is needed; there is GPU 0"),
        ("8.9", 12, 2, None, "12.0 GiB of free GPU memory are needed on each of 2; there is GPU 0"),
        ("8.9", 5, 2, "0", "2 GPUs of compute capability 8.9 are needed; there is GPU 0"),
    ):
        with pytest.raises(DeviceError, match=re.escape(words)):
            indices(capability, gib, count, device)


@pytest.mark.parametrize(
    "capability, gib, device, visible, words",
    [
        ("9.0", 1, None, None, "compute capability 9.0 is needed; there is GPU 0 (NVIDIA L4, compute capability 8.9,"),
        ("8.9", 30, None, None, "30.0 GiB of free GPU memory are needed; there is GPU 0 (NVIDIA L4, compute"),
        ("8.9", 12, "2", None, "12.0 GiB of free GPU memory are needed; there is GPU 2 (NVIDIA L4"),
        ("8.9", 1, "7", None, "--device names GPU 7, which is not here; there is GPU 0"),
        ("8.9", 1, None, "GPU-dddd", "CUDA_VISIBLE_DEVICES names GPU GPU-dddd, which is not here"),
        ("8.9", 1, None, "", "CUDA_VISIBLE_DEVICES='' hides all 3 GPUs"),
        ("8.9", 1, None, "-1", "CUDA_VISIBLE_DEVICES='-1' hides all 3 GPUs"),
        ("8.9", 1, None, "1", "compute capability 8.9 is needed; there is GPU 1 (NVIDIA A100"),
    ],
)
def test_what_does_not_fit_is_refused_with_numbers(
    capability: str, gib: int, device: str | None, visible: str | None, words: str
) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    with pytest.raises(DeviceError) as error:
        choose(parse(MIXED), capability, gib * GIB, device, environment)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
