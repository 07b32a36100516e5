"""Play speech while it arrives. Without a sound device, print when each chunk came and when it would be heard."""

import os
from typing import Any

from higgs_tts import HiggsClient

try:
    import sounddevice
except (ImportError, OSError):  # not installed, or no PortAudio on this machine
    sounddevice = None


def loudspeaker(rate: int) -> Any:
    """An open output, or None."""
    if sounddevice is None or not sounddevice.query_devices():
        return None
    output = sounddevice.OutputStream(samplerate=rate, channels=1)
    output.start()
    return output


with HiggsClient(os.environ.get("HIGGS_URL", "localhost:8001")) as client:
    output = loudspeaker(client.sample_rate)
    with client.stream("This voice was made for a small demo.", voice="slt") as stream:
        for chunk in stream:
            arrived = chunk.received_at - stream.started_at
            print(f"after {arrived:5.2f} s: audio from {chunk.start:5.2f} to {chunk.stop:5.2f} s")
            if output is not None:
                output.write(chunk.samples)
