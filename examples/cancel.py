"""Stop a stream early. The server ends the generation at its next step and frees the slot."""

import os

from higgs_tts import HiggsClient

TEXT = "The code is one two three four. The number is five six seven. Eight plus one is nine. " * 5

# Leaving the stream's `with` ends the generation too: by a `break`, an exception, Ctrl-C.
with HiggsClient(os.environ.get("HIGGS_URL", "localhost:8001")) as client, client.stream(TEXT, voice="rms") as stream:
    for chunk in stream:
        print(f"audio from {chunk.start:5.2f} to {chunk.stop:5.2f} s", chunk.finish_reason or "")
        if chunk.stop > 1.0:
            stream.cancel()
