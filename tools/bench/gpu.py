"""`python -m tools.bench.gpu`: what a card does in a step, beside what the arithmetic says, with PyTorch alone.

Three parts of the true size, random weights: the callback that chooses the next columns, a decode step of the language
model in bfloat16 (a CUDA graph of cuBLAS and PyTorch's attention, as it is and by torch.compile: what an engine should
not be slower than), and the codec's decoder. TensorRT and TensorRT-LLM take no part.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from convert.codec_decoder import Decoder
from demo.codec import build_codec
from demo.sizes import CODEBOOK_SIZE, NUM_CODEBOOKS, SIZES, TRUE_CODEC, ModelSize
from runtime.engine.sampler import Sampler
from runtime.engine.sampler_state import SamplerState
from runtime.engine.trtllm.code_transfer import CodeTransfer, Transfer
from runtime.engine.trtllm.column_step import ColumnStep, cuda_graph_recorder
from runtime.engine.trtllm.frame_table import FrameTable, end_id, table_ids
from runtime.engine.trtllm.step_callback import SpokenStream, StepCallback
from runtime.engine.types import MAX_RAS_WINDOW, CodebookLayout, SamplingParameters
from tools.bench import report
from tools.bench.arithmetic import BATCHES, MEAN_POSITIONS, decode_step
from tools.bench.data_sheets import BF16, GPUS

CARD = torch.device("cuda")
LAYOUT = CodebookLayout(NUM_CODEBOOKS, CODEBOOK_SIZE, stream_bos_id=CODEBOOK_SIZE - 2, stream_eos_id=CODEBOOK_SIZE - 1)
SAMPLING = SamplingParameters(temperature=1.0, top_k=50, top_p=0.95, ras_window=7, ras_max_repeats=2, seed=3)
ROWS = 1500
TIMES = 50
WINDOWS = (30, 70)  # a first window: 10 frames and both contexts; a later one: 50
DECODER_BATCHES = (1, 4, 16)


def milliseconds(run: Callable[[], object], times: int = TIMES) -> tuple[float, float]:
    """(on the card, on the host) of one call, in the mean of `times` after a few to warm up."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    started = time.perf_counter()
    for _ in range(times):
        run()
    host = (time.perf_counter() - started) * 1000 / times
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / times, host


class DecodeStep(nn.Module):
    """One audio position of each stream through every layer, over caches that hold MEAN_POSITIONS."""

    def __init__(self, size: ModelSize, streams: int) -> None:
        super().__init__()
        self._size = size
        heads = size.num_heads + 2 * size.num_kv_heads

        def weights(rows: int, columns: int) -> torch.Tensor:
            return torch.randn(rows, columns, dtype=torch.bfloat16, device=CARD) * 0.02

        self._layers = [
            (
                weights(heads * size.head_dim, size.hidden_size),
                weights(size.hidden_size, size.num_heads * size.head_dim),
                weights(2 * size.intermediate_size, size.hidden_size),
                weights(size.hidden_size, size.intermediate_size),
            )
            for _ in range(size.num_layers)
        ]
        self._head = weights(NUM_CODEBOOKS * CODEBOOK_SIZE, size.hidden_size)
        self._norm = torch.ones(size.hidden_size, dtype=torch.bfloat16, device=CARD)
        shape = (size.num_layers, 2, streams, size.num_kv_heads, MEAN_POSITIONS, size.head_dim)
        self._cache = torch.randn(shape, dtype=torch.bfloat16, device=CARD)
        self.hidden = torch.randn(streams, size.hidden_size, dtype=torch.bfloat16, device=CARD)
        angles = torch.rand(streams, 1, 1, size.head_dim // 2, device=CARD)
        self._cosine, self._sine = angles.cos().bfloat16(), angles.sin().bfloat16()

    def forward(self, layer: Callable[..., torch.Tensor]) -> torch.Tensor:
        """float32 logits [streams, codebooks * codes], with `layer` to run each of them: `self.layer`, or compiled."""
        residual = self.hidden
        for weights, (keys, values) in zip(self._layers, self._cache, strict=True):
            residual = layer(residual, keys, values, *weights)
        return functional.linear(self._normed(residual), self._head).float()

    def layer(
        self,
        residual: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        qkv: torch.Tensor,
        out: torch.Tensor,
        gate_up: torch.Tensor,
        down: torch.Tensor,
    ) -> torch.Tensor:
        """hidden [streams, hidden_size], keys and values [streams, heads, positions, head_dim] -> hidden"""
        size, streams, kv = self._size, len(residual), self._size.num_kv_heads
        split = functional.linear(self._normed(residual), qkv)
        queries, key, value = split.view(streams, 1, -1, size.head_dim).split([size.num_heads, kv, kv], dim=2)
        keys[:, :, -1:] = self._rotated(key).transpose(1, 2)
        values[:, :, -1:] = value.transpose(1, 2)
        attended = functional.scaled_dot_product_attention(
            self._rotated(queries).transpose(1, 2), keys, values, enable_gqa=True
        )
        residual = residual + functional.linear(attended.reshape(streams, -1), out)
        gate, up = functional.linear(self._normed(residual), gate_up).chunk(2, dim=-1)
        return residual + functional.linear(functional.silu(gate) * up, down)

    def _normed(self, hidden: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(hidden, (self._size.hidden_size,), self._norm)

    def _rotated(self, heads: torch.Tensor) -> torch.Tensor:
        first, second = heads.chunk(2, dim=-1)
        return torch.cat([first * self._cosine - second * self._sine, second * self._cosine + first * self._sine], -1)


class Speaking:
    """The executor's callback with as many sampling streams as there can be, and logits as the executor hands them."""

    def __init__(self, size: ModelSize, record: bool) -> None:
        count = max(BATCHES)
        embedding = torch.randn(table_ids(LAYOUT), size.hidden_size, dtype=torch.bfloat16, device=CARD)
        table = FrameTable(embedding, LAYOUT, count, ROWS, count + 1)
        state = SamplerState(count + 1, LAYOUT, MAX_RAS_WINDOW, CARD)
        step = ColumnStep(LAYOUT, Sampler(LAYOUT, CARD, asynchronous=True), state, table, CARD)
        if record:
            step.record(cuda_graph_recorder())
        self.under_way: list[Transfer] = []
        transfer = CodeTransfer(count + 1, NUM_CODEBOOKS, CARD, ready=2 * TIMES)
        streams = {
            key: SpokenStream(key=key, sampling=SAMPLING, tail=None, place=key, reference_rows=0)
            for key in range(count)
        }
        self._callback = StepCallback(
            streams, step, end_id(LAYOUT), transfer, CARD, lambda _, codes: self.under_way.append(codes), raise_it
        )
        self._logits = torch.randn(count, 1, table_ids(LAYOUT), device=CARD)

    def step(self, streams: int) -> None:
        """One call for the first of them."""
        keys = list(range(streams))
        views = list(self._logits[:streams].split(1))
        self._callback(keys, views, [], torch.cuda.current_stream().cuda_stream, keys)


def raise_it(_: object, error: Exception) -> None:
    """A stream that fails ends the measurement."""
    raise error


@torch.inference_mode()
def callback_rows(size: ModelSize) -> list[list[str]]:
    """Streams, milliseconds launched one by one (card, host), recorded (card, host)."""
    rows = []
    both = [Speaking(size, record) for record in (False, True)]
    for streams in BATCHES:
        times: list[float] = []
        for speaking in both:
            times += milliseconds(partial(speaking.step, streams))
            while speaking.under_way:
                speaking.under_way.pop().wait()
        rows.append([str(streams), *(f"{one:.3f}" for one in times)])
    return rows


@torch.inference_mode()
def language_model_rows(size: ModelSize) -> list[list[str]]:
    """Streams, milliseconds of a step as it is and compiled, the arithmetic's bound for this card, the best's ratio."""
    name = torch.cuda.get_device_name()
    card = next((gpu for gpu in GPUS if gpu.name.split()[0] in name), None)
    rows = []
    for streams in BATCHES:
        step = DecodeStep(size, streams)
        layers = (step.layer, torch.compile(step.layer, dynamic=False))
        taken = [milliseconds(cuda_graph_recorder()(partial(step, layer)))[0] for layer in layers]
        bound = decode_step(size, streams, BF16).seconds(card, BF16) * 1000 if card else None
        known = [f"{bound:.2f}", f"{min(taken) / bound:.2f}"] if bound else ["–", "–"]
        rows.append([str(streams), *(f"{one:.2f}" for one in taken), *known])
    return rows


@torch.inference_mode()
def decoder_rows() -> list[list[str]]:
    """Windows, frames of each; of float32, TF32 and bfloat16 the milliseconds, of the last two the error."""
    single = Decoder(build_codec(TRUE_CODEC, seed=0)).eval().to(CARD)
    half = Decoder(build_codec(TRUE_CODEC, seed=0)).eval().to(CARD, torch.bfloat16)
    rows = []
    for frames in WINDOWS:
        for batch in DECODER_BATCHES:
            codes = torch.randint(0, CODEBOOK_SIZE - 2, (batch, NUM_CODEBOOKS, frames), device=CARD, dtype=torch.int32)
            times, audio = [], []
            for network, tf32 in ((single, False), (single, True), (half, False)):
                torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
                audio.append(network(codes).float())
                times.append(milliseconds(cuda_graph_recorder()(partial(network, codes)), 20)[0])
            errors = [(other - audio[0]).std() / audio[0].std() for other in audio[1:]]
            rows.append([str(batch), str(frames), *(f"{one:.2f}" for one in times), *(f"{one:.1e}" for one in errors)])
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return rows


def main() -> None:
    """Measure all three parts and print a table each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where results.json goes")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        parser.exit(1, "PyTorch sees no GPU here; it needs a card, its driver and a PyTorch with CUDA\n")
    size = SIZES["true"]
    tables = {
        "callback": (
            ["streams", "launched, card ms", "host ms", "recorded, card ms", "host ms"],
            callback_rows(size),
        ),
        "decode step": (["streams", "as it is, ms", "compiled, ms", "bound, ms", "ratio"], language_model_rows(size)),
        "codec's decoder": (
            ["windows", "frames", "float32, ms", "TF32, ms", "bfloat16, ms", "TF32's error, std", "bfloat16's"],
            decoder_rows(),
        ),
    }
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    for name, (header, rows) in tables.items():
        print(f"\n**{name}**\n\n{report.table(header, rows)}")
    report.write(arguments.out, "gpu", {name: [header, *rows] for name, (header, rows) in tables.items()})


if __name__ == "__main__":
    main()
