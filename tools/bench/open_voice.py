"""`python -m tools.bench.open_voice`: what independent ears make of a voice that is to read any English.

200 sentences of the 5,000 commonest words and 100 words that are rare or invented, none of them ever trained on, and a
few sentences that make sense. PocketSphinx hears the sentences among all strings of their words and by its own model of
English, and of the single words the phones. The synthesiser's own speech, and the same through the bundle's codec,
stand beside the bundle's; so does, where the folder is that of a voice's training, the speech that its language model
learns, out of the bundle's codec.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from higgs_tts import HiggsClient, Speech
from tqdm import tqdm

from demo.codec import SAMPLE_RATE
from demo.listener import Listener, word_error_rate
from demo.training.examples import END
from demo.training.flite import pronunciations
from demo.training.latent_set import CodeSpace
from demo.training.open_text import OpenText
from demo.training.phone_speech import STATE, load
from demo.training.place_marks import PlaceMarks
from demo.training.reading_set import ReadingMaker
from demo.training.readings import VOICES
from demo.training.speech_set import SpeechSet, Utterance
from demo.training.train_codec import SENTENCES
from serve.triton import TritonServer
from tools.bench.report import table, write
from tools.bench.voice import decoded, speak, through_codec

# The synthesiser's phones that the recogniser calls otherwise.
RENAMED = {"AX": "AH", "AXR": "ER", "IX": "IH"}
EVERYDAY = (
    "I would like to order a large pizza with mushrooms.",
    "Your package will arrive tomorrow afternoon.",
    "Please leave a message after the tone.",
    "The quick brown fox jumps over the lazy dog.",
    "We are sorry, but all of our agents are busy.",
    "Your flight to San Francisco has been delayed.",
    "Once upon a time there was a little girl.",
    "Thank you for calling, how can I help you?",
    "Machine learning models can now read any text.",
    "She sells sea shells by the shore.",
)
TIMES = 4  # that each of them is said


@dataclass(frozen=True)
class Heard:
    """Word error rates of the sentences, phone error rate of the words, and what EVERYDAY has of words, as shares."""

    words: float
    english: float
    phones: float
    everyday: float


class Judge:
    """Compares speech with what it should say: the first `sentences` sentences and `words` words, None for all."""

    def __init__(self, work: Path, sentences: int | None, words: int | None) -> None:
        held_out = OpenText().held_out
        single = [f"{word.capitalize()}." for word in (*held_out.rare, *held_out.invented)]
        self.sentences = _of_first_voice(SpeechSet.held_out_open(work))[:sentences]
        self.words = _of_first_voice(SpeechSet(work / "speech_held_out_words", single))[:words]
        self.everyday = TIMES * _of_first_voice(SpeechSet(work / "speech_everyday", EVERYDAY))
        self._listener = Listener(word for sentence in held_out.sentences for word in sentence.split())
        self._phones = pronunciations({one.sentence for one in self.words})

    @property
    def texts(self) -> tuple[list[Utterance], ...]:
        """What `judge` judges, in its order."""
        return self.sentences, self.words, self.everyday

    def judge(
        self, sentences: Sequence[np.ndarray], words: Sequence[np.ndarray], everyday: Sequence[np.ndarray]
    ) -> Heard:
        """Of clips float32 [samples] of `texts`."""
        return Heard(
            word_error_rate(
                (one.sentence, self._listener.transcribe(clip, SAMPLE_RATE))
                for one, clip in zip(self.sentences, tqdm(sentences, desc="words"), strict=True)
            ),
            self._english(self.sentences, sentences),
            word_error_rate(
                (_arpabet(self._phones[one.sentence]), " ".join(self._listener.phones(clip, SAMPLE_RATE)))
                for one, clip in zip(self.words, tqdm(words, desc="phones"), strict=True)
            ),
            self._english(self.everyday, everyday),
        )

    def _english(self, said: Sequence[Utterance], clips: Sequence[np.ndarray]) -> float:
        return word_error_rate(
            (one.sentence, self._listener.transcribe_english(clip, SAMPLE_RATE))
            for one, clip in zip(said, tqdm(clips, desc="English"), strict=True)
        )


def _as_taught(bundle: Path, work: Path, said: Sequence[Utterance]) -> list[np.ndarray]:
    """What the language model that is trained in `work` learns to say, from the bundle's codec."""
    space = CodeSpace.of(work, SpeechSet.taught(work, SENTENCES))
    marks = PlaceMarks(space.codebooks)
    readings = ReadingMaker(space, load(work), codec=None).read([one.written for one in said])
    codes = (  # in a prompt, a text begins a line
        marks.mark(one.codes, f"\n{one.written}{END}", one.places + 1) for one in readings if one.voice == VOICES[0]
    )
    return [decoded(bundle, one[None].astype(np.int32)) for one in codes]


def _of_first_voice(speech: SpeechSet) -> list[Utterance]:
    speech.make()
    return [one for one in speech.utterances() if one.voice == VOICES[0]]


def _arpabet(phones: Sequence[str]) -> str:
    return " ".join(RENAMED.get(phone.upper(), phone.upper()) for phone in phones)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.open_voice", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for flite's speech, or of a training")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sentences", type=int, help="only the first so many")
    parser.add_argument("--words", type=int, help="only the first so many")
    options = parser.parse_args()
    judge = Judge(options.work, options.sentences, options.words)
    clips = [[one.audio for one in some] for some in judge.texts]
    heard = {"flite": judge.judge(*clips)}
    heard["through the codec"] = judge.judge(
        *([through_codec(options.bundle, clip) for clip in some] for some in clips)
    )
    if (options.work / STATE).exists():
        heard["as it is taught"] = judge.judge(
            *(_as_taught(options.bundle, options.work, some) for some in judge.texts)
        )
    with TritonServer(options.bundle) as server, HiggsClient(server.grpc_url) as client:
        spoken: list[list[Speech]] = [
            speak(client, [one.written for one in some], [None] * len(some)) for some in judge.texts
        ]
    heard["through Triton"] = judge.judge(*([speech.samples for speech in some] for some in spoken))
    ended = sum(speech.finish_reason == "stop" for some in spoken for speech in some)
    head = (
        "",
        f"words of {len(judge.sentences)} sentences",
        "the same, English",
        f"phones of {len(judge.words)} words",
        f"words of {len(EVERYDAY)} everyday sentences, English",
    )
    rows = [(name, *(f"{share:.1%}" for share in asdict(one).values())) for name, one in heard.items()]
    print(table(head, rows))
    print(f"{ended} of {sum(map(len, judge.texts))} streams end by themselves")
    write(options.out, "open_voice", {**{name: asdict(one) for name, one in heard.items()}, "ended": ended})


if __name__ == "__main__":
    main()
