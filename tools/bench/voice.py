"""`python -m tools.bench.voice`: what independent ears make of the demo voice, on sentences it was never trained on.

PocketSphinx counts words, a published speaker encoder tells voices apart, flite (which must be installed) speaks the
same sentences for comparison. Everything is asked of a real Triton, with default settings and fixed seeds.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from higgs_tts import GenerationParams, HiggsClient, Reference, Speech
from tqdm import tqdm

from build.repository import VERSION
from demo.codec import SAMPLE_RATE, STRIDES
from demo.listener import Listener, word_error_rate
from demo.speaker import SpeakerEncoder
from demo.training import flite
from demo.training.readings import VOICES
from demo.training.speech_set import SpeechSet, Utterance
from runtime.formats.window import surrounded
from serve.triton import TritonServer
from tools.bench.report import spectrograms, table, write

SENTENCES, CLIPS = 100, 30
LONGEST = 1.3  # times the synthesiser's duration
PICTURED = "I would like to order a large pizza with mushrooms."


@dataclass(frozen=True)
class Figures:
    """Word error rates as shares; lengths against the synthesiser's; first audio in milliseconds."""

    word_errors_synthesiser: float
    word_errors_codec: float
    word_errors_speech: float
    ended_by_themselves: int
    within_length: int
    longest: float
    cloned: int
    first_audio_p50: float
    real_time_factor: float


class Ears:
    """The two listeners."""

    def __init__(self) -> None:
        self._listener, self._encoder = Listener(), SpeakerEncoder()

    def word_errors(self, sentences: Sequence[str], audio: Sequence[np.ndarray]) -> float:
        """Word error rate of clips that say these sentences."""
        heard = [self._listener.transcribe(clip, SAMPLE_RATE) for clip in audio]
        for said, found in zip(sentences, heard, strict=True):
            if said != found:
                tqdm.write(f"  said {said!r}, heard {found!r}")
        return word_error_rate(zip(sentences, heard, strict=True))

    def centres(self, utterances: Sequence[Utterance]) -> dict[str, np.ndarray]:
        """The mean embedding of each voice."""
        return {
            voice: np.mean([self._embed(one.audio) for one in utterances if one.voice == voice], axis=0)
            for voice in VOICES
        }

    def voice(self, audio: np.ndarray, centres: dict[str, np.ndarray]) -> str:
        """The voice whose centre is nearest."""
        embedding = self._embed(audio)
        return max(centres, key=lambda name: float(embedding @ centres[name] / np.linalg.norm(centres[name])))

    def _embed(self, audio: np.ndarray) -> np.ndarray:
        return self._encoder.embed(audio, SAMPLE_RATE)


def through_codec(bundle: Path, audio: np.ndarray) -> np.ndarray:
    """Audio encoded and decoded by the bundle's codec; float32 [samples], as long as before."""
    repository = bundle / "model_repository"
    encoder = _session(repository / "codec_encoder" / VERSION / "encoder.onnx")
    hop = int(np.prod(STRIDES))
    framed = np.pad(audio, (0, -len(audio) % hop))[None]
    return decoded(bundle, encoder.run(None, {encoder.get_inputs()[0].name: framed})[0])[: len(audio)]


def decoded(bundle: Path, codes: np.ndarray) -> np.ndarray:
    """float32 [samples] of codes int32 [1, codebooks, frames] by the bundle's codec."""
    repository = bundle / "model_repository"
    decoder = _session(repository / "codec_decoder" / VERSION / "decoder.onnx")
    context = json.loads((repository / "codec_decoder" / VERSION / "settings.json").read_text())["context_frames"]
    window = surrounded(codes, 0, codes.shape[-1], context)
    return decoder.run(None, {decoder.get_inputs()[0].name: window})[0].reshape(-1)


@functools.cache
def _session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(file)


def speak(client: HiggsClient, sentences: Sequence[str], references: Sequence[Utterance | None]) -> list[Speech]:
    """Every sentence with the default settings, its number as its seed; four at a time."""

    def one(job: tuple[int, str, Utterance | None]) -> Speech:
        seed, text, clip = job
        reference = Reference((clip.audio, SAMPLE_RATE), clip.written) if clip else None
        return client.synthesize(text, reference=reference, params=GenerationParams(seed=seed))

    with ThreadPoolExecutor(4) as pool:
        jobs = zip(range(len(sentences)), sentences, references, strict=True)
        return list(tqdm(pool.map(one, jobs), total=len(sentences), unit="sentence"))


def measure(bundle: Path, work: Path) -> tuple[Figures, list[tuple[str, np.ndarray]]]:
    """The figures, and a few clips to look at."""
    held_out = SpeechSet.held_out(work, SENTENCES)
    held_out.make()
    utterances, ears = list(held_out.utterances()), Ears()
    own = [utterance for utterance in utterances if utterance.voice == VOICES[0]]
    sentences = [utterance.sentence for utterance in own]
    said, audio = [one.sentence for one in utterances[:SENTENCES]], [one.audio for one in utterances[:SENTENCES]]
    synthesiser = ears.word_errors(said, audio)
    codec = ears.word_errors(said, [through_codec(bundle, clip) for clip in audio])
    clips = utterances[-CLIPS:]
    with TritonServer(bundle) as server, HiggsClient(server.grpc_url) as client:
        alone = [client.synthesize(one.written) for one in own[:12]][2:]  # the first requests warm the server up
        speeches = speak(client, [one.written for one in own], [None] * len(own))
        cloned = speak(client, [one.written for one in own[:CLIPS]], clips)
        shown = pictured(client)
    centres = ears.centres(utterances[:SENTENCES])
    voices = [ears.voice(speech.samples, centres) for speech in cloned]
    lengths = [speech.seconds * SAMPLE_RATE / len(one.audio) for speech, one in zip(speeches, own, strict=True)]
    figures = Figures(
        word_errors_synthesiser=synthesiser,
        word_errors_codec=codec,
        word_errors_speech=ears.word_errors(sentences, [speech.samples for speech in speeches]),
        ended_by_themselves=sum(speech.finish_reason == "stop" for speech in speeches),
        within_length=sum(length <= LONGEST for length in lengths),
        longest=max(lengths),
        cloned=sum(voice == clip.voice for voice, clip in zip(voices, clips, strict=True)),
        first_audio_p50=1000 * statistics.median(speech.time_to_first_audio or 0.0 for speech in alone),
        real_time_factor=statistics.median(speech.real_time_factor for speech in alone),
    )
    return figures, shown


def pictured(client: HiggsClient) -> list[tuple[str, np.ndarray]]:
    """One sentence by flite and by the demo voice, each with a title."""
    clips = [
        (f"flite {VOICES[0]}", flite.speak(PICTURED, VOICES[0], SAMPLE_RATE)),
        ("the demo voice", client.synthesize(PICTURED, params=GenerationParams(seed=1)).samples),
    ]
    return [(f"{name}: {PICTURED}", samples) for name, samples in clips]


def main() -> None:
    """Measure, print, and write the figures and a picture."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.voice", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for flite's speech")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    figures, clips = measure(options.bundle, options.work)
    rows = [
        ("word errors of flite itself", f"{figures.word_errors_synthesiser:.1%}"),
        ("through the codec", f"{figures.word_errors_codec:.1%}"),
        ("of text to speech through Triton", f"{figures.word_errors_speech:.1%}"),
        ("streams that end by themselves", f"{figures.ended_by_themselves} of {SENTENCES}"),
        (f"within {LONGEST} x flite's duration", f"{figures.within_length} of {SENTENCES}"),
        ("longest, in flite's durations", f"{figures.longest:.2f}"),
        ("clips whose voice is recognised", f"{figures.cloned} of {CLIPS}"),
        ("first audio, one stream", f"{figures.first_audio_p50:.0f} ms"),
        ("RTF, one stream", f"{figures.real_time_factor:.2f}"),
    ]
    print(table((f"{SENTENCES} held-out sentences", ""), rows))
    write(options.out, "voice", asdict(figures))
    spectrograms(options.out / "voice.png", clips, SAMPLE_RATE)


if __name__ == "__main__":
    main()
