"""Read a long text from a file, with a progress line: long_text.py [FILE]."""

import os
import sys
from pathlib import Path

import soundfile
from higgs_tts import HiggsClient

file = Path(sys.argv[1]) if len(sys.argv) == 2 else Path(__file__).with_name("long_text.txt")

with HiggsClient(os.environ.get("HIGGS_URL", "localhost:8001")) as client:
    with soundfile.SoundFile("long_text.wav", "w", samplerate=client.sample_rate, channels=1) as output:
        for chunk in client.stream(file.read_text("utf-8"), voice="slt"):
            output.write(chunk.samples)
            print(f"\rpart {chunk.part + 1}, {chunk.stop:.1f} s of audio", end="", flush=True)
    print()
    if chunk.report is not None:
        print(f"{len(chunk.report.parts)} parts, {chunk.report.retries} retries, language: {chunk.report.language}")
