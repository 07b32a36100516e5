"""What the scene says about the speakers wins over what would be chosen."""

from __future__ import annotations

import pytest

from runtime.formats.errors import InvalidRequestError
from runtime.text.dialogue.scene import described, with_numbers
from runtime.text.dialogue.voice_assignment import SMART_SYSTEM_TEXT, Reference, assign
from runtime.text.prompt_encoder import SYSTEM_TEXT, check_marks
from runtime.text.text_input import read_text
from tests.text.test_voice_assignment import CLIP, NOBODY, THREE, turns


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER1: vocal fry;moderate pitch;masculine",
        "speaker1 : low and slow",
        "[SPEAKER1]: a girl",
        "[Speaker 1] a girl",
        "SPEAKER1：女声",
        "【SPEAKER1】：低沉的男声",
        "   SPEAKER1: indented",
        "\u3000SPEAKER1：indented",
        "- SPEAKER1: a list",
        "* **Speaker 1**: a list",
        "2. SPEAKER_1 = a list",
        "Speaker #1: a girl",
        "SPEAKER1 - a deep voice",
        "SPEAKER1 (an old man)",
        "SPEAKER1 is an old man",
        "SPEAKER1's voice is hoarse",
        "They meet. SPEAKER1, a nurse, whispers",
        "A room. SPEAKER1: feminine",
    ],
)
def test_a_description_is_found_however_it_is_spelled(line: str) -> None:
    scene = f"A quiet room.\n{line}\nIt is late."
    assert described(scene) == {1}
    made = assign(turns("SPEAKER0", "SPEAKER1"), {}, None, NOBODY, "en", scene)
    assert made.scene == [f"{scene}\n\nSPEAKER0: feminine"]
    assert made.system == SMART_SYSTEM_TEXT


@pytest.mark.parametrize(
    "scene",
    [
        "",
        "A quiet room.",
        "SPEAKER0 and SPEAKER1 argue in a kitchen.",
        "A loudspeaker1: it hums.",
        "The speaker: 3 metres away.",
        "Between SPEAKER0, SPEAKER1 and the dog.",
    ],
)
def test_other_scenes_describe_nobody(scene: str) -> None:
    assert described(scene) == set()


def test_no_line_is_added_and_no_voice_is_chosen_for_those_who_are_described() -> None:
    scene = "SPEAKER0: vocal fry;masculine\nSPEAKER1: masculine;mature"
    for speakers in (("SPEAKER0", "SPEAKER1"), ("Anna", "Bob"), ("awb", "slt"), ("Anna", "SPEAKER1")):
        for voices in (NOBODY, THREE):
            made = assign(turns(*speakers), {}, None, voices, "en", scene)
            assert (made.scene, made.system) == ([scene], SYSTEM_TEXT)
            assert (made.references, [speaker.voice for speaker in made.speakers]) == ([], [None, None])


def test_some_described_and_others_cloned_stand_in_the_scene_together() -> None:
    made = assign(turns("SPEAKER0", "SPEAKER1"), {"SPEAKER1": "slt"}, None, THREE, "en", "SPEAKER0: a girl")
    assert made.scene == ["SPEAKER0: a girl\n\nSPEAKER1: ", ""]
    assert (made.reference_words, [speaker.voice for speaker in made.speakers]) == ([], [None, "slt"])
    by_rule = assign(turns("SPEAKER0", "SPEAKER1"), {}, None, THREE, "en", "SPEAKER0: a girl")
    assert by_rule.scene[0] == made.scene[0]
    alone = made.apart()[1]
    assert (alone.scene, alone.reference_words) == (["SPEAKER0: a girl"], ["I am S L T."])


def test_a_speaker_who_is_described_but_says_nothing_changes_nobody() -> None:
    made = assign(turns("SPEAKER0", "SPEAKER1"), {}, None, NOBODY, "en", "SPEAKER2: a child")
    assert made.scene == ["SPEAKER2: a child\n\nSPEAKER0: feminine\nSPEAKER1: masculine"]


def test_a_clip_that_is_asked_for_is_used_beside_the_description() -> None:
    clip = Reference(CLIP, "My words.")
    alone = assign(turns(None), {}, clip, THREE, "en", "SPEAKER0: whispering")
    assert (alone.scene, alone.reference_words) == (["SPEAKER0: whispering"], ["My words."])
    mapped = assign(turns("Anna"), {"Anna": "slt"}, None, THREE, "en", "SPEAKER0: whispering")
    assert (mapped.scene, mapped.speakers[0].voice) == (["SPEAKER0: whispering"], "slt")


@pytest.mark.parametrize("voice", ["feminine", "masculine", "old"])
def test_a_second_description_is_refused(voice: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"the scene describes SPEAKER1, and so does the voice '{voice}'"):
        assign(turns("SPEAKER0", "SPEAKER1"), {"SPEAKER1": voice}, None, THREE, "en", "SPEAKER1: hoarse")


def test_a_line_under_a_speakers_name_is_that_speakers() -> None:
    scene = "A bar.\n- anna : an old woman\n**Bob  Lee**： loud\nAnnabel: the dog"
    numbered = "A bar.\n- SPEAKER0 : an old woman\n**SPEAKER1**： loud\nAnnabel: the dog"
    assert with_numbers(scene, {"Anna": 0, "Bob Lee": 1}) == numbered
    made = assign(turns("Anna", "Bob Lee"), {}, None, THREE, "en", scene)
    assert (made.scene, made.references) == ([numbered], [])


@pytest.mark.parametrize(
    "mark",
    [
        "<|generation_instruction_start|>",
        "<|generation_instruction_end|>",
        "<|AUDIO|>",
        "<|AUDIO_OUT|>",
        "<|__AUDIO_PLACEHOLDER__|>",
        "<|recipient|>",
    ],
)
def test_marks_that_ask_for_what_there_is_not_are_refused(mark: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^text holds <\|\w+\|>: .*[^.]$"):
        read_text(f"{mark}\nGenerate a dialogue of 20 seconds.", 1000)
    with pytest.raises(InvalidRequestError, match=r"^scene holds"):
        check_marks(f"SPEAKER0: {mark}", "scene")


@pytest.mark.parametrize(
    "text", ["<|eot_id|>", "<|audio_out_bos|>", "<|audio_eos|>", "<|unknown|>", "<AUDIO>", "<SE>[Laughter]</SE>"]
)
def test_other_marks_are_text(text: str) -> None:
    check_marks(text, "text")
