"""What NVIDIA's data sheets say of the cards that targets are for: dense, without sparsity."""

from __future__ import annotations

from dataclasses import dataclass

from build.targets import load_target

GIB = 2**30
BF16, FP8 = 2.0, 1.0  # bytes of a weight


@dataclass(frozen=True)
class Gpu:
    """Memory in GiB, bandwidth in bytes a second; operations a second in bf16, in fp8 (None: not in hardware), and in
    float32 outside the tensor cores."""

    name: str
    target: str
    memory: float
    bandwidth: float
    bf16: float
    fp8: float | None
    fp32: float

    @property
    def windows(self) -> int:
        """What the target's codec decodes at once."""
        return load_target(self.target).max_decode_batch


GPUS = (
    Gpu("L4", "l4", 24, 300e9, 121e12, 242e12, 30.3e12),
    Gpu("L40S", "l40s", 48, 864e9, 362e12, 733e12, 91.6e12),
    Gpu("A100 80 GB", "a100", 80, 2039e9, 312e12, None, 19.5e12),
    Gpu("H100 SXM", "h100", 80, 3350e9, 989e12, 1979e12, 67e12),
    Gpu("RTX 4090", "rtx4090", 24, 1008e9, 165e12, 330e12, 82.6e12),
)
