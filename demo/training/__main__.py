"""`python -m demo.training`: the whole recipe, from flite to the checkpoint; every step may be killed and resumed.

The codec's decoder and encoder do not wait for each other, nor does the language model for the decoder: on a machine
with more cores, start them by hand in parallel (`train_codec decoder`; `train_codec encoder`, then
`train_language_model`), then this.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.training", description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for speech and training state")
    parser.add_argument("--checkpoint", type=Path, required=True, help="the checkpoint to write")
    parser.add_argument("--voices", type=Path, required=True, help="folder for the voice profiles")
    options = parser.parse_args()
    work = ["--work", str(options.work)]
    options.work.mkdir(parents=True, exist_ok=True)
    for step in (
        ["train_codec", "decoder", *work],
        ["train_codec", "encoder", *work],
        ["train_codec", "polish", *work],
        ["train_language_model", *work],
        ["publish", *work, "--out", str(options.checkpoint), "--voices", str(options.voices)],
    ):
        print(" ".join(step), flush=True)
        subprocess.run([sys.executable, "-m", f"demo.training.{step[0]}", *step[1:]], check=True)


if __name__ == "__main__":
    main()
