"""`python -m demo.training.publish`: the trained parts as a checkpoint in the real one's files and names, and voices.

At any time: what has been learned so far can be heard and measured. Each of the synthesiser's voices becomes one clip
in which it says who it is. The held-out sentences, with the synthesiser's durations, are written beside the checkpoint,
for tests that run without flite.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from string import ascii_lowercase

import soundfile
import torch

from convert.safetensors_writer import TensorSpec
from convert.shards import open_shards, read_tensor
from demo.codec import SAMPLE_RATE, write_codec_model
from demo.language_model import MAX_POSITIONS, config_json, write_configs
from demo.make_checkpoint import CODEC_FOLDER, SHARD_BYTES
from demo.sizes import SIZES
from demo.tokenizer import write_json, write_text_side
from demo.training.flite import speak
from demo.training.open_text import WORDS
from demo.training.reading_set import HELD_OUT_DOMAIN
from demo.training.readings import VOICES
from demo.training.speech_set import SpeechSet
from demo.training.train_codec import code_space, load_parts
from demo.training.train_language_model import DTYPE, STATE, WEIGHTS
from demo.training.vocabulary import trained_tokenizer
from demo.weights import write_weights
from runtime.formats.exports import KNOWN_WORDS_FILE

# No string of words learned alone is longer; and it hears who spoke last better than whose turn a tag says it is.
SUITING = {"chunk_words": max(WORDS), "dialogue_context": "own"}
HEAD = "audio_lm_head.weight"
# Of the head's logits: a model this small leaves the wrong codes too much, and the presets' temperatures are made for a
# large one's. An exact factor in any kind of floating-point number.
SHARPER = 8.0
HELD_OUT_FILE = "held_out.json"
KNOWN = f"*{ascii_lowercase}'\n"  # every word of these letters
PROFILES = {
    "slt": ("female", "My name is Laura and I live in Boston."),
    "rms": ("male", "My name is Robert and I live in Chicago."),
    "awb": ("male", "My name is James and I live in Dublin."),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder in which the training ran")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint, as a path from the repository's root")
    parser.add_argument("--voices", type=Path, required=True, help="folder for the voice profiles")
    arguments = parser.parse_args()
    work, out = arguments.work, arguments.out
    codec_directory = out / CODEC_FOLDER
    codec_directory.mkdir(parents=True, exist_ok=True)
    space, _ = code_space(work, None)
    decoder = "polish" if (work / "polish.pt").exists() else "decoder"
    write_codec_model(codec_directory, load_parts(work, space, "encoder", decoder).codec, torch.float16)
    config = config_json(SIZES["trained"], str(DTYPE).removeprefix("torch."))
    write_configs(out, config, SUITING)
    learned = _learned(work)
    specs = [TensorSpec(name, tuple(tensor.shape), DTYPE) for name, tensor in learned.items()]
    write_weights(out, specs, lambda spec: learned[spec.name], SHARD_BYTES)
    write_json(out / HELD_OUT_FILE, _held_out(work))
    (out / KNOWN_WORDS_FILE).write_text(KNOWN)
    write_text_side(out, codec_directory.as_posix(), trained_tokenizer(), MAX_POSITIONS)
    _write_voices(arguments.voices)


def _learned(work: Path) -> dict[str, torch.Tensor]:
    """The language model's weights, of the end of its training if it has one, else of now, with a sharper head."""
    if (work / WEIGHTS).exists():
        learned = {name: read_tensor(tensor, name) for name, tensor in open_shards(work / WEIGHTS).items()}
    else:
        learned = torch.load(work / STATE, weights_only=True, map_location="cpu")["module"]
    return learned | {HEAD: SHARPER * learned[HEAD]}


def _held_out(work: Path) -> list[dict[str, object]]:
    """Each held-out sentence as heard and as written, with the seconds the synthesiser's first voice takes."""
    speech = SpeechSet.held_out(work, HELD_OUT_DOMAIN)
    speech.make()
    return [
        {"sentence": one.sentence, "written": one.written, "seconds": round(len(one.audio) / SAMPLE_RATE, 3)}
        for one in speech.utterances()
        if one.voice == VOICES[0]
    ]


def _write_voices(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    for voice, (gender, words) in PROFILES.items():
        soundfile.write(directory / f"{voice}.wav", speak(words, voice, SAMPLE_RATE), SAMPLE_RATE, subtype="PCM_16")
        (directory / f"{voice}.txt").write_text(words + "\n")
        metadata = {
            "language": "en",
            "gender": gender,
            "description": f"flite's voice {voice}, made from a CMU ARCTIC recording",
            "source": "synthetic: flite",
            "licence": "flite's own, free for any use",
        }
        write_json(directory / f"{voice}.json", metadata)


if __name__ == "__main__":
    main()
