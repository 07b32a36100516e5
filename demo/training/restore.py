"""`python -m demo.training.restore`: makes a training's folder of a published checkpoint, to train that voice on.

The code space is fitted anew, to the same speech; it has to come out as the checkpoint's, or nothing would fit. The
codec's halves come back as finished, and the language model as one that is about to begin its last phases: make
readings, and go on with `train_language_model --minutes …`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from convert.codec import load_codec
from convert.shards import open_shards, read_tensor
from demo.make_checkpoint import CODEC_FOLDER
from demo.training.codec_parts import CodecParts
from demo.training.publish import HEAD, SHARPER
from demo.training.train_codec import code_space
from demo.training.train_language_model import STATE
from runtime.formats.whole_files import whole_file

PROGRESS = 0.6  # of the language model's training: there the learning rate is a third of its highest


def restore(checkpoint: Path, work: Path) -> None:
    """Raises ValueError if the checkpoint's codes are not those that the recipe finds in `work`."""
    space, _ = code_space(work, None)
    codec = load_codec(checkpoint / CODEC_FOLDER)
    codebooks = torch.stack([quantizer.codebook.embed for quantizer in codec.quantizer.quantizers]).float()
    if not torch.equal(codebooks, space.codebooks):
        raise ValueError(f"the codes of {checkpoint} are not those of {work}: they were fitted to other speech")
    parts = CodecParts(space)
    for name in ("acoustic_encoder", "fc2", "acoustic_decoder"):
        getattr(parts.codec, name).load_state_dict(getattr(codec, name).state_dict())
    _write(work / "encoder.pt", parts.encoder.state_dict(), 1.0)
    _write(work / "decoder.pt", parts.decoder.state_dict(), 1.0)
    learned = {name: read_tensor(tensor, name).float() for name, tensor in open_shards(checkpoint).items()}
    _write(work / STATE, learned | {HEAD: learned[HEAD] / SHARPER}, PROGRESS)


def _write(file: Path, module: Mapping[str, torch.Tensor], progress: float) -> None:
    with whole_file(file) as stream:
        torch.save({"module": dict(module), "step": 0, "progress": progress}, stream)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="what `publish` wrote")
    parser.add_argument("--work", type=Path, required=True, help="folder for speech and training state")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    restore(arguments.checkpoint, arguments.work)


if __name__ == "__main__":
    main()
