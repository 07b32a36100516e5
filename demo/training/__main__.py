"""`python -m demo.training`: the whole recipe, from flite to the checkpoint; every step may be killed and resumed.

The codec's decoder and encoder do not wait for each other, nor does the language model for the decoder: start them by
hand in parallel (`train_codec decoder`; `train_codec encoder`, `phone_speech`, `reading_set`, then
`train_language_model`), then this. The language model needs the readings alone, and a GPU learns from them in minutes
what takes a CPU days; what it then leaves in `language_model/` is what the last step needs.
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
    parser.add_argument("--start", type=Path, help="the codec to start from, of an earlier run of this recipe")
    parser.add_argument("--minutes", type=float, help="end the language model's training after so many minutes")
    parser.add_argument("--workers", type=int, default=1, help="processes that make readings and draw examples (1)")
    options = parser.parse_args()
    work, workers = ["--work", str(options.work)], ["--workers", str(options.workers)]
    start = ["--start", str(options.start)] if options.start else []
    minutes = ["--minutes", str(options.minutes)] if options.minutes else []
    options.work.mkdir(parents=True, exist_ok=True)
    for step in (
        ["train_codec", "decoder", *work, *start],
        ["train_codec", "encoder", *work, *start],
        ["train_codec", "polish", *work],
        ["phone_speech", *work],
        ["reading_set", *work, *workers],
        ["train_language_model", *work, *workers, *minutes],
        ["publish", *work, "--out", str(options.checkpoint), "--voices", str(options.voices)],
    ):
        print(" ".join(step), flush=True)
        subprocess.run([sys.executable, "-m", f"demo.training.{step[0]}", *step[1:]], check=True)


if __name__ == "__main__":
    main()
