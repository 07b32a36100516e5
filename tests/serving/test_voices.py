"""Voices through a real server: added while it speaks, there after a restart, with codes that come from the disk."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from higgs_tts import (
    AudioFormatError,
    GenerationParams,
    HiggsClient,
    InvalidRequestError,
    Reference,
    Speech,
    StateError,
)

from serve.triton import TritonServer
from tests.serving.models import infer
from tools.bench.metrics import metrics

GREEDY = GenerationParams(temperature=0.0, ras_window=0, max_seconds=1.0)
WORDS = "the very same words"
SOURCES = ("profile", "memory", "disk", "encoder")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state") / "état 声音"


@pytest.fixture(scope="module")
def keeping(bundle: Path, state: Path) -> Iterator[TritonServer]:
    """A server with a state folder."""
    with TritonServer(bundle, state=state) as running:
        yield running


@pytest.fixture
def keeper(keeping: TritonServer) -> Iterator[HiggsClient]:
    with HiggsClient(keeping.grpc_url) as connected:
        yield connected
        for voice in connected.voices():
            if voice.origin == "added":
                connected.remove_voice(voice.name)


def tone(pitch: float, seconds: float = 2.0) -> np.ndarray:
    noise = np.random.default_rng(int(pitch)).standard_normal(int(seconds * 24000)) * 0.02
    return (0.3 * np.sin(2 * np.pi * pitch / 24000 * np.arange(len(noise))) + noise).astype(np.float32)


def say(client: HiggsClient, voice: str | None, reference: Reference | None = None) -> Speech:
    return client.synthesize("Hello there.", voice=voice, reference=reference, params=GREEDY)


def sources(server: TritonServer) -> dict[str, float]:
    """Where the codes of clips came from so far."""
    time.sleep(0.6)  # Triton publishes metrics four times a second
    page = metrics(server.metrics_url)
    return {name: page[f'higgs_reference_codes_total{{source="{name}"}}'] for name in SOURCES}


def grown(server: TritonServer, before: dict[str, float]) -> dict[str, float]:
    return {name: value - before[name] for name, value in sources(server).items() if value != before[name]}


def test_a_voice_that_is_added_speaks_at_once_and_as_its_clip_in_a_request_does(
    keeping: TritonServer, keeper: HiggsClient, state: Path
) -> None:
    clip = Reference((tone(180), 24000), WORDS)
    running = keeper.stream("I am speaking meanwhile.", params=GenerationParams(seed=3, max_seconds=3.0))
    first = next(running)
    before = sources(keeping)
    keeper.add_voice("mine", clip, metadata={"language": "en"})
    assert keeper.voice("mine").embedding is None, "nobody has spoken in it"
    spoken = say(keeper, "mine")
    assert len(first.samples) and list(running)[-1].finish_reason
    np.testing.assert_array_equal(spoken.samples, say(keeper, None, clip).samples)
    assert grown(keeping, before) == {"encoder": 1, "memory": 1}
    np.testing.assert_array_equal(spoken.samples, say(keeper, "mine").samples)
    assert grown(keeping, before) == {"encoder": 1, "memory": 1, "profile": 1}, "its codes are kept with it"
    kept = [file for file in state.rglob("*") if file.is_file()]
    assert kept and all(file.stat().st_mode & 0o077 == 0 for file in kept), "no other user of the machine reads them"
    voice = keeper.voice("mine")
    assert voice.embedding is not None and voice.samples is not None
    assert voice.embedding.shape == (8, 50)
    asked = {"reference_samples": tone(180), "reference_lengths": np.array([tone(180).size], np.int32)}
    alone = infer(keeping.grpc_url, "codec_encoder", asked, ["reference_codes"])
    np.testing.assert_array_equal(voice.embedding, alone["reference_codes"])
    np.testing.assert_array_equal(voice.samples, tone(180))
    assert [(v.name, v.origin) for v in keeper.voices()] == [("mine", "added"), ("tone", "bundle")]
    keeper.remove_voice("mine")
    with pytest.raises(InvalidRequestError, match="voice 'mine' is unknown; there are: tone"):
        say(keeper, "mine")


def test_voices_and_codes_are_there_after_a_restart(bundle: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with TritonServer(bundle, state=state) as server, HiggsClient(server.grpc_url) as client:
        client.add_voice("mine", Reference((tone(220), 24000), WORDS))
        expected = {voice: say(client, voice).samples for voice in ("mine", "tone")}
        assert sources(server) == {"profile": 0, "memory": 0, "disk": 0, "encoder": 2}
    with TritonServer(bundle, state=state) as server, HiggsClient(server.grpc_url) as client:
        for voice, samples in expected.items():
            for _ in range(2):
                np.testing.assert_array_equal(say(client, voice).samples, samples)
        assert sources(server) == {"profile": 4, "memory": 0, "disk": 0, "encoder": 0}
        (clip,) = (state / "voices").glob("*.wav")
        clip.unlink()
    with TritonServer(bundle, state=state) as server, HiggsClient(server.grpc_url) as client:
        np.testing.assert_array_equal(say(client, "mine").samples, expected["mine"])
        kept = client.voice("mine")
        assert kept.samples is None
        assert kept.embedding is not None, "a voice speaks by its codes, whatever became of its clip"
        say(client, None, Reference((tone(220), 24000), WORDS))
        assert sources(server) == {"profile": 1, "memory": 0, "disk": 1, "encoder": 0}
        for file in (state / "codes").glob("*.codes"):
            file.write_bytes(file.read_bytes()[:-4])
        client.remove_voice("mine")
    with TritonServer(bundle, state=state) as server, HiggsClient(server.grpc_url) as client:
        assert [voice.name for voice in client.voices()] == ["tone"]
        np.testing.assert_array_equal(say(client, "tone").samples, expected["tone"])
        assert sources(server) == {"profile": 0, "memory": 0, "disk": 0, "encoder": 1}, "torn files are misses"


def test_voices_with_the_same_words_do_not_collide(keeping: TritonServer, keeper: HiggsClient) -> None:
    for name, pitch in (("low", 130), ("high", 520)):
        keeper.add_voice(name, Reference((tone(pitch), 24000), WORDS))
    low, high = say(keeper, "low").samples, say(keeper, "high").samples
    assert low.shape != high.shape or not np.array_equal(low, high)
    codes = [keeper.voice(name).embedding for name in ("low", "high")]
    assert codes[0] is not None and codes[1] is not None
    assert not np.array_equal(*codes)
    np.testing.assert_array_equal(say(keeper, "low").samples, low)
    np.testing.assert_array_equal(say(keeper, None, Reference((tone(520), 24000), WORDS)).samples, high)
    keeper.add_voice("low", Reference((tone(520), 24000), WORDS), replace=True)
    np.testing.assert_array_equal(say(keeper, "low").samples, high)


def test_a_voice_in_words_goes_into_the_scene(keeper: HiggsClient) -> None:
    keeper.add_voice("narrator", metadata={"description": "A deep, calm voice."})
    scene = GenerationParams(temperature=0.0, ras_window=0, max_seconds=1.0, scene="SPEAKER0: A deep, calm voice.")
    described = say(keeper, "narrator").samples
    np.testing.assert_array_equal(described, keeper.synthesize("Hello there.", params=scene).samples)
    assert not np.array_equal(described, say(keeper, None).samples)


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"command": "dance"}, "command 'dance' is unknown; there are list, show, add, remove"),
        ({"command": "show"}, "name is missing"),
        ({"command": "show", "name": "../../prompt/1/voices/tone"}, "is unknown; there are"),
        ({"command": "remove", "name": "tone"}, "belongs to the bundle and cannot be removed"),
        ({"command": "remove", "name": "../tone"}, "voice name '../tone' is not allowed"),
        ({"command": "add", "name": "tone", "audio": tone(200), "transcript": WORDS}, "belongs to the bundle"),
        ({"command": "add", "name": "../x", "audio": tone(200), "transcript": WORDS}, "'../x' is not allowed"),
        ({"command": "add", "name": "SPEAKER1", "audio": tone(200), "transcript": WORDS}, "is reserved"),
        ({"command": "add", "name": "x", "audio": tone(200)}, "the transcript is empty"),
        ({"command": "add", "name": "x", "transcript": WORDS}, "a voice needs audio, or a description"),
        ({"command": "add", "name": "x", "audio": tone(200) * 0, "transcript": WORDS}, "AudioFormatError: the refere"),
        ({"command": "add", "name": "x", "audio": tone(200, 40), "transcript": WORDS}, "lasts 40.00 s; it must last"),
        ({"command": "add", "name": "x", "audio": tone(200), "transcript": WORDS, "metadata": "["}, "not valid JSON"),
    ],
    ids=range(13),
)
def test_refusals_say_why_and_leave_the_server_well(
    keeping: TritonServer, keeper: HiggsClient, values: dict[str, object], sentence: str
) -> None:
    with pytest.raises(Exception, match="Error: ") as refusal:
        infer(keeping.grpc_url, "voices", values, ["result"])
    assert sentence in str(refusal.value)
    assert [voice.name for voice in keeper.voices()] == ["tone"]
    assert keeping.ailment() is None


def test_a_name_is_taken_once(keeper: HiggsClient) -> None:
    clip = Reference((tone(200), 24000), WORDS)
    keeper.add_voice("mine", clip)
    with pytest.raises(InvalidRequestError, match="voice 'mine' already exists; ask for it to be replaced"):
        keeper.add_voice("mine", clip)
    with pytest.raises(AudioFormatError, match="too short"):
        keeper.add_voice("other", Reference((tone(200, 0.2), 24000), WORDS))
    assert say(keeper, "mine").seconds > 0


def test_without_a_state_folder_the_bundles_voices_speak_and_no_other_is_added(
    server: TritonServer, client: HiggsClient
) -> None:
    with pytest.raises(StateError, match="no state folder to keep voices in; start it with --state DIR"):
        client.add_voice("mine", Reference((tone(200), 24000), WORDS))
    assert say(client, "tone").seconds > 0
    assert say(client, None, Reference((tone(200), 24000), WORDS)).seconds > 0


def test_profiles_that_were_written_by_hand_are_found(keeper: HiggsClient, state: Path) -> None:
    folder = state / "voices"
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / "hand.wav", tone(300), 24000, subtype="FLOAT")
    profile = {"transcript": WORDS, "audio": "hand.wav", "seconds": 2.0, "metadata": {}}
    (folder / "hand.profile.json").write_text(json.dumps(profile))
    assert say(keeper, "hand").seconds > 0
    (folder / "broken.profile.json").write_text("{")
    assert [voice.name for voice in keeper.voices()] == ["hand", "tone"]
    (folder / "broken.profile.json").unlink()


@pytest.mark.parametrize("name", ["José", "小美", "Арина", "ज़ोया", "สมศรี", "علی‌رضا", "Nguyễn"])
def test_a_voice_may_be_named_in_any_script(keeper: HiggsClient, state: Path, name: str) -> None:
    """In any form of its accents; the files of the state folder carry the name as anybody writes it."""
    composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    added = keeper.add_voice(decomposed, Reference((tone(440.0), 24000), WORDS))
    assert added.name == composed
    assert added.audio_path is not None
    assert added.audio_path.startswith(composed)
    assert (state / "voices" / f"{composed}.profile.json").is_file()
    assert composed in [voice.name for voice in keeper.voices()]
    assert say(keeper, decomposed).samples.size
    with pytest.raises(InvalidRequestError, match="exists"):
        keeper.add_voice(composed, Reference((tone(440.0), 24000), WORDS))
    shown = keeper.voice(composed)
    assert shown.samples is not None
    assert shown.embedding is not None, "its codes were kept"
    keeper.remove_voice(decomposed)
    assert not list((state / "voices").glob(f"{composed}*"))
    with pytest.raises(InvalidRequestError, match="is unknown"):
        keeper.voice(composed)
