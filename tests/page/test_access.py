"""The page for everybody: keyboard, screen reader, phone; and nothing from other hosts."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.page.stage import Stage

PHONE = {"width": 360, "height": 740}
SMALL_PHONE = {"width": 320, "height": 568}  # also a desktop at 400 %, which WCAG 1.4.10 wants
NEED_NAMES = "button|checkbox|combobox|dialog|heading|img|link|meter|radio|slider|spinbutton|textbox|radiogroup|region"
WORST_CONTRAST = 4.5  # WCAG 1.4.3


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))


def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    """Press Tab until an element is focused, and see that it can be seen."""
    for _ in range(40):
        page.keyboard.press(key)
        if focused(page) == name:
            break
    assert focused(page) == name


def test_the_keyboard_does_everything(stage: Stage) -> None:
    page = stage.page
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the text"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    if focused(page) != "words":
        tab_to(page, "words", "Shift+Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("Good morning.")
    tab_to(page, "speak")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    page.keyboard.press("Enter")
    stage.wait("done")
    stage.wait_for_silence()
    tab_to(page, "seek")
    page.keyboard.press("Home")
    assert stage.seconds == 0
    page.keyboard.press("ArrowRight")
    expect(page.locator("#seek")).to_have_attribute("aria-valuenow", re.compile(r"^(1\.0|0\.\d)$"))
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    expect(page.locator("#clock")).not_to_have_text("0:00.0")
    stage.wait_for_silence()
    assert stage.seconds > 0.3
    tab_to(page, "download")
    tab_to(page, "copy")
    page.keyboard.press("Control+Enter")
    stage.wait("waiting")
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_contain_text("Cancelled")


def nameless(page: Page) -> list[str]:
    """What a screen reader has no words for."""
    tree = page.locator("body").aria_snapshot()
    assert '- button "Speak"' in tree
    return [line for line in tree.splitlines() if re.search(rf"- ({NEED_NAMES})(?! \")(\s|:|$)", line)]


def test_everything_has_a_role_and_a_name(stage: Stage) -> None:
    page = stage.page
    stage.write("Hello.")
    page.get_by_label("Record your own").check()
    expect(page.get_by_role("radio", name="slt")).to_have_count(1)
    assert nameless(page) == []
    stage.write("Anna: Good morning.\nJohn: Hello, Anna.")
    stage.speak()
    stage.wait("done")
    assert nameless(page) == []
    for role, name in (
        ("banner", None),
        ("main", None),
        ("textbox", "What to say"),
        ("button", "Speak"),
        ("slider", "Position"),
        ("group", "Voice"),
        ("combobox", "Voice of Anna"),
        ("spinbutton", "Seed"),
    ):
        expect(page.get_by_role(role, name=name)).to_have_count(1)
    expect(page.get_by_role("status")).to_contain_text("Finished")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(opened: Callable[..., Page], scheme: str) -> None:
    page = Stage(opened(color_scheme=scheme)).page
    contrasts = page.evaluate(
        """() => {
            const style = getComputedStyle(document.documentElement);
            const light = (name) => {
                const hex = style.getPropertyValue(name).trim().slice(1);
                const [r, g, b] = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
                    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
                return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
            };
            const speakers = [...Array(8).keys()].map((number) => `--speaker-${number}`);
            const pairs = ["--text", "--soft", "--bad", "--good", ...speakers].flatMap((text) =>
                ["--card", "--inset"].map((ground) => [text, ground]));
            pairs.push(["--accent-text", "--accent"]);
            return Object.fromEntries(pairs.map(([one, other]) => {
                const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
                return [`${one} on ${other}`, bright / dark];
            }));
        }"""
    )
    assert {pair: value for pair, value in contrasts.items() if value < WORST_CONTRAST} == {}


@pytest.mark.parametrize("viewport", [PHONE, SMALL_PHONE])
def test_a_phone_scrolls_only_down(opened: Callable[..., Page], viewport: dict[str, int]) -> None:
    stage = Stage(opened(viewport=viewport, has_touch=True, is_mobile=True))
    stage.write("b" * 200, seed=4294967295)
    stage.page.get_by_label("Record your own").check()
    assert stage.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    stage.write("Anna: Good morning.\nOld Peter Robertson: Hello, Anna.")
    stage.speak()
    stage.wait("done")
    assert stage.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    small = stage.page.locator("button:visible, a.button:visible, select:visible").evaluate_all(
        "all => all.filter((one) => one.getBoundingClientRect().height < 24).map((one) => one.outerHTML)"
    )
    assert small == []  # WCAG 2.5.8


def test_nothing_comes_from_other_hosts(opened: Callable[..., Page], address: str) -> None:
    page = Stage(opened()).page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    Stage(page)
    page.get_by_role("link", name="API", exact=True).click()
    page.locator("#operations-speech-speak_v1_audio_speech_post, [id*=v1_audio_speech_post]").first.click()
    expect(page.get_by_text("A dialogue, with a voice for each speaker").first).to_be_attached()
    assert any(url.endswith("swagger-ui-bundle.js") for url in asked)
    assert any(url.endswith("openapi.json") for url in asked)
    assert {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))} == {
        urlsplit(address).netloc
    }
