"""Makes a checkpoint with random weights in exactly the files and names of the real one.

    python -m demo.make_checkpoint OUT [--size tiny|demo|bench|large|true] [--layout transformers|boson]

The language model is in OUT, its codec in OUT/audio_tokenizer; like the real one, Boson's layout does not name the
codec. The same arguments always give the same files.
"""

import argparse
from pathlib import Path

from demo.codec import write_codec
from demo.language_model import MAX_POSITIONS, write_language_model
from demo.sizes import SIZES
from demo.tokenizer import build_tokenizer, write_boson_text_side, write_text_side

CODEC_FOLDER = "audio_tokenizer"
EOS_RATE = 1 / 150  # a clip of 6 s on average
SHARD_BYTES = 5_000_000_000


def make_checkpoint(
    directory: Path,
    size: str = "demo",
    seed: int = 0,
    layout: str = "transformers",
    eos_rate: float = EOS_RATE,
    dtype: str = "bfloat16",
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes the checkpoint into `directory`, which is created.

    `layout` is transformers or boson; `eos_rate` the chance of EOS per frame at temperature 1, 0 for a model that
    never ends by itself; `dtype` that of the language model, bfloat16 as in the real one or float32.
    """
    model_size = SIZES[size]
    codec_directory = directory / CODEC_FOLDER
    codec_directory.mkdir(parents=True, exist_ok=True)
    write_language_model(directory, model_size, seed, layout, eos_rate, dtype, shard_bytes)
    tokenizer = build_tokenizer(model_size.vocab_size)
    if layout == "boson":
        write_boson_text_side(directory, tokenizer)
    else:
        write_text_side(directory, str(codec_directory.resolve()), tokenizer, MAX_POSITIONS)
    write_codec(codec_directory, model_size.codec, seed, layout)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a Higgs Audio V2 checkpoint with random weights.")
    parser.add_argument("out", type=Path, help="folder to write into")
    parser.add_argument("--size", choices=SIZES, default="demo", help="true: the real shapes, 11.5 GB")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layout", choices=("transformers", "boson"), default="transformers")
    parser.add_argument("--eos-rate", type=float, default=EOS_RATE, help="chance of the end per frame, 0: never")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--shard-size", type=int, default=SHARD_BYTES, help="largest size of a weight file in bytes")
    arguments = parser.parse_args()
    if not 0 <= arguments.eos_rate < 1:
        parser.error(f"--eos-rate is {arguments.eos_rate}; a chance lies in [0, 1).")
    make_checkpoint(
        arguments.out,
        size=arguments.size,
        seed=arguments.seed,
        layout=arguments.layout,
        eos_rate=arguments.eos_rate,
        dtype=arguments.dtype,
        shard_bytes=arguments.shard_size,
    )


if __name__ == "__main__":
    main()
