"""Modules of `triton_repo/common` name each other as they do beside a model.py, where `common` is a top folder."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "triton_repo"))
