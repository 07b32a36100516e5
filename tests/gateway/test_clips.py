"""What clients send as recordings: read when it is one, refused without much memory or time when it is a trap."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from gateway.clips import MAX_BYTES, Recording, decoded, reference_of
from gateway.errors import GatewayError
from gateway.settings import MEBIBYTE, Settings
from tests.gateway import bombs
from tests.gateway.visits import Visits

SECONDS = 3.0  # that are allowed here
# Without the limits the tables would cost 1.7 GiB and 50 s, the cover 100 MiB.
MOST_MIB, MOST_OF_TABLES_MIB = 64, 200  # eight streams have a table of 12 MiB each, and FFmpeg's list of it
TABLES = {
    "50 million samples in a table": bombs.table(50_000_000, 1),
    "as many tables as are read, each just allowed": bombs.table(500_000, 8),
    "more tables": bombs.table(500_000, 60),
}
CHILD = """
import asyncio, json, re, sys, time
from pathlib import Path
from gateway.clips import decoded
from gateway.errors import GatewayError

def memory(kind):
    return int(re.search(kind + r":\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

for file in sys.argv[2:]:
    content = Path(file).read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = memory("VmRSS"), time.process_time()
    try:
        outcome = asyncio.run(decoded(content, "clip", float(sys.argv[1]))).seconds
    except GatewayError as error:
        outcome = [error.status, str(error)]
    print(json.dumps([outcome, memory("VmHWM") - before, time.process_time() - began]), flush=True)
"""


@pytest.fixture(scope="module")
def tone() -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * bombs.RATE) / bombs.RATE)).astype(np.float32)[None]


def read(content: bytes, seconds: float = SECONDS) -> Recording:
    return asyncio.run(decoded(content, "clip", seconds))


def pitch(recording: Recording, channel: int = 0) -> float:
    """The loudest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(recording.samples[:, channel]))
    return float(spectrum.argmax() * recording.rate / len(recording.samples))


@pytest.mark.parametrize(
    "container, codec, media_type",
    [
        ("wav", "pcm_s16le", "audio/wav"),
        ("mp3", "libmp3lame", "audio/mpeg"),
        ("ogg", "libopus", "audio/ogg"),
        ("flac", "flac", "audio/flac"),
        ("adts", "aac", "audio/aac"),
        ("webm", "libopus", "audio/webm"),
        ("mp4", "aac", "audio/mp4"),
    ],
)
def test_every_kind_of_file_is_known_by_its_content(
    tone: np.ndarray, container: str, codec: str, media_type: str
) -> None:
    recording = read(bombs.encoded(container, codec, tone))
    assert recording.media_type == media_type and recording.rate == bombs.RATE
    assert recording.samples.shape[1] == 1 and recording.seconds == pytest.approx(2.0, abs=0.1)
    assert pitch(recording) == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(recording.samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_vorbis_is_read(tone: np.ndarray) -> None:
    file = io.BytesIO()
    soundfile.write(file, tone[0], bombs.RATE, format="OGG", subtype="VORBIS")
    recording = read(file.getvalue())
    assert recording.media_type == "audio/ogg" and recording.seconds == pytest.approx(2.0, abs=0.01)
    assert pitch(recording) == pytest.approx(440, abs=2)


def test_at_most_two_channels_at_48_kilohertz_are_kept(tone: np.ndarray) -> None:
    stereo = read(bombs.encoded("wav", "pcm_s16le", np.concatenate([tone, -tone]), 96_000, "stereo"))
    assert stereo.rate == 48_000 and stereo.samples.shape == (48_000, 2)
    assert pitch(stereo, 1) == pytest.approx(880, abs=2)
    np.testing.assert_allclose(stereo.samples[:, 0], -stereo.samples[:, 1], atol=1e-3)
    six = read(bombs.encoded("flac", "flac", np.repeat(tone, 6, axis=0), bombs.RATE, "5.1"))
    assert six.samples.shape == (2 * bombs.RATE, 2) and pitch(six) == pytest.approx(440, abs=2)


def test_a_picture_for_a_cover_is_not_looked_at(tone: np.ndarray) -> None:
    plain = bombs.encoded("mp3", "libmp3lame", tone)
    np.testing.assert_array_equal(read(bombs.covered(plain, 16)).samples, read(plain).samples)


def traps(folder: Path, address: str) -> dict[str, bytes]:
    """Files by what they are."""
    rng = np.random.default_rng(0)
    flac = bombs.silence("flac", "flac", 120)
    mp3 = bombs.silence("mp3", "libmp3lame", 5) * 24
    secret = folder / "secret.wav"
    secret.write_bytes(bombs.silence("wav", "pcm_s16le", 1))
    return {
        "silence, FLAC": flac,
        "silence, MP3": mp3,
        "an hour of silence, AAC": bombs.silence("adts", "aac", 10) * 360,
        "silence, Opus": bombs.silence("ogg", "libopus", 10),
        "a cover of 25 megapixels": bombs.covered(mp3, 5000),
        "as many covers as are looked at, each just allowed": bombs.covered(mp3, 1700, 7),
        "a WAV of 4 GB, it says": bombs.wav(48_000, 2, 0xFFFFFFF0, b"\1\2" * 500_000),
        "a WAV of 30,000 channels": bombs.wav(48_000, 30_000, 1000, b"\1\2" * 500),
        "a WAV at 4 GHz": bombs.wav(0xFFFFFFF0, 1, 1000, b"\1\2" * 500),
        "a WAV at 0 Hz": bombs.wav(0, 1, 1000, b"\1\2" * 500),
        "Opus of 255 channels": bombs.opus_head(255, 0xFFFFFFFF),
        "a playlist of a local file": f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n".encode(),
        "a playlist of an address": f"#EXTM3U\n#EXTINF:1,\n{address}/x.wav\n#EXT-X-ENDLIST\n".encode(),
        "a list of local files": b"ffconcat version 1.0\nfile secret.wav\n",  # FFmpeg takes those beside it
        "a presentation of addresses": f"<MPD><BaseURL>{address}/x</BaseURL></MPD>".encode(),
        "a session description": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        "half a header": flac[:20],
        "noise": rng.bytes(200_000),
        "nothing": b"",
        "text": b"hello " * 1000,
        "a picture": bombs.covered(b"", 8)[40:],
        **TABLES,
    }


def test_traps_are_refused_in_bounded_memory_and_time(
    tmp_path: Path, listening: Visits, figure: Callable[[str, str], None]
) -> None:
    """One after the other, in one process."""
    cases = traps(tmp_path, listening.url)
    files = []
    for number, content in enumerate(cases.values()):
        (tmp_path / f"{number}").write_bytes(content)
        files.append(str(tmp_path / f"{number}"))
    good = tmp_path / "good"
    good.write_bytes(bombs.silence("wav", "pcm_s16le", 1))
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(SECONDS), *files, str(good)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    told = dict(zip([*cases, "good"], map(json.loads, child.stdout.splitlines()), strict=True))
    assert told.pop("good")[0] == 1.0, "what follows a trap is read"
    refused = [name for name, (outcome, *_) in told.items() if isinstance(outcome, list) and outcome[0] == 400]
    # In a few of the samples of a table FFmpeg finds sound: too short for any use, which the server says.
    assert {name for name in told if name not in refused and told[name][0] >= 0.1} == set(), told
    costs = {name: growth for name, (_, growth, _) in told.items()}
    tables = max(costs.pop(name) for name in TABLES)
    figure("the worst recordings cost", f"{max(costs.values())} MiB, tables {tables} MiB")
    assert max(costs.values()) < MOST_MIB and tables < MOST_OF_TABLES_MIB, told
    assert max(seconds for *_, seconds in told.values()) < 10, told
    assert listening.hosts == [], "nobody was asked"


@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_end_in_samples_or_a_refusal(tone: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = [bombs.encoded(*kind, tone[:, :9600]) for kind in (("mp4", "aac"), ("webm", "libopus"), ("flac", "flac"))]
    outcomes = set()
    for content in whole * 10:
        broken = np.frombuffer(content, np.uint8).copy()
        places = rng.integers(0, len(broken), 1 + len(broken) // 200)
        broken[places] = rng.integers(0, 256, len(places))
        try:
            outcomes.add(read(broken[: rng.integers(1, len(broken) + 1)].tobytes()).samples.dtype)
        except GatewayError as error:
            outcomes.add(error.status)
    assert outcomes <= {np.dtype(np.float32), 400} and 400 in outcomes


def test_too_many_bytes_or_seconds_are_said(tone: np.ndarray) -> None:
    with pytest.raises(GatewayError, match="clip has more than 10 MiB") as large:
        read(bytes(MAX_BYTES + 1))
    assert large.value.status == 413
    with pytest.raises(GatewayError, match=r"clip lasts more than 1.5 s\."):
        read(bombs.encoded("ogg", "libopus", tone), 1.5)


@pytest.mark.parametrize(
    "address, sentence",
    [
        ("data:audio/wav;base64,!!!!", "ref_audio is not base64"),
        ("data:audio/wav,plain", "no data URL"),
        ("file:///etc/passwd", "no data URL"),
        ("/etc/passwd", "no data URL"),
        ("a" * 10 * MEBIBYTE, "no data URL"),
        ("data:" + ";a" * MEBIBYTE, "no data URL"),
        ("http://example.org/x.wav", "fetches no addresses"),
        ("data:;base64,AAAA", "no recording"),
    ],
)
def test_what_is_no_recording_is_refused(address: str, sentence: str) -> None:
    with pytest.raises(GatewayError, match=sentence):
        asyncio.run(reference_of(address, None, Settings()))


def test_speech_takes_the_voice_of_a_data_url(http: httpx.Client, tone: np.ndarray) -> None:
    def speak(kind: tuple[str, str]) -> httpx.Response:
        data = base64.b64encode(bombs.encoded(*kind, tone)).decode()
        clip = {"ref_audio": f"data:audio/anything;codecs=x;base64,{data}", "ref_text": "a tone"}
        body = {"input": "Nine birds.", "response_format": "pcm", "max_seconds": 0.4, "temperature": 0}
        return http.post("/v1/audio/speech", json=body | clip)

    answers = [speak(kind) for kind in (("wav", "pcm_s16le"), ("flac", "flac"))]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content, "the same samples"
    trap = {"ref_audio": "data:;base64," + base64.b64encode(bombs.table(50_000_000, 1)).decode(), "ref_text": "a"}
    refused = http.post("/v1/audio/speech", json={"input": "Hello."} | trap)
    assert refused.status_code == 400 and refused.json()["error"]["type"] == "invalid_request_error"
    assert speak(("wav", "pcm_s16le")).content == answers[0].content
