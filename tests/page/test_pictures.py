"""The pictures in docs/: a dialogue that plays, on a desktop and on a phone."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.page.conftest import ROOT
from tests.page.stage import LONG_MS, Stage

DOCS = ROOT / "docs"
MOST_BYTES = 150_000
DESKTOP = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "is_mobile": True, "has_touch": True}


@pytest.mark.parametrize("name, options", [("page-desktop", DESKTOP), ("page-phone", PHONE)])
def test_a_dialogue_is_pictured_while_it_plays(opened: Callable[..., Page], name: str, options: dict) -> None:
    stage = Stage(opened(**options, reduced_motion="reduce"))
    page = stage.page
    page.get_by_role("button", name="Sentence").click()  # the first request of a server warms it up
    stage.speak()
    stage.wait("done")
    page.get_by_role("button", name="Dialogue").click()
    page.get_by_label("Voice of Anna").select_option("slt")
    page.get_by_label("Voice of John").select_option("awb")
    stage.speak()
    stage.wait("waiting")
    stage.wait("done")
    page.locator("#parts button").nth(1).click()
    if page.locator("#play").get_attribute("aria-label") == "Play":
        page.locator("#play").click()
    expect(page.locator("#now")).to_have_text("John", timeout=LONG_MS)
    page.mouse.move(0, 0)  # nothing is pointed at
    page.wait_for_timeout(700)
    page.locator(".composer").evaluate("one => one.scrollIntoView()")
    picture = Image.open(io.BytesIO(page.screenshot(full_page=name == "page-desktop")))
    file = DOCS / f"{name}.png"
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    assert file.stat().st_size < MOST_BYTES
