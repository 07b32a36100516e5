"""What every set of reading rules is made of: a pattern and what is said for it, and where a number begins and ends."""

from __future__ import annotations

import re
from collections.abc import Callable

Reading = Callable[[re.Match[str]], str]
Rule = tuple[str, Reading]  # a reading returns the match itself to leave it alone

LETTER = "A-Za-zÀ-ɏ"  # Chinese characters may touch a number
START = rf"(?<![{LETTER}_0-9])(?<![0-9][.,:])"
END = rf"(?![{LETTER}_0-9])(?![.,:][0-9])"
