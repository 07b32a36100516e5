"""Speech that outlasts a test on any machine.

Random weights end a part where they like, and a fast machine has spoken the longest one within a second.
"""

from higgs_tts import GenerationParams

TEXT = "Nobody will hear the end of this. " * 200
PARAMS = GenerationParams(temperature=0.0, ras_window=0, first_chunk_seconds=0.04, runaway_guard=False)
