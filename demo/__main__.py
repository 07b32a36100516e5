"""`python -m demo`: starts Triton on a bundle, streams one sentence into a file, and stops Triton again."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from higgs_tts import GenerationParams, HiggsClient, HiggsError, Speech

from demo.domain import Domain
from demo.listener import Listener
from serve.errors import LaunchError
from serve.triton import TritonServer


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    server = TritonServer(options.bundle)
    try:
        server.start()
        print(f"Triton is ready at {server.grpc_url}; streaming {options.text!r}")
        speech = _speak(server.grpc_url, options.text)
        speech.save(options.out)
    except (LaunchError, HiggsError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        seconds = server.stop()
    print(
        f"{options.out}: first audio after {(speech.time_to_first_audio or 0) * 1000:.0f} ms, "
        f"{speech.seconds:.2f} s of audio, RTF {speech.real_time_factor:.2f}, finished: {speech.finish_reason}"
    )
    print(_heard(options.text, speech))
    print(f"Triton stopped in {seconds:.1f} s")
    return 0


def _speak(url: str, text: str) -> Speech:
    with HiggsClient(url) as client:
        client.synthesize(text, params=GenerationParams(max_seconds=0.4))  # the first request of a server warms it up
        with client.stream(text) as stream:
            chunks = []
            for chunk in stream:
                chunks.append(chunk)
                arrived, begins = chunk.received_at - stream.started_at, chunk.start_sample / chunk.sample_rate
                print(f"  {arrived:6.2f} s  audio from {begins:5.2f} s, {len(chunk.samples)} samples")
            return Speech.from_chunks(chunks, stream.started_at)


def _heard(text: str, speech: Speech) -> str:
    """What an independent recogniser heard: by the domain's grammar if it has the text, else by its own English."""
    if speech.report and speech.report.warnings:
        return "; ".join(speech.report.warnings)
    listener, said = Listener(), " ".join(re.findall(r"[\w']+", text.lower()))
    hear = listener.transcribe if Domain.load().holds(said) else listener.transcribe_english
    return f"PocketSphinx heard: {hear(speech.samples, speech.sample_rate)!r}"


if __name__ == "__main__":
    sys.exit(main())
