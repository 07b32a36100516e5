"""A fallback bundle serves while no GPU will do, when the operator says so, and no longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serve.launching import MARK, answers, command, read_until, stubs, wait_for
from tests.serve.small import driver, make_bundle, write_manifest

H100 = "0, GPU-1f, NVIDIA H100 80GB HBM3, 9.0, 81559, 81008, 550.90.07"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "cpu")


def test_a_gpu_bundle_falls_back_only_when_told_to(bundle: Path, tmp_path: Path) -> None:
    gpu = make_bundle(tmp_path / "h100")
    write_manifest(gpu, {"target": "h100"}, gpu_architecture="sm10")  # which no GPU has
    with command(gpu) as (process, _):
        out, _ = process.communicate(timeout=10)
        assert process.returncode == 1
        assert out.startswith("serve: the h100 bundle cannot be served here: a GPU of compute capability 1.0 is needed")
        assert out.count("\n") == 1
    for fallback in ("cpu", str(bundle)):
        with command(gpu, "--fallback", fallback) as (process, ports):
            said = read_until(process.stdout, "as --fallback says")
            assert "the h100 bundle cannot be served here" in said
            read_until(process.stdout, "ready:")
            assert answers(f"127.0.0.1:{ports.http}")
            process.terminate()
            assert process.wait(10) == 0
    with command(gpu, "--fallback", "no-such-bundle") as (process, _):
        out, _ = process.communicate(timeout=10)
        assert process.returncode == 1
        assert "no-such-bundle is not a bundle" in out


def test_a_broken_bundle_is_no_reason_to_fall_back(bundle: Path, tmp_path: Path) -> None:
    broken = make_bundle(tmp_path / "bundle")
    (broken / "model_repository" / "echo" / "1" / "model.py").unlink()
    with command(broken, "--fallback", str(bundle)) as (process, _):
        out, _ = process.communicate(timeout=10)
        assert process.returncode == 1
        assert "model.py is missing" in out


def test_a_gpu_that_fails_is_replaced_by_the_fallback_until_it_is_back(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU bundle is one that runs here; only nvidia-smi knows whether there is a GPU."""
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpu = make_bundle(tmp_path / "h100")
    write_manifest(gpu, {"target": "h100"}, gpu_architecture="sm90")
    (tmp_path / "gpus").write_text(H100)
    driver(tmp_path, monkeypatch, f"cat {tmp_path}/gpus")
    with command(gpu, "--fallback", "cpu", "--back", "2", seconds=60) as (process, ports):
        assert "H100" in read_until(process.stdout, "on GPU 0")
        read_until(process.stdout, "speak:")
        for _ in range(2):
            (stub,) = stubs()
            (tmp_path / "gpus").write_text("")
            stub.kill()
            said = read_until(process.stdout, "as --fallback says")
            assert "this machine shows none" in said
            assert f"serving {bundle} instead" in said
            read_until(process.stdout, "ready again")
            assert answers(f"127.0.0.1:{ports.http}")
            (tmp_path / "gpus").write_text(H100)
            assert f"there is a GPU for {gpu} again" in read_until(process.stdout, "going back")
            read_until(process.stdout, "ready again")
            assert answers(f"127.0.0.1:{ports.http}")
        process.terminate()
        assert process.wait(10) == 0
    wait_for(lambda: not stubs(), 1)


def test_a_bundle_that_ran_on_a_gpu_and_no_longer_loads_is_replaced_too(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    broken = tmp_path / "broken"
    gpu = make_bundle(
        tmp_path / "h100", f"import os; assert not os.path.exists({str(broken)!r}), 'CUDA error: unspecified'"
    )
    write_manifest(gpu, gpu_architecture="sm90")
    driver(tmp_path, monkeypatch, f"echo '{H100}'")
    with command(gpu, "--fallback", "cpu", "--back", "1", seconds=60) as (process, ports):
        read_until(process.stdout, "speak:")
        (stub,) = stubs()
        broken.touch()
        stub.kill()
        assert "CUDA error: unspecified" in read_until(process.stdout, "as --fallback says")
        read_until(process.stdout, "ready again")
        assert answers(f"127.0.0.1:{ports.http}")
        read_until(process.stdout, "going back")
        read_until(process.stdout, "as --fallback says")
        read_until(process.stdout, "ready again")
        assert answers(f"127.0.0.1:{ports.http}"), "the card is listed and does not work"
