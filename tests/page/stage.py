"""What tests do on the page, and see."""

from __future__ import annotations

import re

import numpy as np
import soundfile
from playwright.sync_api import Page, expect

LONG_MS = 120_000  # the demo voice on a busy machine
RATE = 24_000


class Stage:
    """The page, once its voices are known."""

    def __init__(self, page: Page) -> None:
        self.page = page
        expect(page.locator("#server")).to_have_attribute("data-state", "ready", timeout=LONG_MS)

    def write(self, text: str, **fields: object) -> None:
        """The text, and other fields by their ids."""
        self.page.fill("#words", text)
        for name, value in fields.items():
            self.page.fill(f"#{name}", str(value))

    def speak(self) -> None:
        self.page.get_by_role("button", name="Speak").click()

    def wait(self, state: str) -> None:
        """Until the stage is `waiting`, `streaming`, `done` or `idle`."""
        expect(self.page.locator("#stage")).to_have_attribute("data-state", state, timeout=LONG_MS)

    def wait_for_silence(self) -> None:
        """Until it was played to its end."""
        expect(self.page.locator("#play")).to_have_attribute("aria-label", "Play", timeout=LONG_MS)

    def number(self, name: str) -> float:
        """The first number in an element."""
        told = re.search(r"[\d.]+", self.page.locator(f"#{name}").inner_text())
        assert told, name
        return float(told[0])

    @property
    def seconds(self) -> float:
        """Played."""
        minutes, seconds = self.page.locator("#clock").inner_text().split(":")
        return 60 * float(minutes) + float(seconds)

    def file(self) -> np.ndarray:
        """Samples [n] of what can be downloaded."""
        with self.page.expect_download() as download:
            self.page.locator("#download").click()
        samples, rate = soundfile.read(download.value.path())
        assert rate == RATE
        return samples

    def sent(self) -> list[dict[str, object]]:
        """Bodies of the requests for speech from now on, as they come."""
        bodies: list[dict[str, object]] = []
        self.page.on("request", lambda one: bodies.append(one.post_data_json) if one.method == "POST" else None)
        return bodies
