"""Where Triton's Python backend starts the model `voices`; `runtime` lies beside this file in a bundle."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # before the working directory, which may hold another `runtime`

from runtime.triton.voices import TritonPythonModel

__all__ = ["TritonPythonModel"]
