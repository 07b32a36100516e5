"""Write speech into a WAV file while it arrives."""

import os

import soundfile
from higgs_tts import HiggsClient

with HiggsClient(os.environ.get("HIGGS_URL", "localhost:8001")) as client:
    with soundfile.SoundFile("hello.wav", "w", samplerate=client.sample_rate, channels=1) as file:
        for chunk in client.stream("Hello from Higgs Audio, streamed out of Triton."):
            file.write(chunk.samples)  # float32 [n], in [-1, 1]
            print(f"{chunk.start:5.2f} to {chunk.stop:5.2f} s")
    print("finished:", chunk.finish_reason)
