"""The demo voice's recipe: its parts fit each other, and fit what transformers makes of the same input."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pocketsphinx import get_model_path
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoProcessor

from convert.torchaudio_shim import install
from demo.codec import SAMPLE_RATE
from demo.domain import Domain, is_held_out
from demo.listener import word_error_rate, word_errors
from demo.sizes import LETTER_VOCABULARY
from demo.tokenizer import write_text_side
from demo.training.codec_parts import CodecParts
from demo.training.conversations import MOST_FRAMES, SCENE, SMART_VOICES, ConversationMaker, Shares
from demo.training.examples import IGNORED, LAYOUT, LOOKAHEAD, VOICE_KNOWN, Batch, ExampleMaker
from demo.training.features import HOP, LatentSpace, frame_features
from demo.training.flite import PAUSE, Phone
from demo.training.latent_set import CodeSpace, encode
from demo.training.letter_timing import LetterTiming, words_of
from demo.training.loop import Training
from demo.training.open_text import (
    DICTIONARY,
    FIRST_WORDS,
    HELD_OUT_INVENTED,
    HELD_OUT_RARE,
    HELD_OUT_SENTENCES,
    OpenText,
    dictionary,
)
from demo.training.quantizer import fit_codebooks, quantize
from demo.training.readings import PHONES, VOICES, Reading
from demo.training.speech_set import bare
from demo.training.spelling import Spelling
from demo.training.vocabulary import trained_tokenizer
from runtime.formats.exports import KNOWN_WORDS_FILE
from runtime.text.dialogue.voice_assignment import SMART_SYSTEM_TEXT
from runtime.text.known_words import KnownWords
from runtime.text.prompt_encoder import SYSTEM_TEXT

CHECKPOINT = Path(__file__).resolve().parents[2] / "demo" / "checkpoint"
FRAMES = 60
TIE = 1e-5  # of a latent's length: float32's rounding of sums of 64 squares


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    """Gliding tones in noise, as different from frame to frame as speech is; float32."""
    noise = np.random.default_rng(3)
    seconds = np.arange(FRAMES * HOP) / SAMPLE_RATE
    return [
        (
            0.2
            * np.sin(2 * np.pi * (120 + 400 * noise.random() * seconds) * seconds)
            * noise.random(FRAMES).repeat(HOP)
            + 0.02 * noise.standard_normal(FRAMES * HOP)
        ).astype(np.float32)
        for _ in range(30)
    ]


@pytest.fixture(scope="module")
def space(speech: list[np.ndarray]) -> CodeSpace:
    latents = LatentSpace.fit(speech)
    points = torch.cat([latents.latents(clip) for clip in speech])
    return CodeSpace(latents, fit_codebooks(points, 8, 1024, torch.Generator().manual_seed(0))[0])


@pytest.fixture(scope="module")
def parts(space: CodeSpace) -> CodecParts:
    return CodecParts(space)


@pytest.fixture(scope="module")
def readings() -> list[Reading]:
    """Two sentences a voice with codes of their own, each letter about as many frames long as the others."""
    domain, noise = Domain.load(), np.random.default_rng(0)
    made = []
    for sentence, frames in zip(domain.sentences(2, 0, False), (40, 51), strict=True):
        written = domain.written(sentence)
        places = np.arange(frames) * (len(written) + 4) // frames  # the end is silent
        for voice in VOICES:
            codes, heard = noise.integers(0, 1024, (2, 8, frames))
            sounds = noise.integers(0, len(PHONES), (len(written), 2))
            made.append(Reading(written, voice, codes, heard, np.minimum(places, len(written)), sounds))
    return made


def test_held_out_sentences_are_never_trained_on_and_all_words_are():
    domain = Domain.load()
    taught, unseen = domain.sentences(3000, 1, False), domain.sentences(300, 2, True)
    assert not set(taught) & set(unseen)
    assert all(is_held_out(sentence) for sentence in unseen)
    assert {word for sentence in taught for word in sentence.split()} == set(domain.words)
    assert len(domain.words) >= 120


def test_written_sentences_hold_the_same_words():
    domain, known = Domain.load(), KnownWords.read(CHECKPOINT / KNOWN_WORDS_FILE)
    for sentence in domain.sentences(200, 4, False):
        written = domain.written(sentence)
        assert written.lower().rstrip(".?") == sentence
        assert known.unknown(written) == []
        assert written[0].isupper() and written[-1] in ".?"
    assert known.unknown("Hello, Zanzibar!") == ["zanzibar"]


def test_the_checkpoint_lists_the_words_of_its_domain():
    assert (CHECKPOINT / KNOWN_WORDS_FILE).read_text().split() == Domain.load().words


@pytest.mark.parametrize(
    "heard, errors", [("a b c", 0), ("a c", 1), ("a b x c", 1), ("x y z", 3), ("", 3), ("b c a", 2)]
)
def test_word_errors_are_counted(heard, errors):
    assert word_errors("a b c", heard) == errors
    assert word_error_rate([("a b c", heard), ("d", "d")]) == errors / 4


def test_the_tokenizer_is_the_same_each_time_and_keeps_any_text():
    tokenizer = trained_tokenizer()
    assert tokenizer.to_str() == trained_tokenizer().to_str()
    assert tokenizer.token_to_id("<|begin_of_text|>") == LETTER_VOCABULARY - 256
    for text in ("Hello from Higgs Audio.", "Zürich, 12 €!", "早上好", f"Say: {SYSTEM_TEXT} So it is."):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


def test_all_text_is_read_letter_by_letter_but_the_words_of_the_template():
    tokenizer, text, generator = trained_tokenizer(), OpenText(), random.Random(1)
    for written in [*(text.draw(generator) for _ in range(500)), "The system and the user's assistant. [SPEAKER 1"]:
        for one in (written, written.lower()):
            ids = tokenizer.encode(one, add_special_tokens=False).ids
            assert ids == [tokenizer.token_to_id(character.replace(" ", "Ġ")) for character in one]
    header = tokenizer.encode("<|start_header_id|>assistant<|end_header_id|>\n\nHi", add_special_tokens=False)
    assert len(header.ids) == 6
    for system in (SYSTEM_TEXT, SMART_SYSTEM_TEXT):
        assert len(tokenizer.encode(f"{system}<|eot_id|>", add_special_tokens=False).ids) == 2


def test_open_text_is_the_same_each_time_and_holds_out_what_is_judged():
    text = OpenText()
    again = OpenText()
    assert again.held_out == text.held_out
    drawn = [text.draw(generator) for generator in [random.Random(3)] for _ in range(4000)]
    assert drawn == [again.draw(generator) for generator in [random.Random(3)] for _ in range(4000)]
    unseen = text.held_out
    assert (len(unseen.sentences), len(unseen.rare), len(unseen.invented)) == (
        HELD_OUT_SENTENCES,
        HELD_OUT_RARE,
        HELD_OUT_INVENTED,
    )
    usual = set(text.frequent)
    for sentence in unseen.sentences:
        assert FIRST_WORDS[0] <= len(sentence.split()) <= FIRST_WORDS[1]
        assert set(sentence.split()) <= usual
    assert set(unseen.rare) <= dictionary() - usual and not set(unseen.invented) & dictionary() & usual
    said = {word for sentence in drawn for word in words_of(sentence)}
    assert not said & {*unseen.rare, *unseen.invented}
    assert not {" ".join(words_of(sentence)) for sentence in drawn} & set(unseen.sentences)
    assert len(said & usual) > 0.9 * len(usual)  # of 4,000 sentences; the recipe has more
    assert all(len(sentence) <= 255 and sentence[-1] in ".?!" for sentence in drawn)
    domain = Domain.load()
    assert sum(set(words_of(sentence)) <= set(domain.words) for sentence in drawn) > 300
    assert not {bare(sentence) for sentence in drawn} & set(domain.sentences(3000, 2, held_out=True))


def examples(maker: ExampleMaker, count: int, seed: int, shares: Shares) -> Iterator[Batch]:
    """Batches of one example each."""
    generator = random.Random(seed)
    return (maker.batches(1, 1, generator, shares)[0] for _ in range(count))


def test_examples_are_the_processors_prompts_followed_by_the_delayed_codes(
    readings, tmp_path: Path, checkpoint, monkeypatch
):
    tokenizer = trained_tokenizer()
    write_text_side(tmp_path, str(checkpoint / "audio_tokenizer"), tokenizer, 2048)
    install()
    processor = AutoProcessor.from_pretrained(tmp_path)
    audio_id = tokenizer.token_to_id("<|AUDIO_OUT|>")
    delay_id = tokenizer.token_to_id("<|reserved_special_token_6|>")
    silence = np.zeros(HOP, np.float32)  # one frame: only the number of its positions differs from the example's
    encoded = processor.audio_tokenizer.encode(torch.zeros(1, 1, HOP))  # once, not for each turn
    monkeypatch.setattr(processor.audio_tokenizer, "encode", lambda *clip, **options: encoded)
    seen = set()
    for batch in examples(ExampleMaker(readings, tokenizer), 200, 3, Shares(0.5, 0.2, 0.5)):
        ids = batch.ids[0].tolist()
        text = tokenizer.decode(ids, skip_special_tokens=False)
        turns = re.findall(r"(system|user)<\|end_header_id\|>\n\n(.*?)<\|eot_id\|>", text, flags=re.DOTALL)
        (_, system), *users = turns
        system, _, scene = system.removesuffix("\n<|scene_desc_end|>").partition("\n\n<|scene_desc_start|>\n")
        seen.add((len(users) > 1, SCENE in scene, "SPEAKER1" in scene, "[SPEAKER" in users[0][1]))
        assert system == (SMART_SYSTEM_TEXT if "SPEAKER" in scene else SYSTEM_TEXT)
        conversation = [("system", "text", system)] + ([("scene", "text", scene)] if scene else [])
        for _, words in users:
            conversation += [("user", "text", words), ("assistant", "audio", silence)]
        expected = processor.apply_chat_template(
            [{"role": role, "content": [{"type": kind, kind: content}]} for role, kind, content in conversation[:-1]],
            add_generation_prompt=True, tokenize=True, return_dict=True, sampling_rate=SAMPLE_RATE, return_tensors="pt",
        )["input_ids"][0].tolist()  # fmt: skip
        prompt = ids[: len(ids) - ids[::-1].index(tokenizer.token_to_id("<|audio_out_bos|>"))]
        assert [one for one in prompt if one != audio_id] == [
            one for one in expected if one not in (audio_id, delay_id)
        ]
        assert ids[len(prompt) :] == [audio_id] * (len(ids) - len(prompt))
    assert len(seen) >= 10


def test_in_a_conversation_everybody_keeps_a_voice_and_is_told_apart_by_the_text(readings):
    maker, generator, numbers = ConversationMaker(readings), random.Random(5), set()
    for _ in range(300):
        conversation = maker.draw(generator, Shares(0.2, 0.1, 1.0))
        voices = {speaker.tag: speaker for speaker in conversation.speakers}
        assert len(voices) == len(conversation.speakers)
        numbers.add(len(voices))
        for part in conversation.parts:
            speaker = voices[part.tag]
            assert {reading.voice for reading in part.readings} == {speaker.voice}
            assert speaker.clip is None or speaker.clip.voice == speaker.voice
            assert speaker.clip or not speaker.tag or SMART_VOICES[speaker.line.split(": ")[1]] == speaker.voice
            assert speaker.line in conversation.system
        tags = [part.tag for part in conversation.parts]
        assert len(voices) == 1 or all(one != other for one, other in itertools.pairwise(tags))
        frames = sum(reading.codes.shape[1] for part in conversation.parts for reading in part.readings)
        assert len(conversation.parts) == 1 or frames <= MOST_FRAMES
    assert numbers == {1, 2, 3, 4}


def test_targets_are_the_next_column_and_end_in_the_models_own_way(readings):
    short = [reading for reading in readings if reading.codes.shape[1] == 40]
    by_codes = {}
    for batch in examples(ExampleMaker(short, trained_tokenizer()), 20, 2, Shares(0.0, 0.0, 0.0)):
        spoken = batch.targets.numpy()
        assert len(spoken) == 40 + 8
        for codebook in range(8):
            column = spoken[:, codebook]
            assert (column[:codebook] == IGNORED).all()
            assert (column[codebook + 40 :] == LAYOUT.stream_eos_id).all()
        codes = np.stack([spoken[k : k + 40, k] for k in range(8)])
        by_codes[codes.tobytes()] = True
    assert set(by_codes) <= {reading.codes.tobytes() for reading in short}


def test_a_reference_is_heard_by_the_encoder_and_learned_from_once_its_voice_is_known(readings):
    by_heard = {reading.heard.tobytes(): reading for reading in readings}
    for batch in examples(ExampleMaker(readings, trained_tokenizer()), 20, 2, Shares(1.0, 0.0, 0.0)):
        # What was said ends where the columns begin anew with a column of marks only.
        length = int((batch.columns[1:] == LAYOUT.stream_bos_id).all(dim=1).nonzero()[0]) + 1
        columns, targets = batch.columns[:length].numpy(), batch.targets[:length].numpy()
        frames = length - 1 - 8
        heard = np.stack([columns[1 + k : 1 + k + frames, k] for k in range(8)])
        reading = by_heard[heard.tobytes()]
        assert (targets[:VOICE_KNOWN] == IGNORED).all() and (targets[-1] == IGNORED).all()
        known = np.stack([targets[k : k + frames, k] for k in range(8)])
        learned = known != IGNORED
        assert learned[:, VOICE_KNOWN:].any() and (known[learned] == reading.codes[learned]).all()


def test_each_column_knows_its_letter_and_the_next(readings):
    tokenizer = trained_tokenizer()
    for batch in examples(ExampleMaker(readings, tokenizer), 30, 4, Shares(0.0, 0.5, 0.0)):
        said, coming = (_characters(batch, known, tokenizer) for known in (batch.letter, batch.coming))
        assert said[-9:] == ["<|eot_id|>"] * 9
        reading = next(one for one in readings if len(one.places) + 8 == len(said))
        for letter, place in zip(said[:-8], reading.places, strict=True):
            expected = (reading.written + "|")[place].lower()
            assert letter.lower() == expected or (letter == "<|eot_id|>" and expected in ".|")
        places = batch.letter.tolist()
        followers = dict(itertools.pairwise(dict.fromkeys(places))) | {places[-1]: places[-1]}
        assert batch.coming.tolist() == [followers[place] for place in places]
        assert coming[-1] == "<|eot_id|>"


def test_the_phones_of_a_letter_are_to_be_known_a_few_letters_later_and_nowhere_else(readings):
    tokenizer, written = trained_tokenizer(), {reading.written: reading for reading in readings}
    alike = [replace(reading, sounds=written[reading.written].sounds) for reading in readings]
    for batch in examples(ExampleMaker(alike, tokenizer), 30, 5, Shares(0.0, 0.3, 0.5)):
        known = (batch.sounds[0] != IGNORED).all(dim=1)
        assert (known == (batch.sounds[0] != IGNORED).any(dim=1)).all()
        places = known.nonzero()[:, 0]
        text = _characters(batch, places, tokenizer)
        sounds = batch.sounds[0][places].numpy()
        ends = [place for place, letter in enumerate(text) if letter == "<|eot_id|>"]
        assert ends and (sounds[ends] == 0).all()
        start = 0
        for end in ends:  # the first sentence of each turn, whose capital and full stop a user may leave out
            said = "".join(text[start:end])
            reading = next(one for sentence, one in written.items() if said.lower().startswith(sentence[:-1].lower()))
            length = len(reading.written) - 1
            assert (sounds[start : start + length] == reading.sounds[:length]).all()
            start = end + 1


def test_in_a_conversation_every_part_is_read_letter_by_letter_from_its_own_text(readings):
    tokenizer, audio_id, parts = trained_tokenizer(), trained_tokenizer().token_to_id("<|AUDIO_OUT|>"), 0
    for batch in examples(ExampleMaker(readings, tokenizer), 40, 6, Shares(0.0, 0.0, 1.0)):
        text = tokenizer.decode(batch.ids[0].tolist(), skip_special_tokens=False)
        turns = re.findall(r"user<\|end_header_id\|>\n\n(?:\[SPEAKER\d\] )?(.*?)<\|eot_id\|>", text)
        is_audio = torch.eq(batch.ids[0], audio_id).tolist()
        turn_of = [turn for turn, (audio, run) in enumerate(_runs(is_audio)) for _ in range(run) if audio]
        said = _characters(batch, batch.letter, tokenizer)
        learned = (batch.targets != IGNORED).any(dim=1).tolist()
        for turn, columns in itertools.groupby(range(len(said)), key=lambda column: turn_of[column]):
            first, *others = columns
            if learned[first]:  # a part; of clips the beginning is never learned
                places = [batch.letter[column].item() for column in (first, *others)]
                assert places == sorted(places)
                letters = [said[places.index(place) + first] for place in dict.fromkeys(places)]
                assert letters.pop() == "<|eot_id|>"
                assert _is_part(letters, turns[turn // 2]) and len(letters) > 0.8 * len(turns[turn // 2])
                parts += 1
    assert parts > 40


def _is_part(letters: Iterable[str], text: str) -> bool:
    """Whether the letters come in this order in the text."""
    rest = iter(text)
    return all(letter in rest for letter in letters)


def _runs(values: list[bool]) -> list[tuple[bool, int]]:
    """Each value with how often it stands there in a row."""
    return [(value, len(list(run))) for value, run in itertools.groupby(values)]


def _characters(batch: Batch, known: torch.Tensor, tokenizer: Tokenizer) -> list[str]:
    """The character that each of the positions is to know."""
    return [tokenizer.decode([one], skip_special_tokens=False) for one in batch.ids[0][known - LOOKAHEAD].tolist()]


def _bare(text: str) -> str:
    """A written sentence or word without capitals and marks."""
    return re.sub(r"<\|eot_id\|>|[.,!?]", "", text).strip().lower()


def test_padding_and_order_do_not_mix_examples(readings):
    maker = ExampleMaker(readings, trained_tokenizer())
    batch = maker.batches(1, 1500, random.Random(3), Shares(0.5, 0.5, 0.5))[0]
    assert len(batch.ids) > 2
    audio_id = trained_tokenizer().token_to_id("<|AUDIO_OUT|>")
    counts = torch.eq(batch.ids, audio_id).sum(dim=1)
    assert {len(one) for one in (batch.columns, batch.targets, batch.letter, batch.coming)} == {int(counts.sum())}
    padded = torch.eq(batch.ids, trained_tokenizer().token_to_id("<|end_of_text|>"))
    assert padded.any() and (batch.sounds[padded] == IGNORED).all()
    assert batch.sounds.shape[:2] == batch.ids.shape


@pytest.fixture(scope="module")
def spelling() -> Spelling:
    """Learned from common words, as the recogniser's dictionary says them."""
    common = set(OpenText().frequent[:1500])
    lines = (line.split() for line in Path(get_model_path(), DICTIONARY).read_text("utf-8").splitlines())
    return Spelling.learn({word: [phone.lower() for phone in phones] for word, *phones in lines if word in common})


@pytest.mark.parametrize(
    ("word", "spelled"),
    [
        ("cat", "c:k a:ae t:t"),
        ("bite", "b:b i:ay t:t"),  # a silent letter
        ("box", "b:b o:aa x:k x:s"),  # a letter of two phones
        ("quick", "q:k q:w i:ih c:k"),
        ("music", "m:m u:y u:uw s:z i:ih c:k"),
        ("phasis", "p:f a:ey s:s i:ih s:s"),  # the second of two letters for one phone is silent
        ("zaxp", "z:z a:ae x:ng p:p"),  # a letter and a phone that never met
    ],
)
def test_it_is_learned_which_letters_spell_which_phones(spelling: Spelling, word: str, spelled: str):
    letters, phones = zip(*(one.split(":") for one in spelled.split()), strict=True)
    assert [word[place] for place in spelling.letters(word, phones)] == list(letters)


def test_phones_that_letters_cannot_spell_are_spread_over_them(spelling: Spelling):
    assert spelling.letters("mr", ["m", "ih", "s", "t", "er"]) == [0, 0, 0, 1, 1]
    assert spelling.letters("cat", []) == []


def test_frames_are_told_apart_by_letter_and_letters_by_phones(spelling: Spelling):
    spoken = [(PAUSE, 0.10), ("dh", 0.14), ("ax", 0.20), ("k", 0.26), ("ae", 0.36), ("t", 0.40), (PAUSE, 0.48)]
    phones = [Phone(name, end) for name, end in [*spoken, ("b", 0.56), ("aa", 0.64), ("k", 0.68), ("s", 0.72)]]
    words = [("dh", "iy"), ("k", "ae", "t"), ("b", "aa", "k", "s")]  # "the" alone sounds otherwise
    text = "The cat, box!"
    assert words_of(text) == ["the", "cat", "box"]
    timing = LetterTiming(text, words, [*phones, Phone(PAUSE, 0.80)], spelling)
    assert "".join((text + "|")[place] for place in timing.places(21, 0.04)) == "hhheecaaatttbbooxx|||"
    sounds = {
        text[place]: [PHONES[sound] for sound in sounds if sound]
        for place, sounds in enumerate(timing.sounds)
        if sounds.any()
    }
    assert sounds == {
        "h": ["dh"], "e": ["ax"], "c": ["k"], "a": ["ae"], "t": ["t"], "b": ["b"], "o": ["aa"], "x": ["k", "s"]
    }  # fmt: skip


def test_latents_hold_what_a_frame_sounds_like(space, speech):
    assert space.latents.explained(speech) > 0.9
    latents = space.latents.latents(speech[0])
    assert latents.shape == (FRAMES, 64)
    # A frame's features end with its windows: they see a half window to each side and nothing else.
    changed = speech[0].copy()
    changed[30 * HOP :] = 0.0
    same = (frame_features(changed) == frame_features(speech[0])).all(dim=1)
    assert same[:29].all() and not same[31:].any()


def test_each_codebook_brings_the_sum_nearer(space, speech):
    points = torch.cat([space.latents.latents(clip) for clip in speech])
    # Of few codes, so that the last ones too have more to explain than rounding.
    codebooks, unexplained = fit_codebooks(points, 8, 64, torch.Generator().manual_seed(1))
    codes, sums = quantize(points, codebooks)
    left = (sums - points[:, None]).square().mean(dim=(0, 2))
    assert (left[1:] < left[:-1]).all()
    assert unexplained == pytest.approx(float(left[-1] / points.var(dim=0, unbiased=False).mean()), rel=1e-3)
    assert torch.equal(sums[:, -1], sum(book[codes[:, index]] for index, book in enumerate(codebooks)))


@torch.no_grad()
def test_transformers_codec_computes_what_was_trained(parts, space, speech):
    audio = torch.from_numpy(speech[0])[None]
    latents = parts.encode(audio)[0]
    codes, sums = quantize(latents, space.codebooks)
    theirs = parts.codec.encode(audio[None]).audio_codes[0].T
    left = torch.cat([latents[:, None], latents[:, None] - sums[:, :-1]], dim=1)  # what each codebook has to explain
    for frame in (codes != theirs).any(dim=1).nonzero()[:, 0].tolist():
        # Only a tie may fall to either side; what follows it in the frame then differs as well.
        first = int((codes[frame] != theirs[frame]).nonzero()[0])
        chosen = space.codebooks[first][torch.stack([codes[frame, first], theirs[frame, first]])]
        ours, other = (left[frame, first] - chosen).norm(dim=1)
        assert abs(ours - other) <= TIE * latents[frame].norm()
    decoded = parts.codec.decode(codes.T[None]).audio_values[0, 0]
    assert torch.allclose(decoded, parts.decode(sums[None, :, -1])[0], atol=1e-5)


@torch.no_grad()
def test_a_codec_to_start_from_is_adapted_to_the_new_space(parts, space, speech):
    """Its encoder computes the new latents as well as a linear map can, and its decoder speaks as it did."""
    turned = LatentSpace(space.latents.mean, space.latents.components.flip(1) * 1.5)
    points = torch.cat([turned.latents(clip) for clip in speech])
    there, back = torch.zeros(65, 64), torch.zeros(65, 64)
    there[:64], back[:64] = torch.eye(64).flip(0) / 1.5, torch.eye(64).flip(0) * 1.5
    there[-1], back[-1] = 0.25, -0.375  # of latents that are 0.25 more, turned back
    adapted = CodecParts(CodeSpace(turned, space.codebooks, there, back), parts.codec)
    latents = points[:40]
    as_before = parts.decode((latents @ there[:64] + 0.25)[None])
    # The projection is orthonormal in float16 only.
    assert torch.allclose(adapted.decode(latents[None]), as_before, atol=1e-2 * as_before.abs().max())
    expected = encode(parts.codec, speech[0]) @ back[:64] - 0.375
    assert torch.allclose(encode(adapted.codec, speech[0]), expected, atol=1e-2 * expected.abs().max())


class _Line(Training):
    """A line through noisy points, the noise drawn from the step's number."""

    def __init__(self, file: Path) -> None:
        torch.manual_seed(0)
        self.line = nn.Linear(3, 1)
        super().__init__(self.line, torch.optim.AdamW(self.line.parameters(), lr=1e-2), file, steps=40)

    def loss(self) -> torch.Tensor:
        points = torch.randn(16, 3, generator=torch.Generator().manual_seed(self.step))
        return (self.line(points) - points.sum(dim=1, keepdim=True)).square().mean()

    def report(self) -> str:
        return ""


def test_a_killed_training_goes_on_as_if_it_had_not_been(tmp_path):
    unbroken = _Line(tmp_path / "unbroken.pt")
    unbroken.run()
    _Line(tmp_path / "killed.pt").run(until=13)
    resumed = _Line(tmp_path / "killed.pt")
    assert resumed.step == 13
    resumed.run()
    for ours, theirs in zip(resumed.line.parameters(), unbroken.line.parameters(), strict=True):
        assert torch.equal(ours, theirs)
