"""A model's process is killed while the server speaks: the launcher replaces it, the listener gets every sample."""

from __future__ import annotations

from pathlib import Path
from signal import Signals

import numpy as np
import psutil
from higgs_tts import GenerationParams, HiggsClient

from serve.processes import STUB
from tests.serve.launching import command, read_until

TEXT = "The server dies while it says this."
SPOKEN = GenerationParams(seed=3, max_part_seconds=3.0, chunk_method="sentence", runaway_guard=False)
PARAMS = GenerationParams(seed=3, max_seconds=8.0, runaway_guard=False, max_chunk_seconds=0.5)


def stub(launcher: int, model: str) -> psutil.Process:
    """The process of a model."""
    for child in psutil.Process(launcher).children(recursive=True):
        words = child.cmdline() if child.status() != psutil.STATUS_ZOMBIE else []
        if words and STUB in words[0] and f"/{model}/" in words[1]:
            return child
    raise AssertionError(f"no process of {model}")


def test_a_stream_whose_model_is_killed_comes_out_whole(bundle: Path) -> None:
    with command(bundle, seconds=300.0) as (process, ports):
        read_until(process.stdout, "speak:")
        with HiggsClient(f"127.0.0.1:{ports.grpc}") as client:
            unbroken = client.synthesize(TEXT, params=PARAMS)
            with client.stream(TEXT, params=PARAMS) as stream:
                first, chunks = stream.request_id, [next(stream)]
                stub(process.pid, "lm").kill()
                chunks += list(stream)
            assert stream.request_id != first, "the stream was over before the model died"
            with client.session(params=SPOKEN) as session:  # again, with a text in pieces
                first = session.request_id
                session.send("The server dies. While it ")
                pieces = [next(session)]
                read_until(process.stdout, "ready again")
                stub(process.pid, "lm").kill()
                session.send("says this. And on it goes.")
                session.end()
                pieces += list(session)
            assert session.request_id != first, "the stream was over before the model died"
            whole = client.synthesize("The server dies. While it says this. And on it goes.", params=SPOKEN)
        np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in pieces]), whole.samples)
        np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), unbroken.samples)
        assert chunks[-1].report == unbroken.report
        read_until(process.stdout, "ready again")


def test_speech_does_not_notice_that_the_voices_were_killed_or_frozen(bundle: Path) -> None:
    with command(bundle, seconds=300.0) as (process, ports):
        read_until(process.stdout, "speak:")
        with HiggsClient(f"127.0.0.1:{ports.grpc}", resume=False) as client:
            for signal in (Signals.SIGKILL, Signals.SIGSTOP):
                with client.stream(TEXT, params=PARAMS) as stream:
                    chunks = [next(stream)]
                    before = stub(process.pid, "voices")
                    before.send_signal(signal)
                    assert "voices has " in read_until(process.stdout, "loaded it again, speech went on")
                    chunks += list(stream)
                assert chunks[-1].finish_reason == "length"
                assert [voice.name for voice in client.voices()] == ["tone"]
                assert stub(process.pid, "voices") != before
