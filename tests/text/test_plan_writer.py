"""From request to speech plan and back: what the text stage writes is what the language model's stage reads."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.engine.types import AudioSegment, CodebookLayout, ModelDescription, TextSegment
from runtime.formats.errors import InvalidRequestError
from runtime.formats.options import OptionLimits
from runtime.formats.speech_plan import SpeechPlan
from runtime.speech.prompts import Prefix, read_prefixes
from runtime.text.dialogue.dialogue import DialogueTurn
from runtime.text.dialogue.voice_assignment import assign
from runtime.text.languages import LANGUAGES
from runtime.text.parts import text_parts
from runtime.text.plan_writer import PlanLimits, PlanWriter, WrittenPlan
from runtime.text.prompt_encoder import PromptEncoder
from runtime.text.request_options import parse_options
from tests.text.test_voice_assignment import CLIP, THREE, Profile, Voices

TOKENIZER = Path(__file__).resolve().parents[2] / "demo" / "checkpoint" / "tokenizer.json"
LIMITS = PlanLimits(
    num_codebooks=8,
    frame_seconds=0.04,
    hop_length=960,
    max_positions=2048,
    max_prompt_audio_positions=100,
    positions_beside_clip=9,
)
OPTION_LIMITS = OptionLimits(1026, 0.04, 7200.0, 120.0, 7200.0, 7, 2, 64, 60, "all", 2000)
TWO = [DialogueTurn("Anna", "Hello Bob. How are you?"), DialogueTurn("Bob", "Fine, I have 3 dogs.")]
PROFILES = {"Anna": "slt", "Bob": "awb"}


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    return PromptEncoder(TOKENIZER)


def reference_mark() -> int:
    tokens = json.loads(TOKENIZER.read_text())["added_tokens"]
    return next(token["id"] for token in tokens if token["content"] == "<|AUDIO_OUT|>")


def write(
    encoder: PromptEncoder,
    turns: list[DialogueTurn],
    limits: PlanLimits = LIMITS,
    voices: Voices = THREE,
    **given: Any,
) -> WrittenPlan:
    params = parse_options(json.dumps(given), OPTION_LIMITS)
    made = assign(turns, params.speakers, None, voices, "en", params.scene, params.reference_place)
    parts = text_parts(turns, params, "en")
    return PlanWriter(encoder, limits).speech(made, params.system, params).plan(parts, LANGUAGES["en"], 0.0)


def read(encoder: PromptEncoder, written: WrittenPlan, codes: np.ndarray | None = None) -> SpeechPlan:
    """The plan as the next stage has it."""
    prefixes(written, codes)
    return SpeechPlan.read(written.plan.write())


def prefixes(written: WrittenPlan, codes: np.ndarray | None = None, mark: int | None = None) -> tuple[Prefix, ...]:
    layout = CodebookLayout(8, 1026, 1024, 1025)
    model = ModelDescription(layout, 1, 1, 1, 1 << 20, 4096, reference_mark() if mark is None else mark)
    frames = written.reference_lengths // 960
    clip = np.zeros((8, int(frames.sum())), np.int32) if codes is None else codes
    return read_prefixes(SpeechPlan.read(written.plan.write()), clip, frames, model)


def first_ids(written: WrittenPlan) -> list[int]:
    """All tokens of a plan of one prefix."""
    (prefix,) = written.plan.prefixes
    return [*prefix, *(token for part in written.plan.parts for token in part.ids)]


def test_what_is_written_is_read(encoder: PromptEncoder) -> None:
    written = write(encoder, TWO, speakers=PROFILES, seed=9, pause_seconds=0.2, hold_parts=True, max_retries=5)
    codes = np.arange(16, dtype=np.int32).reshape(8, 2)
    played = read(encoder, written, codes)
    assert played == written.plan
    (prefix,) = prefixes(written, codes)
    assert [segment for segment in prefix if isinstance(segment, AudioSegment)][1].columns[1, 0] == codes[0, 1]
    text = np.concatenate([segment.ids for segment in prefix if isinstance(segment, TextSegment)])
    whole = encoder.prefix(references=["[SPEAKER0] I am S L T.", "[SPEAKER1] I am A W B."])
    assert text.tolist() == [token for token in whole if token != reference_mark()]
    assert [(part.speaker, part.text) for part in played.parts] == [
        ("Anna", "Hello Bob. How are you?"),
        ("Bob", "Fine, I have three dogs."),
    ]
    assert played.parts[0].ids == tuple(encoder.turn("[SPEAKER0] Hello Bob. How are you?"))
    assert played.parts[1].ids == tuple(encoder.turn("[SPEAKER1] Fine, I have three dogs."))
    assert all(part.cloned for part in played.parts)
    assert (played.sampling.seed, played.hold_parts, played.max_retries) == (9, True, 5)
    assert played.about["voices"] == {"Anna": "slt", "Bob": "awb"}
    assert played.about["language"] == {"code": "en", "name": "English", "quality": "high"}


def test_speakers_kept_apart_speak_as_if_alone(encoder: PromptEncoder) -> None:
    apart = write(encoder, TWO, speakers=PROFILES, dialogue_context="own")
    assert [part.prefix for part in apart.plan.parts] == [0, 1]
    for turn, prefix, part in zip(TWO, prefixes(apart), apart.plan.parts, strict=True):
        alone = write(encoder, [turn], speakers={turn.speaker: PROFILES[turn.speaker or ""]})
        assert part.ids == alone.plan.parts[0].ids
        for own, other in zip(prefix, prefixes(alone)[0], strict=True):
            values = [s.columns if isinstance(s, AudioSegment) else s.ids for s in (own, other)]
            np.testing.assert_array_equal(*values)


def test_pieces_of_a_prompt_make_the_whole_one(encoder: PromptEncoder) -> None:
    """A turn in context is written as a reference is: words, clip, closing."""
    prefix = encoder.prefix(references=["One.", "Two."])
    one = encoder.prefix(references=["One."])
    mark = prefix[len(one) - len(encoder.closing) - 1]
    assert prefix.tolist() == [*one, *encoder.turn("Two."), mark, *encoder.closing]


def test_a_dialogue_in_one_piece_is_one_part(encoder: PromptEncoder) -> None:
    """Whatever `dialogue_context` says: one part is in view of all voices."""
    for context in ("all", "own"):
        played = read(encoder, write(encoder, TWO, speakers=PROFILES, chunk_method="none", dialogue_context=context))
        (part,) = played.parts
        words = "[SPEAKER0] Hello Bob. How are you?\n[SPEAKER1] Fine, I have three dogs."
        assert part.ids == tuple(encoder.turn(words))
        assert (part.speaker, part.text) == ("", "Hello Bob. How are you?\nFine, I have three dogs.")
        assert (len(played.prefixes), part.cloned) == (1, True)
    alone = read(encoder, write(encoder, [TWO[0], TWO[0]], speakers={"Anna": "slt"}, chunk_method="none"))
    assert [part.speaker for part in alone.parts] == ["Anna"]


def test_an_empty_system_text_is_none_and_no_text_is_the_usual_one(encoder: PromptEncoder) -> None:
    turn = [DialogueTurn(None, "Hello.")]
    usual = first_ids(write(encoder, turn))
    assert first_ids(write(encoder, turn, system="Generate audio following instruction.")) == usual
    none = first_ids(write(encoder, turn, system=""))
    assert none == [usual[0], *encoder.turn("Hello.")]
    assert first_ids(write(encoder, turn, system=" \n")) == none
    scene = first_ids(write(encoder, turn, system="", scene="A hall."))
    assert len(none) < len(scene) < len(first_ids(write(encoder, turn, scene="A hall.")))


@pytest.mark.parametrize("speakers", [["SPEAKER3"], ["SPEAKER0", "SPEAKER0"], ["speaker0"], ["SPEAKER12"]])
def test_a_lone_tag_of_the_text_stays_where_turns_see_all(encoder: PromptEncoder, speakers: list[str]) -> None:
    turns = [DialogueTurn(speaker, "Hello there") for speaker in speakers]
    tag = f"[{speakers[0].upper()}] "
    parts = read(encoder, write(encoder, turns)).parts
    expected = [f"{tag}Hello there"] * (len(turns) - 1) + [f"{tag}Hello there."]
    assert [part.ids for part in parts] == [tuple(encoder.turn(words)) for words in expected]
    own = read(encoder, write(encoder, turns, dialogue_context="own")).parts
    assert own[-1].ids == tuple(encoder.turn("Hello there."))


@pytest.mark.parametrize("method", ["auto", "speaker", "fixed", "semantic", "none"])
def test_only_the_end_of_the_text_gets_a_full_stop(encoder: PromptEncoder, method: str) -> None:
    turns = [DialogueTurn("Anna", "Hello there"), DialogueTurn("Bob", "A headline\n\nAnd more"), TWO[0], TWO[0]]
    turns[-1] = DialogueTurn("Anna", "one two three four five six seven")
    parts = read(encoder, write(encoder, turns, speakers=PROFILES, chunk_method=method, chunk_words=5)).parts
    said = "\n".join(part.text for part in parts)
    assert said.endswith("seven.")
    assert said.count(".") == TWO[0].text.count(".") + 1


def test_guards_follow_the_length_of_the_words(encoder: PromptEncoder) -> None:
    short = read(encoder, write(encoder, [DialogueTurn(None, "Hi.")])).parts[0]
    long = read(encoder, write(encoder, [DialogueTurn(None, "Every word adds a little to what is due. " * 3)])).parts[0]
    assert 25 < short.guard.max_frames < long.guard.max_frames < 2000
    assert short.least_frames < long.least_frames < long.guard.max_frames / 4
    off = read(encoder, write(encoder, [DialogueTurn(None, "Hi.")], runaway_guard=False)).parts[0]
    assert (off.guard.max_frames, off.guard.loop_frames, off.guard.silence_frames, off.least_frames) == (0, 0, 0, 0)


def test_long_texts_become_parts_with_pauses_between_paragraphs(encoder: PromptEncoder) -> None:
    text = "\n\n".join(["One sentence is here. Another sentence is there. " * 4] * 2)
    played = read(
        encoder,
        write(encoder, [DialogueTurn(None, text)], chunk_words=10, pause_seconds=0.2, paragraph_pause_seconds=1.0),
    )
    pauses = [part.pause for part in played.parts]
    assert len(pauses) > 6
    assert (pauses.count(25), pauses[-1]) == (2, 25)
    assert set(pauses) == {5, 25}
    spoken = " ".join(part.text for part in played.parts).split()
    assert spoken == text.split()
    whole = read(encoder, write(encoder, [DialogueTurn(None, text)], chunk_method="speaker"))
    assert len(whole.parts) == 1


def test_what_has_no_room_is_refused(encoder: PromptEncoder) -> None:
    with pytest.raises(InvalidRequestError, match=r"part 1 of the text.*take smaller chunks"):
        write(encoder, [DialogueTurn(None, "word and word " * 400)], chunk_method="speaker")
    small = replace(LIMITS, max_prompt_audio_positions=15)
    with pytest.raises(InvalidRequestError, match="take 20 positions; the engine has 15"):
        write(encoder, TWO, small, speakers=PROFILES)


@pytest.mark.parametrize(
    "change",
    [
        {"prefixes": 3},
        {"prefixes": [[10**9]]},
        {"prefixes": []},
        {"prefixes": ["x"]},
        {"parts": []},
        {"parts": [{}]},
        {"parts": 7},
        {"closing": ["a"]},
        {"closing": [-1]},
        {"closing": [True]},
        {"sampling": {"temperature": 1}},
        {"max_frames": None},
        {"max_frames": -100},
        {"max_frames": 2.5},
        {"timeout": "soon"},
        {"timeout": float("nan")},
        {"timeout": 0},
        {"hold_parts": "yes"},
        {"context_parts": -1},
        {"windows": {"first": "a", "growth": 1.0, "maximum": 5}},
        {"windows": {"first": 1, "growth": 1e300, "maximum": 5}},
        {"windows": {"first": 5, "growth": 1.0, "maximum": 4}},
        {"about": 3},
        {"more": 1},
    ],
    ids=str,
)
def test_plans_that_make_no_sense_are_refused(encoder: PromptEncoder, change: dict[str, Any]) -> None:
    written = write(encoder, [DialogueTurn(None, "Hello.")])
    assert SpeechPlan.read(json.dumps(asdict(written.plan))) == written.plan
    text = json.dumps(asdict(written.plan) | change)
    with pytest.raises(InvalidRequestError):
        prefixes(replace(written, plan=SpeechPlan.read(text)))


def test_of_a_clip_whose_codes_are_known_only_these_go_on(encoder: PromptEncoder) -> None:
    codes = np.arange(16, dtype=np.int32).reshape(8, 2)
    voices = Voices(Profile("slt", "I am S L T.", embedding=codes), Profile("awb", "I am A W B."))
    written = write(encoder, TWO, voices=voices, speakers=PROFILES)
    assert (written.reference_lengths.tolist(), written.known_frames.tolist()) == ([0, len(CLIP)], [2, 0])
    np.testing.assert_array_equal(written.reference_samples, CLIP)
    np.testing.assert_array_equal(written.known_codes, codes)
    both = write(encoder, TWO, speakers=PROFILES)
    assert both.known_codes.shape == (8, 0)
    assert both.plan == written.plan
    with pytest.raises(InvalidRequestError, match="the reference clips take 21 positions"):
        write(encoder, TWO, replace(LIMITS, max_prompt_audio_positions=20), voices=voices, speakers=PROFILES)


def test_clips_and_marks_must_agree(encoder: PromptEncoder) -> None:
    written = write(encoder, TWO, speakers=PROFILES)
    assert len(written.reference_samples) == 2 * len(CLIP)
    with pytest.raises(InvalidRequestError, match="has 3 frames, but the clips"):
        read(encoder, written, np.zeros((8, 3), np.int32))
