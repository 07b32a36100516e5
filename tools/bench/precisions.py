"""`python -m tools.bench.precisions`: what fewer bits of weights save, and what is heard of it.

Two checkpoints, each in a bundle a precision: one of random weights, large enough for its speed to mean something, and
one that speaks, whose held-out sentences independent ears hear through Triton, with default settings and fixed seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from higgs_tts import GenerationParams, HiggsClient, Speech

from demo.listener import Listener, word_error_rate
from demo.speaker import SpeakerEncoder
from runtime.formats.exports import EXPORT_FILE
from serve.triton import TritonServer
from tools.bench.contenders import STREAMS, Served
from tools.bench.report import table, write

CLONED = 10  # sentences in each voice


@dataclass(frozen=True)
class Heard:
    """Words heard wrong, of those said, and how alike voices are to their clips: cosines of speaker embeddings."""

    word_errors: float
    similarity: float
    transcripts: tuple[str, ...]


class Ears:
    """Who listens, to sentences that the checkpoint was not trained on and to the voices of a folder."""

    def __init__(self, checkpoint: Path, voices: Path) -> None:
        self._held_out = json.loads((checkpoint / "held_out.json").read_text())
        self._listener, self._encoder = Listener(), SpeakerEncoder()
        clips = {file.stem: soundfile.read(file, dtype="float32") for file in sorted(voices.glob("*.wav"))}
        self._clips = {name: self._encoder.embed(*clip) for name, clip in clips.items()}

    def hear(self, bundle: Path) -> Heard:
        """All sentences without a voice, and some in each voice."""
        with TritonServer(bundle) as server, HiggsClient(server.grpc_url) as client:
            speeches = self._speak(client, len(self._held_out))
            voices = {name: self._speak(client, CLONED, name) for name in self._clips}
        said = [one["sentence"] for one in self._held_out]
        heard = [self._listener.transcribe(speech.samples, speech.sample_rate) for speech in speeches]
        return Heard(
            word_errors=word_error_rate(zip(said, heard, strict=True)),
            similarity=statistics.mean(self._similarity(name, spoken) for name, spoken in voices.items()),
            transcripts=tuple(heard),
        )

    def _speak(self, client: HiggsClient, count: int, voice: str | None = None) -> list[Speech]:
        """The first sentences, each with its number as its seed, four at a time."""

        def one(seed: int) -> Speech:
            return client.synthesize(self._held_out[seed]["written"], voice=voice, params=GenerationParams(seed=seed))

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(one, range(count)))

    def _similarity(self, voice: str, speeches: Sequence[Speech]) -> float:
        samples = np.concatenate([speech.samples for speech in speeches])
        return float(self._clips[voice] @ self._encoder.embed(samples, speeches[0].sample_rate))


def deviation(bundle: Path) -> dict[str, float]:
    """Of the logits from transformers', in their standard deviations, as the build measured it."""
    record = json.loads((bundle / "exports" / EXPORT_FILE).read_text())
    found: dict[str, float] = record["language_model"]["logits_error"]
    return found


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.precisions", description=__doc__.split("\n")[0])
    parser.add_argument("--bundles", type=Path, nargs="+", required=True, help="of random weights, one a precision")
    parser.add_argument("--speaking", type=Path, nargs="+", required=True, help="that speak, in the same order")
    parser.add_argument("--checkpoint", type=Path, required=True, help="that speaks, with its held_out.json")
    parser.add_argument("--voices", type=Path, required=True, help="folder of clips")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    ears = Ears(options.checkpoint, options.voices)
    heard = [ears.hear(bundle) for bundle in options.speaking]
    served = [Served(bundle, options.threads) for bundle in options.bundles]
    levels = (1, STREAMS)
    # In turns, so that a slow minute of the machine hits all of them; the first round warms up.
    rounds = [[[one.rate(streams) for one in served] for streams in levels] for _ in range(4)][1:]
    rows, record = [], {}
    for place, (one, ear) in enumerate(zip(served, heard, strict=True)):
        one.close()
        speeds = [
            statistics.median(turn[level][place].frames_per_second for turn in rounds) for level in range(len(levels))
        ]
        random, speaking = (deviation(folder[place]) for folder in (options.bundles, options.speaking))
        alike = sum(a == b for a, b in zip(ear.transcripts, heard[0].transcripts, strict=True))
        rows.append(
            (
                one.precision,
                f"{one.work.weight_bytes / 1e6:.0f} MB",
                *(f"{speed:.0f}" for speed in speeds),
                f"{random['mean']:.1e}",
                f"{speaking['mean']:.1e}",
                f"{ear.word_errors:.1%}",
                f"{alike} of {len(ear.transcripts)}",
                f"{ear.similarity:.3f}",
            )
        )
        record[one.precision] = {
            "step_bytes": one.work.weight_bytes,
            "frames_per_second": dict(zip(map(str, levels), speeds, strict=True)),
            "logits": {"random": random, "speaking": speaking},
            **{name: value for name, value in asdict(ear).items() if name != "transcripts"},
        }
    speed = tuple(f"frames/s x{streams}" for streams in levels)
    columns = ("logits, random", "the voice's", "word errors", f"heard as {served[0].precision}'s", "similarity")
    print(table(("weights", "a step reads", *speed, *columns), rows))
    write(options.out, "precisions", record)


if __name__ == "__main__":
    main()
