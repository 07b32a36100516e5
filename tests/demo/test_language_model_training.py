"""The language model's training computes what transformers computes, resumes, and needs neither flite nor a codec."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration

from demo.domain import Domain
from demo.language_model import config_json
from demo.sizes import CODEBOOK_SIZE, LETTER_VOCABULARY, SIZES
from demo.training import loop, train_language_model
from demo.training.batches import PHASES, Batches, shares_at
from demo.training.code_geometry import AlongCodes
from demo.training.conversations import Shares
from demo.training.examples import ExampleMaker
from demo.training.network import Places, forward, rows_of, run_layer
from demo.training.publish import _learned
from demo.training.readings import (
    PHONES,
    VOICES,
    WORDS_FILE,
    Reading,
    read_codebooks,
    read_readings,
    write_codebooks,
    write_readings,
)
from demo.training.train_language_model import DTYPE, HEADS, STATE, WEIGHTS, LanguageModelTraining
from demo.training.vocabulary import trained_tokenizer
from demo.training.word_practice import LISTED, words_in
from tests.conftest import ROOT
from tests.demo.conftest import CODEBOOKS

SIZE = replace(SIZES["tiny"], hidden_size=64, num_layers=6, num_heads=8, head_dim=8, vocab_size=LETTER_VOCABULARY)
# float32's rounding through six layers, of states of size 1.
TOLERANCE = 1e-4
AFTER = (2, 4)
POSITIONS = 200  # of a step


def made(seed: int) -> list[Reading]:
    domain, noise = Domain.load(), np.random.default_rng(seed)
    readings = []
    for number, sentence in enumerate(domain.sentences(12, seed, False)):
        written, frames = domain.written(sentence), 30 + 3 * number
        places = np.arange(frames) * (len(written) + 1) // frames
        codes = noise.integers(0, 1024, (8, frames))
        heard = noise.integers(0, 1024, (8, frames + 3 + number))  # its frames are not the phones'
        sounds = np.array([[ord(letter) % len(PHONES), 0] for letter in written])
        readings.append(Reading(written, VOICES[number % 3], codes, heard if number % 2 else None, places, sounds))
    return readings


def unspoken() -> list[Reading]:
    return [Reading.silent(word, np.ones((len(word), 2), np.int64)) for word in ("Pizza", "mushroom")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work") / "readings"
    folder.mkdir()
    write_codebooks(folder.parent, CODEBOOKS)
    for number in range(2):
        write_readings(folder / f"{number}.npz", made(number))
    write_readings(folder.parent / WORDS_FILE, unspoken())
    return folder


@pytest.fixture(autouse=True)
def _short_reports_and_practice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_language_model, "HELD_OUT_POSITIONS", 400)
    monkeypatch.setattr(train_language_model, "PRACTISED", 10)


@pytest.fixture
def few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the words that are practised; processes that draw examples do not know of it."""
    monkeypatch.setattr("demo.training.batches.SENTENCES", 3)
    monkeypatch.setattr("demo.training.batches.LISTED", 4)


def training(folder: Path, file: Path, steps: int = 30) -> LanguageModelTraining:
    held_out = {"few": ExampleMaker(made(7), CODEBOOKS, trained_tokenizer())}
    return LanguageModelTraining(Batches(folder, POSITIONS, workers=0), held_out, CODEBOOKS, file, SIZE, steps)


def test_readings_are_kept_as_they_were(folder):
    for ours, theirs in zip(read_readings(folder / "0.npz"), made(0), strict=True):
        assert (ours.written, ours.voice) == (theirs.written, theirs.voice)
        assert all((getattr(ours, name) == getattr(theirs, name)).all() for name in ("codes", "places", "sounds"))
        assert (ours.heard is None) == (theirs.heard is None)
        assert ours.heard is None or (ours.heard == theirs.heard).all()
    seconds = (
        sum(reading.codes.shape[1] + (0 if reading.heard is None else reading.heard.shape[1]) for reading in made(0))
        / 25
    )
    assert (folder / "0.npz").stat().st_size < 350 * seconds + 3000


def test_words_that_are_only_read_are_kept_and_drawn_beside_those_of_sentences(folder):
    for ours, theirs in zip(read_readings(folder.parent / WORDS_FILE), unspoken(), strict=True):
        assert (ours.written, ours.codes.shape, ours.places.shape) == (theirs.written, (8, 0), (0,))
        assert (ours.sounds == theirs.sounds).all()
    batches = Batches(folder, 400, workers=0)
    for _, words in itertools.islice(batches.of_steps(0, lambda: 0.0), 3):
        written = [word.written for word in words]
        assert written.count("Pizza") + written.count("mushroom") == LISTED < len(words)


def test_a_sentence_too_long_for_its_places_is_refused(tmp_path):
    long = replace(made(0)[0], written="a" * 256)
    with pytest.raises(ValueError, match="at most 255 characters, this one 256"):
        write_readings(tmp_path / "long.npz", [long])
    assert not (tmp_path / "long.npz").exists()


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for a CPU with g++")


@pytest.mark.parametrize("is_compiled", [False, pytest.param(True, marks=[pytest.mark.long, needs_compiler])])
@torch.no_grad()
def test_the_forward_pass_is_transformers(folder, is_compiled):
    torch.manual_seed(1)
    model = HiggsAudioV2ForConditionalGeneration(
        HiggsAudioV2Config(**config_json(SIZE, "float32") | {"attn_implementation": "eager"}), use_text_head=True
    ).eval()
    for tensor in model.parameters():
        tensor.add_(0.1 * torch.randn_like(tensor))  # text and audio norms begin as equals
    maker = ExampleMaker(list(read_readings(folder / "0.npz")), read_codebooks(folder.parent), trained_tokenizer())
    batch = maker.batches(1, 3000, random.Random(3), Shares(0.5, 0.5, 0.5))[0]
    assert len(batch.ids) > 2
    theirs = model.model(
        input_ids=batch.ids,
        audio_input_ids=batch.columns,
        use_cache=False,
        output_attentions=True,
        output_hidden_states=True,
    )
    flat = batch.ids.flatten() == model.config.audio_token_id
    places = Places(*((~flat).nonzero()[:, 0], flat.nonzero()[:, 0], flat.nonzero()[:, 0][3:]))
    layer_run = torch.compile(run_layer, dynamic=True) if is_compiled else run_layer
    ours = forward(model, batch.ids, batch.columns, places, HEADS, AFTER, layer_run)
    assert torch.allclose(ours.last, theirs.last_hidden_state, atol=TOLERANCE)
    for after in AFTER:
        expected = theirs.hidden_states[after]
        assert torch.allclose(ours.between[after], expected, atol=TOLERANCE * expected.abs().max())
    shallow = forward(model, batch.ids, batch.columns, places, (), AFTER[:1], layer_run, depth=AFTER[0])
    assert torch.equal(shallow.between[AFTER[0]], ours.between[AFTER[0]])
    for layer, head in HEADS:
        expected = rows_of(theirs.attentions[layer][:, head], places.rows)
        assert torch.allclose(ours.attention[layer, head], expected, atol=TOLERANCE)


@torch.no_grad()
def test_the_forward_pass_may_compute_in_sixteen_bits(folder):
    """As on a GPU."""
    torch.manual_seed(1)
    model = HiggsAudioV2ForConditionalGeneration(HiggsAudioV2Config(**config_json(SIZE, "float32")), use_text_head=True)
    maker = ExampleMaker(list(read_readings(folder / "0.npz")), read_codebooks(folder.parent), trained_tokenizer())
    batch = maker.batches(1, 400, random.Random(3), Shares(0.5, 0.5, 0.0))[0]
    flat = batch.ids.flatten() == model.config.audio_token_id
    places = Places(*((~flat).nonzero()[:, 0], flat.nonzero()[:, 0], flat.nonzero()[:, 0]))
    whole = forward(model, batch.ids, batch.columns, places, HEADS, AFTER)
    with torch.autocast("cpu", torch.bfloat16):
        half = forward(model, batch.ids, batch.columns, places, HEADS, AFTER)
    assert half.last.dtype == torch.float32 and not torch.equal(half.last, whole.last)
    # bfloat16 has 8 bits, and states behind the final norm have a size of 1.
    assert (half.last - whole.last).abs().mean() < 2**-6
    for head in HEADS:
        assert (half.attention[head] - whole.attention[head]).abs().max() < 2**-6


def test_what_is_learned_of_some_codes_holds_for_their_neighbours():
    torch.manual_seed(0)
    codebooks, meaning = torch.randn(2, 1024, 6), torch.randn(6, 5)
    table = nn.Parameter(torch.zeros(2 * CODEBOOK_SIZE, 5))
    along_codes = AlongCodes(table, codebooks)
    groups = [{"params": [table], "lr": 1e-3}, {"params": [along_codes.slopes], "lr": 0.1}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0)
    along_codes.steer(optimizer)
    seen, unseen = torch.arange(1024) < 100, torch.arange(1024) >= 100
    wanted = codebooks @ meaning
    for _ in range(400):
        optimizer.zero_grad()
        (table.view(2, CODEBOOK_SIZE, 5)[:, :1024] - wanted)[:, seen].square().mean().backward()
        optimizer.step()
        assert not along_codes.slopes.any()
    learned = table.detach().view(2, CODEBOOK_SIZE, 5)
    left = (learned[:, :1024] - wanted).square().mean(dim=(0, 2))
    assert left[seen].mean() < 0.01 * wanted.square().mean()
    assert left[unseen].mean() < 0.1 * wanted.square().mean()
    assert not learned[:, 1024:].any()  # the marks are no points


def test_a_folder_without_the_words_is_refused(folder, tmp_path, monkeypatch, capsys):
    write_codebooks(tmp_path, CODEBOOKS)
    monkeypatch.setattr(sys, "argv", ["train_language_model", "--work", str(tmp_path)])
    with pytest.raises(SystemExit):
        train_language_model.main()
    assert "reading_words.npz is missing; demo.training.reading_set makes it" in capsys.readouterr().err


def test_the_words_that_are_misread_the_most_are_practised(folder, tmp_path, monkeypatch):
    taught = training(folder, tmp_path / "taught.pt")
    words = [word for reading in made(3)[:4] for word in words_in(reading)]
    with torch.no_grad():
        surprise, word = taught._read(words)
    assert len(surprise) == sum(len(one.written) for one in words)
    misread = [float(surprise[word == place].sum()) for place in range(len(words))]
    monkeypatch.setattr(train_language_model, "PRACTISED", 1)
    worst = words[int(np.argmax(misread))]
    torch.testing.assert_close(taught._practise(words), taught._read([worst])[0].mean())


@pytest.mark.usefixtures("few_words")
def test_a_killed_training_goes_on_as_if_it_had_not_been(folder, tmp_path):
    unbroken = training(folder, tmp_path / "unbroken.pt")
    unbroken.run()
    training(folder, tmp_path / "killed.pt").run(until=27)
    resumed = training(folder, tmp_path / "killed.pt")
    assert (resumed.step, resumed.progress) == (27, 27 / 30)
    resumed.run()
    for ours, theirs in zip(resumed.model.parameters(), unbroken.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_examples_drawn_by_processes_are_the_same(folder, tmp_path):
    alone, batches = training(folder, tmp_path / "alone.pt"), Batches(folder, POSITIONS, workers=1)
    helped = LanguageModelTraining(batches, {}, CODEBOOKS, tmp_path / "helped.pt", SIZE, alone.steps)
    alone.run(until=3)
    helped.run(until=2)
    helped = LanguageModelTraining(
        batches, {}, CODEBOOKS, tmp_path / "helped.pt", SIZE, alone.steps
    )  # and goes on within a pool
    helped.run(until=3)
    batches.close()
    for ours, theirs in zip(alone.model.parameters(), helped.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_drawing_examples_leaves_the_training_its_threads(folder, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        training(folder, tmp_path / "alone.pt").run(until=1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("few_words")
def test_a_training_of_so_many_minutes_ends_then_with_a_rate_that_fell_to_its_end(folder, tmp_path, monkeypatch):
    clock = itertools.count(0.0, 0.1)  # each look at it takes 0.1 s
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    timed = training(folder, tmp_path / "timed.pt", steps=10**9)
    timed.run(minutes=0.05)
    assert timed.progress == 1.0 and timed.step >= 20
    rate = timed.optimizer.param_groups[0]["lr"]
    assert rate < 0.2 * timed._peaks[0]
    again = training(folder, tmp_path / "timed.pt", steps=10**9)
    again.run(minutes=1)
    assert again.step == timed.step  # nothing is left to do


@pytest.mark.usefixtures("few_words")
def test_a_few_steps_teach_the_guided_heads_and_the_phones(folder, tmp_path):
    taught = training(folder, tmp_path / "taught.pt", steps=240)
    batch = taught._held_out["few alone"][0]
    with torch.no_grad():
        _, _, guided, naming = taught._measure(batch)
    taught.run()
    with torch.no_grad():
        _, _, heads, named = taught._measure(batch)
    assert heads.mean() < 0.8 * guided.mean()
    assert (named < 0.8 * naming).all()


def test_what_was_learned_is_published_sharper_while_it_trains_and_in_sixteen_bits_at_the_end(folder, tmp_path):
    taught = training(folder, tmp_path / STATE)
    taught.run(until=2)
    so_far = _learned(tmp_path)
    taught.write(tmp_path / WEIGHTS)
    at_the_end = _learned(tmp_path)
    for name, tensor in taught.model.state_dict().items():
        expected = tensor * 8 if name == "audio_lm_head.weight" else tensor
        assert torch.equal(so_far[name], expected)
        assert torch.equal(at_the_end[name], expected.to(DTYPE))


def test_every_phase_of_the_training_has_its_examples():
    assert shares_at(0.0) == PHASES[0][1] and shares_at(0.5) == PHASES[1][1]
    assert shares_at(0.99) == shares_at(1.0) == PHASES[2][1]


def test_it_can_be_imported_where_neither_flite_nor_audio_nor_a_recogniser_is():
    """On a machine with a GPU and little else."""
    missing = ("soundfile", "soxr", "pocketsphinx", "wordfreq", "num2words", "onnx", "tritonclient", "higgs_tts")
    code = f"import sys; sys.modules.update(dict.fromkeys({missing!r})); import demo.training.train_language_model"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
