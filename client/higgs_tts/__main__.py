"""`python -m higgs_tts` is the command `higgs-tts`."""

import sys
from typing import NoReturn


def run() -> NoReturn:
    """The console script; pip installs it even without the `cli` extra."""
    try:
        from .cli.command import run as run_command  # noqa: PLC0415
    except ModuleNotFoundError as error:
        sys.exit(f"higgs-tts: {error.name} is missing; the command line needs: pip install 'higgs-tts-client[cli]'")
    run_command()


if __name__ == "__main__":
    run()
