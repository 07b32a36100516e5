"""Give each speaker of a dialogue a voice, and read from the report who spoke when."""

import os

from higgs_tts import GenerationParams, HiggsClient

DIALOGUE = """\
Anna: Good morning. My name is Anna and I live in Paris.
Bob: Good morning Anna. How are you today?
Anna: Please take me to the station.
"""

with HiggsClient(os.environ.get("HIGGS_URL", "localhost:8001")) as client:
    speech = client.synthesize(DIALOGUE, params=GenerationParams(speakers={"Anna": "slt", "Bob": "awb"}))
    speech.save("dialogue.wav")
    for part in speech.parts:
        print(f"{part.start:5.2f} to {part.stop:5.2f} s  {part.speaker}: {part.text}")
