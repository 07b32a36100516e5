"""Where Triton's Python backend starts the model `codec_encoder`; `runtime` lies beside this file in a bundle."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # before the working directory, which may hold another `runtime`

from runtime.triton.codec_encoder import TritonPythonModel

__all__ = ["TritonPythonModel"]
