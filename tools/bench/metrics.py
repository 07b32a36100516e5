"""What a running server says of itself, for those who measure it."""

from __future__ import annotations

import urllib.request


def metrics(url: str) -> dict[str, float]:
    """Triton's metrics page, by name with labels."""
    with urllib.request.urlopen(f"http://{url}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}
