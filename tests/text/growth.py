"""How what is done with a text grows with the text."""

import time
from collections.abc import Callable


def assert_linear(work: Callable[[str], object], repeated: str, longest: int = 8_192) -> None:
    """Eight times the text takes about eight times as long; sixty-four times, if anything were quadratic."""

    def seconds(characters: int) -> float:
        text = (repeated * characters)[:characters]
        times = []
        for _ in range(2):
            started = time.process_time()
            work(text)
            times.append(time.process_time() - started)
        return min(times)

    assert seconds(longest) < max(24 * seconds(longest // 8), 0.05)
