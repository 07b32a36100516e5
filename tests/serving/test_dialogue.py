"""Dialogues through the real server: prompts in the written-down format, and chunks that name their speakers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from higgs_tts import AudioChunk, GenerationParams, HiggsClient, SpeechReport
from tritonclient.utils import InferenceServerException

from runtime.formats.speech_plan import SpeechPlan
from serve.triton import TritonServer
from tests.conftest import VOICE_TRANSCRIPT
from tests.serving.higgs import Higgs
from tests.serving.models import infer, written

TRANSCRIPT = """Anna: Good morning, Bob.
Bob: Good morning.
[SPEAKER5] May I come in?
Dora: You may.
Anna: Then let us begin.
Bob: We should."""
SPEAKERS = ["Anna", "Bob", "SPEAKER5", "Dora", "Anna", "Bob"]
VOICES = {"Anna": "tone", "Bob": "masculine", "SPEAKER5": "tone", "Dora": "feminine"}
SHORT = GenerationParams(seed=5, max_part_seconds=0.8, runaway_guard=False, speakers=VOICES)
HEADER = "<|start_header_id|>{}<|end_header_id|>\n\n{}"
SMART = """You are an AI assistant designed to convert text into speech.
If the user's message includes a [SPEAKER*] tag, do not read out the tag and generate speech for the following text, \
using the specified voice.
If no speaker tag is present, select a suitable voice on your own."""


def turn(text: str) -> str:
    return HEADER.format("user", text) + "<|eot_id|>" + HEADER.format("assistant", "<|audio_out_bos|>")


def tokens(higgs: Higgs, prompt: str) -> list[int]:
    return higgs.processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]


def planned(server: TritonServer, text: str, **options: object) -> SpeechPlan:
    return written(infer(server.grpc_url, "prompt", {"text": text, "options": json.dumps(options)}, ["plan"]))


def test_a_dialogues_prompt_is_the_written_down_format(server: TritonServer, higgs: Higgs) -> None:
    plan = planned(server, TRANSCRIPT, scene="A quiet room.", speakers=VOICES)
    scene = "A quiet room.\n\nSPEAKER1: masculine\nSPEAKER2: feminine"
    system = f"{SMART}\n\n<|scene_desc_start|>\n{scene}\n<|scene_desc_end|>"
    prefix = "<|begin_of_text|>" + HEADER.format("system", system) + "<|eot_id|>"
    for number in (0, 5):
        prefix += turn(f"[SPEAKER{number}] {VOICE_TRANSCRIPT}") + "<|AUDIO_OUT|><|audio_eos|><|eot_id|>"
    tags = ["[SPEAKER0] ", "[SPEAKER1] ", "[SPEAKER5] ", "[SPEAKER2] ", "[SPEAKER0] ", "[SPEAKER1] "]
    lines = [line.partition("] " if line.startswith("[") else ": ")[2] for line in TRANSCRIPT.splitlines()]
    turns = [turn(tag + line) for tag, line in zip(tags, lines, strict=True)]
    expected = [tokens(higgs, piece) for piece in (prefix, *turns)]
    assert [*map(list, plan.prefixes), *(list(part.ids) for part in plan.parts)] == expected
    assert list(plan.closing) == tokens(higgs, "<|audio_eos|><|eot_id|>")


def test_a_later_parts_prompt_is_the_chat_templates(server: TritonServer, higgs: Higgs, clip: np.ndarray) -> None:
    """A conversation in which parts were spoken, as transformers writes it: what `lm` joins must be the same."""
    plan = planned(server, "One is said. Two is said. Three is said.", chunk_method="semantic", chunk_words=5)
    (prefix,), (first, second, _) = plan.prefixes, plan.parts
    config = higgs.model.config
    expected = higgs.inputs("Two is said.", clip, "One is said.")["input_ids"][0].numpy()
    audio = (expected == config.audio_token_id) | (expected == config.audio_delay_token_id)
    joined = [*prefix, *first.ids, *([-1] * int(audio.sum())), *plan.closing, *second.ids]
    np.testing.assert_array_equal(np.where(audio, -1, expected), joined)


def test_messages_are_the_same_dialogue(server: TritonServer) -> None:
    messages = [
        {"role": "system", "content": "Read aloud."},
        {"role": "user", "content": "[SPEAKER0] Hello.\n[SPEAKER1] Hi."},
    ]
    by_messages = planned(server, json.dumps(messages))
    by_text = planned(server, "SPEAKER0: Hello.\nSPEAKER1: Hi.", system="Read aloud.")
    chatml = "<|im_start|>{role}\n{content}<|im_end|>\n"
    by_chatml = planned(server, "".join(chatml.format(**message) for message in messages))
    for other in (by_text, by_chatml):  # but for where the words stand in what was given
        pairs = zip(other.parts, by_messages.parts, strict=True)
        parts = tuple(replace(part, said=same.said) for part, same in pairs)
        assert replace(other, arrived=by_messages.arrived, parts=parts) == by_messages
    assert len(by_messages.parts) == 2


@pytest.mark.parametrize(
    ("text", "options", "speakers"),
    [
        ("Star Wars: A New Hope is a film from 1977.", {}, [""]),
        ("Results:\nHome 2, Away 1", {}, [""]),
        ("Anna: How are you?\nBob: Fine, thanks!", {}, ["Anna", "Bob"]),
        ("Anna: How are you?\nBob: Fine, thanks!", {"dialogue": "off"}, [""]),
        ("Sky: It is blue.\nSea: It is deep.", {"dialogue": "on"}, ["Sky", "Sea"]),
        ("Tone: It is blue.\nSea: Is it?", {}, ["Tone", "Sea"]),
    ],
)
def test_the_report_says_who_was_recognised(
    server: TritonServer, text: str, options: dict[str, str], speakers: list[str]
) -> None:
    about = planned(server, text, **options).about
    assert list(about["voices"]) == speakers


def test_a_way_to_recognise_speakers_that_there_is_not_is_refused(server: TritonServer) -> None:
    with pytest.raises(InferenceServerException, match="dialogue 'maybe' is unknown; there are auto, on, off"):
        planned(server, "Hello.", dialogue="maybe")


@pytest.mark.parametrize("option", ["system", "scene"])
def test_what_the_text_tells_the_model_is_not_told_otherwise_by_an_option(server: TritonServer, option: str) -> None:
    text = f"<|im_start|>{option}\nA quiet room.<|im_end|>\n<|im_start|>user\nHi.<|im_end|>"
    with pytest.raises(InferenceServerException, match=f"InvalidRequestError.*{option} is given twice"):
        planned(server, text, **{option: "A loud hall."})


@pytest.fixture(scope="module")
def heard(server: TritonServer) -> list[AudioChunk]:
    with HiggsClient(server.grpc_url) as client, client.stream(TRANSCRIPT, params=SHORT) as stream:
        return list(stream)


@pytest.fixture(scope="module")
def report(heard: list[AudioChunk]) -> SpeechReport:
    assert heard[-1].report is not None
    return heard[-1].report


def test_chunks_tile_the_audio_and_name_their_speakers(
    heard: list[AudioChunk], report: SpeechReport, figure: Callable[[str, str], None]
) -> None:
    ends = np.cumsum([len(chunk.samples) for chunk in heard])
    assert [chunk.start_sample for chunk in heard] == [0, *ends[:-1]]
    assert [speaker for (_, speaker), _ in groupby(heard, lambda chunk: (chunk.part, chunk.speaker))] == SPEAKERS
    assert [part.speaker for part in report.parts] == SPEAKERS
    for part, chunks in groupby(heard, lambda chunk: chunk.part):
        own = list(chunks)
        assert own[0].start == pytest.approx(report.parts[part].start, abs=1e-4)
        assert own[0].start < report.parts[part].stop <= own[-1].stop + 1e-4
    figure("dialogue of four speakers", f"{len(report.parts)} turns in {len(heard)} chunks, mapping {report.voices}")


def test_each_part_tells_its_words_with_its_first_chunk(heard: list[AudioChunk], report: SpeechReport) -> None:
    for number, chunks in groupby(heard, lambda chunk: chunk.part):
        (said, *rest), part = [chunk.said for chunk in chunks], report.parts[number]
        assert said is not None and not any(rest)
        assert said.written == part.written and said.start == part.characters[0]
        assert all(TRANSCRIPT[word.start : word.stop] == word.text for word in said.words)
        flat = [second for word in part.words for second in (word.start, word.stop)]
        assert flat == sorted(flat) and part.start <= flat[0] and flat[-1] <= part.stop


def test_the_mapping_is_kept_reported_and_the_same_again(
    client: HiggsClient, heard: list[AudioChunk], report: SpeechReport
) -> None:
    assert report.voices == {"Anna": "tone", "Bob": None, "SPEAKER5": "tone", "Dora": None}
    assert set(report.speakers) == {"Anna", "Bob", "SPEAKER5", "Dora"}
    again = client.synthesize(TRANSCRIPT, params=SHORT)
    assert again.report == report
    np.testing.assert_array_equal(again.samples, np.concatenate([chunk.samples for chunk in heard]))


def test_pauses_are_silent_and_joins_do_not_click(heard: list[AudioChunk], report: SpeechReport) -> None:
    audio, rate = np.concatenate([chunk.samples for chunk in heard]), heard[0].sample_rate
    spoken = [audio[round(part.start * rate) + 480 : round(part.stop * rate) - 480] for part in report.parts]
    inside = max(np.abs(np.diff(samples)).max() for samples in spoken)
    for before, after in zip(report.parts, report.parts[1:], strict=False):
        stop, start = round(before.stop * rate), round(after.start * rate)
        assert start > stop
        assert not audio[stop:start].any(), "a pause is silence"
        for edge in (stop, start):
            assert np.abs(np.diff(audio[edge - 120 : edge + 120])).max() <= inside, "a jump larger than any in speech"
            assert np.abs(audio[edge - 2 : edge + 2]).max() < 0.01


def test_a_speakers_turns_differ_from_what_nobody_said_before(client: HiggsClient) -> None:
    """The turns before are context: the same turn after another one sounds otherwise."""
    params = replace(SHORT, speakers={"Anna": "tone", "Bob": "tone"})
    one = client.synthesize("Anna: One thing.\nBob: And so on.", params=params)
    other = client.synthesize("Anna: Another thing entirely.\nBob: And so on.", params=params)
    cut = [speech.samples[round(speech.parts[1].start * speech.sample_rate) :][:9600] for speech in (one, other)]
    assert np.abs(cut[0] - cut[1]).max() > 0.01


def test_a_clip_in_the_request_speaks_for_the_narrator(server: TritonServer, clip: np.ndarray) -> None:
    values = {
        "text": "It was a dark night.\nAnna: Who is there?\nBob: Nobody.",
        "reference_audio": clip,
        "reference_text": "A tone that glides.",
        "options": json.dumps({"speakers": {"Anna": "tone", "Bob": "masculine"}}),
    }
    answer = infer(server.grpc_url, "prompt", values, ["reference_lengths", "reference_samples", "plan"])
    assert len(answer["reference_lengths"]) == 2
    assert answer["reference_lengths"].sum() == len(answer["reference_samples"])
    assert written(answer).about["voices"] == {"": None, "Anna": "tone", "Bob": None}
