"""`python -m tools.bench.arithmetic`: what a decode step must read and compute on a GPU, and the speech that allows.

No measurement: bytes and operations follow from the model's shapes, the GPUs' figures from NVIDIA's data sheets (dense,
without sparsity). A step can be no faster than the slower of the two; how near an engine comes is for a GPU to show.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from demo.codec import SAMPLE_RATE, STRIDES
from demo.sizes import CODEBOOK_SIZE, NUM_CODEBOOKS, SIZES, ModelSize
from runtime.formats.options import OPTIONS
from tools.bench.codec_work import context_frames, window_operations
from tools.bench.data_sheets import BF16, FP8, GIB, GPUS, Gpu
from tools.bench.report import table

FRAMES_PER_SECOND = SAMPLE_RATE / math.prod(STRIDES)
BATCHES = (1, 8, 32, 64)
# Of a stream half way through: a 10 s reference clip, 100 text positions, 5 s of speech.
MEAN_POSITIONS = int(15 * FRAMES_PER_SECOND) + 100
PROMPT_POSITIONS = int(10 * FRAMES_PER_SECOND) + 100
# A stream's first window and its longest ones.
FIRST_FRAMES, LONG_FRAMES = (
    round(OPTIONS[f"{name}_chunk_seconds"].default * FRAMES_PER_SECOND) for name in ("first", "max")
)
CROWD = max(BATCHES)
BEGIN, END = "<!-- python -m tools.bench.arithmetic -->", "<!-- end -->"


@dataclass(frozen=True)
class StepCost:
    """One decode step over a batch: bytes read, operations, and the seconds they take at least."""

    bytes_read: float
    operations: float

    def seconds(self, gpu: Gpu, weight_bytes: float) -> float:
        speed = gpu.bf16 if weight_bytes > FP8 else gpu.fp8 or gpu.bf16
        return max(self.bytes_read / gpu.bandwidth, self.operations / speed)


@dataclass(frozen=True)
class Weights:
    """Parameters of a model by what uses them."""

    attention: int
    ffn: int  # one of the two
    text_vocabulary: int  # embedding or head, each
    audio_head: int

    @classmethod
    def of(cls, size: ModelSize) -> Weights:
        """Of all layers together; the norms are left out, they are a ten-thousandth."""
        queries, keys = size.num_heads * size.head_dim, size.num_kv_heads * size.head_dim
        return cls(
            attention=size.num_layers * 2 * size.hidden_size * (queries + keys),
            ffn=size.num_layers * 3 * size.hidden_size * size.intermediate_size,
            text_vocabulary=size.vocab_size * size.hidden_size,
            audio_head=NUM_CODEBOOKS * CODEBOOK_SIZE * size.hidden_size,
        )

    @property
    def audio(self) -> int:
        """What a step of audio positions reads."""
        return self.attention + self.ffn + self.audio_head

    @property
    def total(self) -> int:
        """What stands in memory."""
        return self.attention + 2 * self.ffn + 2 * self.text_vocabulary + 2 * self.audio_head


def kv_bytes(size: ModelSize) -> int:
    """Of one position's keys and values, in bf16."""
    return int(2 * size.num_layers * size.num_kv_heads * size.head_dim * BF16)


def decode_step(size: ModelSize, batch: int, weight_bytes: float) -> StepCost:
    """One audio column for each of `batch` streams of MEAN_POSITIONS."""
    weights = Weights.of(size)
    attended = 4 * size.num_layers * size.num_heads * size.head_dim * MEAN_POSITIONS
    return StepCost(
        bytes_read=weights.audio * weight_bytes + batch * MEAN_POSITIONS * kv_bytes(size),
        operations=batch * (2 * weights.audio + attended),
    )


def prefill_seconds(size: ModelSize, gpu: Gpu, weight_bytes: float) -> float:
    """Reading a prompt of PROMPT_POSITIONS, text and clip, once all weights are read."""
    weights = Weights.of(size)
    operations = 2 * PROMPT_POSITIONS * (weights.attention + weights.ffn)
    return StepCost((weights.attention + 2 * weights.ffn) * weight_bytes, operations).seconds(gpu, weight_bytes)


def max_streams(size: ModelSize, gpu: Gpu, weight_bytes: float) -> int:
    """Streams whose keys and values fit beside the weights, a tenth of the memory kept free; 0 when nothing fits."""
    free = 0.9 * gpu.memory * GIB - Weights.of(size).total * weight_bytes
    return max(0, int(free / (MEAN_POSITIONS * kv_bytes(size))))


def real_time_streams(size: ModelSize, gpu: Gpu, weight_bytes: float) -> int:
    """Streams for which a step takes no longer than a frame lasts, and that fit."""
    low, high = 0, max_streams(size, gpu, weight_bytes)
    while low < high:
        middle = (low + high + 1) // 2
        fits = decode_step(size, middle, weight_bytes).seconds(gpu, weight_bytes) * FRAMES_PER_SECOND <= 1
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def host_budget(size: ModelSize, gpu: Gpu, batch: int, weight_bytes: float) -> float:
    """Seconds between a step's own time and a frame's duration: what the host may take before speech falls behind."""
    return 1 / FRAMES_PER_SECOND - decode_step(size, batch, weight_bytes).seconds(gpu, weight_bytes)


def first_columns(size: ModelSize) -> int:
    """Columns until the first window leaves: its frames, those that the codec looks ahead, and the delay's."""
    return FIRST_FRAMES + context_frames(size.codec) + NUM_CODEBOOKS


def first_audio_seconds(size: ModelSize, gpu: Gpu, batch: int, weight_bytes: float) -> float:
    """Prompt read, then as many columns as the first chunk waits for, in a batch of that many streams."""
    step = decode_step(size, batch, weight_bytes).seconds(gpu, weight_bytes)
    return prefill_seconds(size, gpu, weight_bytes) + first_columns(size) * step


def codec_seconds(size: ModelSize, gpu: Gpu, windows: int, frames: int) -> float:
    """To decode so many windows of so many frames in float32; what the layers read and write is not counted."""
    return windows * window_operations(size.codec, frames) / gpu.fp32


def step_rows(size: ModelSize) -> list[tuple[str, ...]]:
    """What a step reads and computes on any GPU, by the number of streams."""
    rows = []
    for batch in BATCHES:
        steps = [decode_step(size, batch, weight_bytes) for weight_bytes in (BF16, FP8)]
        read = [f"{step.bytes_read / 1e9:.2f} GB" for step in steps]
        rows.append((f"{batch}", *read, f"{steps[0].operations / 1e9:,.0f} G"))
    return rows


def codec_table(size: ModelSize) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A frame of each of CROWD streams, in the longest windows, beside the step that gave it."""
    rows = []
    for gpu in GPUS:
        codec = CROWD * codec_seconds(size, gpu, 1, LONG_FRAMES) / LONG_FRAMES
        kinds = (BF16, FP8) if gpu.fp8 else (BF16,)
        shares = [f"{codec / decode_step(size, CROWD, kind).seconds(gpu, kind):.0%}" for kind in kinds]
        frame = f"{codec * FRAMES_PER_SECOND:.1%}"
        rows.append((gpu.name, f"{1000 * codec:.2f} ms", *[*shares, ""][:2], frame))
    return ("GPU", f"codec, {CROWD} frames", "of a step, bf16", "of a step, fp8", "of a frame's time"), rows


def first_sound_table(size: ModelSize) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """What a newcomer waits for among CROWD streams, bf16, stage by stage."""
    columns, rows = first_columns(size), []
    for gpu in GPUS:
        stages = (
            prefill_seconds(size, gpu, BF16),
            columns * decode_step(size, CROWD, BF16).seconds(gpu, BF16),
            codec_seconds(size, gpu, gpu.windows, LONG_FRAMES),
            codec_seconds(size, gpu, 1, FIRST_FRAMES),
        )
        rows.append((gpu.name, *(f"{1000 * stage:.1f} ms" for stage in (*stages, sum(stages)))))
    return ("GPU", "prompt", f"{columns} columns", "behind a batch", "first window", "together"), rows


def tables(size: ModelSize) -> str:
    """Everything as Markdown."""
    weights, position = Weights.of(size), kv_bytes(size)
    parts = [
        f"A decode step reads {weights.audio * BF16 / 1e9:.2f} GB of weights in bf16 ({weights.audio / 1e6:,.0f} M "
        f"parameters: attention {weights.attention / 1e6:,.0f} M, audio FFN {weights.ffn / 1e6:,.0f} M, audio head "
        f"{weights.audio_head / 1e6:,.0f} M) and, for each stream, {MEAN_POSITIONS * position / 1e6:.0f} MB of keys "
        f"and values ({MEAN_POSITIONS} positions of {position / 1024:.0f} KiB). Both FFNs and the text head would make "
        f"it {(weights.audio + weights.ffn + weights.text_vocabulary) * BF16 / 1e9:.2f} GB.",
        "**A step**\n\n" + table(("streams", "read, bf16", "read, fp8 weights", "operations"), step_rows(size)),
    ]
    for name, weight_bytes in (("bf16", BF16), ("fp8", FP8)):
        rows: list[tuple[str, ...]] = []
        for gpu in GPUS:
            if weight_bytes == FP8 and gpu.fp8 is None:
                continue
            for batch in BATCHES:
                step = decode_step(size, batch, weight_bytes).seconds(gpu, weight_bytes)
                fits = batch <= max_streams(size, gpu, weight_bytes)
                rows.append(
                    (
                        gpu.name,
                        f"{batch}",
                        f"{1000 * step:.2f} ms" if fits else "does not fit",
                        f"{step * FRAMES_PER_SECOND:.3f}" if fits else "",
                        f"{batch / (step * FRAMES_PER_SECOND):.0f}" if fits else "",
                        f"{1000 * first_audio_seconds(size, gpu, batch, weight_bytes):.0f} ms" if fits else "",
                        f"{1000 * host_budget(size, gpu, batch, weight_bytes):.1f} ms" if fits else "",
                    )
                )
        header = ("GPU", "streams", "step", "RTF", "audio s/s", "first audio", "left for the host")
        parts.append(f"**{name} weights**\n\n" + table(header, rows))
    streams = [
        (
            gpu.name,
            *(f"{max_streams(size, gpu, kind)}" for kind in (BF16, FP8)),
            *(f"{real_time_streams(size, gpu, kind)}" for kind in (BF16, FP8)),
        )
        for gpu in GPUS
    ]
    parts.append("**The codec**\n\n" + table(*codec_table(size)))
    parts.append("**First sound**\n\n" + table(*first_sound_table(size)))
    kinds = ("GPU", "fit, bf16", "fit, fp8 weights", "in real time, bf16", "in real time, fp8")
    parts.append("**Streams**\n\n" + table(kinds, streams))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.arithmetic", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the tables into this page, between its marks")
    options = parser.parse_args()
    text = tables(SIZES["true"])
    print(text)
    if options.out:
        before, _, rest = options.out.read_text().partition(BEGIN)
        options.out.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
