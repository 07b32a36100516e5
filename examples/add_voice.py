"""Keep a voice on the server, speak in it by its name, and remove it again."""

import os
from pathlib import Path

from higgs_tts import HiggsClient, Reference

VOICES = Path(__file__).parent.parent / "voices"

with HiggsClient(os.environ.get("HIGGS_URL", "localhost:8001")) as client:
    clip = Reference(VOICES / "awb.wav", (VOICES / "awb.txt").read_text())
    client.add_voice("narrator", clip, metadata={"language": "en", "gender": "male"}, replace=True)
    print("voices:", ", ".join(voice.name for voice in client.voices()))

    client.synthesize("Today is Tuesday.", voice="narrator").save("narrator.wav")
    # The first request had the clip encoded; its codes are kept with the voice from now on.
    codes = client.voice("narrator").embedding
    print("codes:", "none" if codes is None else f"{codes.shape[0]} codebooks x {codes.shape[1]} frames")

    client.remove_voice("narrator")
