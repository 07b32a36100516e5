"""`python -m higgs_tts` is the command `higgs-tts`."""

from .command import run

run()
