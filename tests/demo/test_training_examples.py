"""The examples that the demo voice learns are what a server prompts it with."""

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
from tokenizers import Tokenizer
from transformers import AutoProcessor

from convert.torchaudio_shim import install
from demo.codec import SAMPLE_RATE
from demo.domain import Domain
from demo.tokenizer import write_text_side
from demo.training.conversations import MOST_FRAMES, SCENE, SMART_VOICES, ConversationMaker, Shares
from demo.training.examples import IGNORED, LAYOUT, LOOKAHEAD, Batch, ExampleMaker, slipped
from demo.training.features import HOP
from demo.training.place_marks import MARKED, PlaceMarks
from demo.training.quantizer import quantize
from demo.training.readings import PHONES, VOICES, Reading
from demo.training.vocabulary import trained_tokenizer
from runtime.text.dialogue.voice_assignment import SMART_SYSTEM_TEXT
from runtime.text.prompt_encoder import SYSTEM_TEXT
from tests.demo.conftest import CODEBOOKS


@pytest.fixture(scope="module")
def readings() -> list[Reading]:
    """Two sentences a voice with codes of their own, each letter about as many frames long as the others."""
    domain, noise = Domain.load(), np.random.default_rng(0)
    made = []
    for sentence, frames in zip(domain.sentences(2, 0, False), (40, 51), strict=True):
        written = domain.written(sentence)
        places = np.arange(frames) * (len(written) + 4) // frames  # the end is silent
        for voice in VOICES:
            codes = noise.integers(0, 1024, (8, frames))
            heard = noise.integers(0, 1024, (8, frames + 3))  # its frames are others than the phones'
            sounds = noise.integers(0, len(PHONES), (len(written), 2))
            made.append(Reading(written, voice, codes, heard, np.minimum(places, len(written)), sounds))
    return made


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
    for batch in examples(ExampleMaker(readings, CODEBOOKS, tokenizer), 200, 7, Shares(0.5, 0.2, 0.5)):
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
    for batch in examples(ExampleMaker(short, CODEBOOKS, trained_tokenizer()), 20, 2, Shares(0.0, 0.0, 0.0)):
        spoken = batch.targets.numpy()
        assert len(spoken) == 40 + 8
        for codebook in range(8):
            column = spoken[:, codebook]
            assert (column[:codebook] == IGNORED).all()
            assert (column[codebook + 40 :] == (IGNORED if codebook else LAYOUT.stream_eos_id)).all()
        codes = np.stack([spoken[k : k + 40, k] for k in range(MARKED)])
        by_codes[codes.tobytes()] = True
    assert set(by_codes) <= {reading.codes[:MARKED].tobytes() for reading in short}


def test_the_last_two_codes_tell_where_in_the_text_the_speech_is(readings):
    meanings = [dict[int, set[tuple[object, ...]]](), dict[int, set[tuple[object, ...]]]()]
    tokenizer = trained_tokenizer()
    for batch in examples(ExampleMaker(readings, CODEBOOKS, tokenizer), 30, 4, Shares(0.0, 0.5, 0.0)):
        places = (batch.letter - LOOKAHEAD).tolist()
        text = [tokenizer.decode([one], skip_special_tokens=False).lower() for one in batch.ids[0].tolist()]
        for column, (place, marks) in enumerate(zip(places, batch.targets[:, MARKED:].tolist(), strict=True)):
            if MARKED < column < len(places) - 2:  # before and behind are a stream's own marks
                before, letter = places[column - 1], text[place]
                count = column - places.index(place)
                meanings[0].setdefault(marks[0], set()).add((text[before - 1], text[before + 1]))
                meanings[1].setdefault(marks[1], set()).add((letter, count))
    for meaning in meanings:
        told = [one for some in meaning.values() for one in some]
        assert len(meaning) > 20 and all(len(some) == 1 for some in meaning.values())
        assert len(told) == len(set(told))


def test_marks_of_places_are_codes_and_the_commonest_ones_the_smallest():
    codebooks = torch.randn(8, 1024, 4, generator=torch.Generator().manual_seed(0))
    text = "Teeth, 21 élans; 'twas it<|eot_id|>"
    codes, lengths = np.full((8, 3 * len(text)), 5), codebooks.norm(dim=2)
    for places in (np.arange(3 * len(text)) // 3, np.full(3 * len(text), 4)):
        marked = PlaceMarks(codebooks).mark(codes[:, : 3 * len(text) - 3], text, places[: 3 * len(text) - 3])
        assert (marked[:MARKED] == 5).all() and marked.shape[1] == 3 * len(text) - 3
        assert marked.min() >= 0 and marked.max() < 1024
    points = PlaceMarks(codebooks).points
    one, other = (
        PlaceMarks(codebooks).mark(codes[:, :40], text, np.arange(40) // 5) for text in ("tea etc.<", "tie etc.<")
    )
    for frame in range(40):  # of another letter, for as long, the second half is the same
        first, second = (points[MARKED + 1, marked[MARKED + 1, frame]] for marked in (one, other))
        assert first.sum() == second.sum() == 2
        same = one[MARKED + 1, frame] == other[MARKED + 1, frame]
        assert int((first * second).sum()) == (2 if same else 1)
    often = PlaceMarks(codebooks).mark(codes[:, :40], "tea etc.<", np.arange(40) // 5)
    rare = PlaceMarks(codebooks).mark(codes[:, :40], "Q5zj%xq0<", np.arange(40) // 5)
    for codebook in (MARKED, MARKED + 1):
        assert lengths[codebook, often[codebook]].mean() < lengths[codebook, rare[codebook]].mean()


@pytest.mark.parametrize("slips", [0.0, 0.25])
def test_after_slips_the_codes_that_follow_come_nearest_to_what_was_meant(slips):
    noise, drawn = np.random.default_rng(1), torch.Generator().manual_seed(1)
    codebooks = torch.randn(8, 32, 4, generator=drawn) * 0.7 ** torch.arange(8)[:, None, None]
    meant = torch.randn(200, 4, generator=drawn)
    codes = quantize(meant, codebooks)[0].T.numpy()
    meant = sum(book[row] for book, row in zip(codebooks, codes, strict=True))
    said, wanted = slipped(codes, codebooks, slips, noise)
    assert ((said != codes).mean(axis=1) > 0.1).all() == (slips > 0)
    so_far = torch.zeros_like(meant)
    for codebook, spoken, following in zip(codebooks, said, wanted, strict=True):
        distances = (so_far[:, None] + codebook - meant[:, None]).norm(dim=2)
        assert (distances.argmin(dim=1).numpy() == following).all()
        so_far += codebook[spoken]


def test_a_reference_is_heard_by_the_encoder_and_not_learned(readings):
    references = {reading.heard.tobytes() for reading in readings}
    for batch in examples(ExampleMaker(readings, CODEBOOKS, trained_tokenizer()), 20, 2, Shares(1.0, 0.0, 0.0)):
        # What was said ends where the columns begin anew with a column of marks only.
        length = int((batch.columns[1:] == LAYOUT.stream_bos_id).all(dim=1).nonzero()[0]) + 1
        columns, targets = batch.columns[:length].numpy(), batch.targets[:length].numpy()
        frames = length - 1 - 8
        heard = np.stack([columns[1 + k : 1 + k + frames, k] for k in range(8)])
        assert heard.tobytes() in references and (targets == IGNORED).all()
        assert (batch.targets[length:] != IGNORED).any()


def test_each_column_knows_its_letter_and_the_next(readings):
    tokenizer = trained_tokenizer()
    for batch in examples(ExampleMaker(readings, CODEBOOKS, tokenizer), 30, 4, Shares(0.0, 0.5, 0.0)):
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
    for batch in examples(ExampleMaker(alike, CODEBOOKS, tokenizer), 30, 5, Shares(0.0, 0.3, 0.5)):
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
    for batch in examples(ExampleMaker(readings, CODEBOOKS, tokenizer), 40, 6, Shares(0.0, 0.0, 1.0)):
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
    maker = ExampleMaker(readings, CODEBOOKS, trained_tokenizer())
    batch = maker.batches(1, 3000, random.Random(3), Shares(0.5, 0.5, 0.5))[0]
    assert len(batch.ids) > 2
    audio_id = trained_tokenizer().token_to_id("<|AUDIO_OUT|>")
    counts = torch.eq(batch.ids, audio_id).sum(dim=1)
    assert {len(one) for one in (batch.columns, batch.targets, batch.letter, batch.coming)} == {int(counts.sum())}
    padded = torch.eq(batch.ids, trained_tokenizer().token_to_id("<|end_of_text|>"))
    assert padded.any() and (batch.sounds[padded] == IGNORED).all()
    assert batch.sounds.shape[:2] == batch.ids.shape
