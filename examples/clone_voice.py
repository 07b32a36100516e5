"""Speak in the voice of a recording: clone_voice.py [RECORDING TRANSCRIPT]. The transcript is what it says."""

import os
import sys
from pathlib import Path

from higgs_tts import HiggsClient, Reference

VOICES = Path(__file__).parent.parent / "voices"

if len(sys.argv) == 3:
    reference = Reference(sys.argv[1], sys.argv[2])
else:
    reference = Reference(VOICES / "rms.wav", (VOICES / "rms.txt").read_text())

with HiggsClient(os.environ.get("HIGGS_URL", "localhost:8001")) as client:
    speech = client.synthesize("The meeting is on Monday morning.", reference=reference)
    speech.save("cloned.wav")
    print(f"cloned.wav: {speech.seconds:.2f} s, finished: {speech.finish_reason}")
