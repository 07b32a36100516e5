"""Samples on their way out."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from higgs_tts import AudioFormatError
from higgs_tts.pcm import AudioFile, to_s16


def test_samples_are_rounded_to_the_nearest_step_and_clamped() -> None:
    samples = np.array([0.0, 0.4 / 32767, 0.6 / 32767, -0.6 / 32767, 1.0, -1.0, 1.5, -7.0], np.float32)
    assert to_s16(samples).tolist() == [0, 0, 1, -1, 32767, -32767, 32767, -32767]
    assert to_s16(samples).tobytes()[4:6] == b"\x01\x00"


def test_a_file_has_its_name_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with AudioFile(path, 24000) as file:
        file.write(np.full(100, 0.5, np.float32))
        file.write(np.full(200, -0.5, np.float32))
        assert not path.exists()
    samples, rate = soundfile.read(path)
    assert (len(samples), rate) == (300, 24000)
    assert soundfile.info(path).subtype == "PCM_16"


@pytest.mark.parametrize(("keep", "left"), [(False, []), (True, ["a.wav"])])
def test_an_interrupted_file_is_removed_or_kept(tmp_path: Path, keep: bool, left: list[str]) -> None:
    file = AudioFile(tmp_path / "a.wav", 24000, keep_partial=keep)
    file.write(np.zeros(100, np.float32))
    file.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert [path.name for path in tmp_path.iterdir()] == left


def test_nothing_is_kept_of_a_file_without_audio(tmp_path: Path) -> None:
    AudioFile(tmp_path / "a.wav", 24000, keep_partial=True).__exit__(KeyboardInterrupt, None, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.doc", "a", "a.raw", "wav"])
def test_a_name_without_a_known_extension_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AudioFormatError, match=r"end its name in \.wav"):
        AudioFile(tmp_path / name, 24000)
    assert list(tmp_path.iterdir()) == []
