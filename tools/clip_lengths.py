"""Reference clips that are not a whole number of codec frames: compares their codes, and which clone better.

Needs flite, and a CPU bundle of the demo checkpoint; boson-multimodal's codes need a Python that has it
(`tools/boson_codes.py` says how to make one) and are skipped otherwise.

    python -m tools.clip_lengths --bundle artifacts/demo --work /tmp/clip_lengths --boson /tmp/boson/bin/python

A clip is prepared in three ways: `cut` to whole frames; `filled` with zeros to whole frames; `as given`, encoded by
transformers at its own length, which pads its acoustic side by half a frame at both ends when the two sides' lengths
differ. Each clip is cloned from the three codes; the server finds them in its state folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from higgs_tts import GenerationParams, HiggsClient, Reference, Speech
from tqdm import tqdm

from build.repository import VERSION
from convert.codec import load_codec
from convert.torchaudio_shim import Codec
from demo.codec import SAMPLE_RATE, write_boson_codec
from demo.make_checkpoint import CODEC_FOLDER
from demo.speaker import SpeakerEncoder
from demo.tokenizer import write_json
from demo.training.speech_set import SpeechSet, Utterance
from runtime.voices.code_files import CodeFiles, clip_digest, codes_key
from serve.triton import TritonServer
from tools.bench.metrics import metrics
from tools.bench.report import table
from tools.bench.voice import LONGEST, SENTENCES, Ears

CLIPS, SEEDS = 60, 1
TAKEN_EVERY = 40  # samples between the rests that are compared
CLIPS_A_REST = 4
SPEECH = 0.02  # of a clip's peak: what is louder is speech


def framed(audio: np.ndarray, frames: int, hop: int) -> np.ndarray:
    """The first `frames` frames; zeros fill what is missing."""
    return np.pad(audio, (0, max(0, frames * hop - len(audio))))[: frames * hop]


@torch.no_grad()
def encoded(codec: Codec, audio: np.ndarray) -> np.ndarray:
    """transformers' codes: int32 [codebooks, frames]."""
    return codec.encode(torch.from_numpy(audio)[None, None]).audio_codes[0].numpy().astype(np.int32)


def prepared(codec: Codec, audio: np.ndarray, hop: int) -> dict[str, np.ndarray]:
    """The codes of a clip, by the way it is prepared."""
    return {
        "cut": encoded(codec, framed(audio, len(audio) // hop, hop)),
        "filled": encoded(codec, framed(audio, -(-len(audio) // hop), hop)),
        "as given": encoded(codec, audio),
    }


def ended(utterance: Utterance, tail: int) -> np.ndarray:
    """The utterance without its final silence, except for `tail` samples: a clip that ends with its last word."""
    loud = np.flatnonzero(np.abs(utterance.audio) > SPEECH * np.abs(utterance.audio).max())
    return utterance.audio[: loud[-1] + 1 + tail]


def equal(left: np.ndarray, right: np.ndarray) -> tuple[int, int]:
    """Codes that are equal, of how many: a frame that only one of them has differs."""
    common = min(left.shape[1], right.shape[1])
    return int((left[:, :common] == right[:, :common]).sum()), max(left.size, right.size)


def boson(python: Path, codec: Codec, clips: Mapping[str, np.ndarray], work: Path) -> dict[str, np.ndarray]:
    """Boson's codes of the clips, by name."""
    directory = work / "boson_codec"
    directory.mkdir(parents=True, exist_ok=True)
    write_boson_codec(directory, codec)
    write_json(directory / "hubert.json", codec.config.semantic_model_config.to_dict())
    np.savez(work / "clips.npz", **clips)
    paths = (directory, work / "clips.npz", work / "boson.npz")
    subprocess.run([python, "-m", "tools.boson_codes", *map(str, paths)], check=True)
    with np.load(work / "boson.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def compare_codes(codec: Codec, python: Path | None, utterances: Sequence[Utterance], work: Path) -> str:
    """For every rest, the share of codes that are equal: of the clip as given, and of what we encode."""
    hop = codec.config.hop_length
    clips = {}
    for rest in range(0, hop, TAKEN_EVERY):
        for number, one in enumerate(utterances[:CLIPS_A_REST]):
            whole = len(one.audio) // hop - 1
            clips[f"{rest} {number}"] = one.audio[: whole * hop + rest]
            clips[f"{rest} {number} cut"] = one.audio[: whole * hop]
    given = {name: encoded(codec, audio) for name, audio in clips.items()}
    original = boson(python, codec, clips, work) if python else {}
    rows = []
    for rest in range(0, hop, TAKEN_EVERY):
        names = [f"{rest} {number}" for number in range(CLIPS_A_REST)]
        filled = [encoded(codec, framed(clips[name], -(-len(clips[name]) // hop), hop)) for name in names]
        pairs = {
            "cut, transformers' of the clip": [(given[f"{name} cut"], given[name]) for name in names],
            "filled, transformers' of the clip": [
                (codes, given[name]) for codes, name in zip(filled, names, strict=True)
            ],
        }
        if original:
            pairs |= {
                "Boson's, transformers' of the clip": [(original[name], given[name]) for name in names],
                "Boson's, transformers' of the cut clip": [
                    (original[f"{name} cut"], given[f"{name} cut"]) for name in names
                ],
            }
        rows.append((str(rest), *(f"{share(found):.1%}" for found in pairs.values())))
    return table(("rest", *pairs), rows)


def share(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Of the codes of all pairs, those that are equal."""
    counts = [equal(left, right) for left, right in pairs]
    return sum(same for same, _ in counts) / sum(size for _, size in counts)


@dataclass(frozen=True)
class Job:
    """A clip, its codes prepared in one way, and the utterance whose sentence its voice is to say."""

    clip: Utterance
    audio: np.ndarray
    codes: np.ndarray
    sentence: Utterance


def clone(bundle: Path, state: Path, jobs: Sequence[Job], hop: int) -> list[Speech]:
    """The speech of each job with each seed. The server finds the codes in `state`."""
    settings = bundle / "model_repository" / "codec_encoder" / VERSION / "settings.json"
    identity = json.loads(settings.read_text())["codes"]["codec"]
    files = CodeFiles(state / "codes", 2**30)
    requests = []
    for number, job in enumerate(jobs):
        samples = framed(job.audio, job.codes.shape[1], hop)  # stands for the codes: whole frames are not prepared
        files.store(codes_key(identity, clip_digest(samples)), job.codes)
        reference = Reference((samples, SAMPLE_RATE), job.clip.written)
        params = [GenerationParams(seed=number * SEEDS + seed) for seed in range(SEEDS)]
        requests += [(job.sentence.written, reference, each) for each in params]
    with TritonServer(bundle, state=state) as server, HiggsClient(server.grpc_url) as client:
        with ThreadPoolExecutor(4) as pool:
            speak = pool.map(lambda one: client.synthesize(one[0], reference=one[1], params=one[2]), requests)
            spoken = list(tqdm(speak, total=len(requests), desc=state.name))
        encoder = metrics(server.metrics_url).get('higgs_reference_codes_total{source="encoder"}', 0)
    if encoder:
        raise SystemExit(f"the server encoded {encoder:.0f} clips; it should have found all codes in its state folder")
    return spoken


def compare_clones(bundle: Path, codec: Codec, utterances: Sequence[Utterance], work: Path) -> str:
    """How the clones of CLIPS clips of random lengths turn out, by the way the clips are prepared."""
    hop, rng = codec.config.hop_length, np.random.default_rng(0)
    clips, said = utterances[-CLIPS:], utterances[:CLIPS]
    audio = [ended(clip, int(rng.integers(hop))) for clip in clips]
    ways = [prepared(codec, samples, hop) for samples in audio]
    ears, encoder = Ears(), SpeakerEncoder()
    centres = ears.centres(utterances[:SENTENCES])
    normal = {voice: centre / np.linalg.norm(centre) for voice, centre in centres.items()}
    rows = []
    for way in ways[0]:
        jobs = [Job(*each) for each in zip(clips, audio, [codes[way] for codes in ways], said, strict=True)]
        spoken = clone(bundle, work / way, jobs, hop)
        speech = [(job, one.samples) for job, one in zip([j for j in jobs for _ in range(SEEDS)], spoken, strict=True)]
        like = [float(encoder.embed(one, SAMPLE_RATE) @ normal[job.clip.voice]) for job, one in speech]
        own = [ears.voice(one, centres) == job.clip.voice for job, one in speech]
        errors = ears.word_errors([job.sentence.sentence for job, _ in speech], [one for _, one in speech])
        short = [len(one) <= LONGEST * len(job.sentence.audio) for job, one in speech]
        spread = np.std(like) / len(like) ** 0.5
        likeness = f"{np.mean(like):.4f} ± {spread:.4f}"
        rows.append((way, likeness, f"{np.mean(own):.1%}", f"{errors:.2%}", f"{np.mean(short):.1%}"))
    header = (
        "a clip is",
        "cosine to its voice",
        "voice recognised",
        "word errors",
        f"within {LONGEST} x flite's length",
    )
    return table(header, rows)


def main() -> None:
    """Compare, and print both tables."""
    parser = argparse.ArgumentParser(prog="python -m tools.clip_lengths", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("demo/checkpoint"))
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for flite's speech and the servers' states")
    parser.add_argument("--boson", type=Path, help="a Python that has boson-multimodal")
    options = parser.parse_args()
    held_out = SpeechSet.held_out(options.work, SENTENCES)
    held_out.make()
    utterances = list(held_out.utterances())
    codec = load_codec(options.checkpoint / CODEC_FOLDER)
    print(compare_codes(codec, options.boson, utterances, options.work), flush=True)
    print(compare_clones(options.bundle, codec, utterances, options.work))


if __name__ == "__main__":
    main()
