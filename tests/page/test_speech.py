"""Speech on the page: heard while it is made, ended, repeated, in a voice just recorded."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from gateway.settings import Settings
from serve.triton import TritonServer
from tests.gateway.running import running
from tests.page.stage import LONG_MS, Stage

SENTENCE = "The speech is streamed out of Triton."
DIALOGUE = "Anna: Good morning, John. How are you today?\nJohn: Good morning, Anna. Today it will be sunny."
LONG_DIALOGUE = f"{DIALOGUE}\nAnna: Where is the station?\nJohn: Turn left at the market."
FREE_SECONDS = 10.0
SPARE = 1.5  # how much slower than in its first run a machine may be in the second
MOST_BUFFERED = 0.8  # of a speech: some must be left that comes while it plays


def live_streams(server: TritonServer) -> float:
    text = httpx.get(f"http://{server.metrics_url}/metrics", trust_env=False).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("higgs_live_streams"))


def wait_for_streams(server: TritonServer, count: int) -> None:
    deadline = time.monotonic() + FREE_SECONDS
    while live_streams(server) != count:
        assert time.monotonic() < deadline, f"{live_streams(server):g} streams are live, not {count}"
        time.sleep(0.05)


@pytest.fixture
def spoken(stage: Stage) -> Stage:
    """A dialogue that was spoken and heard."""
    stage.write(DIALOGUE)
    stage.speak()
    stage.wait("done")
    stage.wait_for_silence()
    return stage


def test_it_is_heard_while_it_is_made_and_without_a_gap(stage: Stage, figure: Callable[[str, str], None]) -> None:
    """The first run tells how fast this machine is, and so how much must come before it may play."""
    stage.write(LONG_DIALOGUE)
    stage.speak()
    stage.wait("done")
    stage.wait_for_silence()
    length, pace = len(stage.file()) / 24_000, stage.number("rtf") * SPARE
    buffer = min(max(0.3, length * (1 - 1 / pace)), MOST_BUFFERED * length)
    stage.write(LONG_DIALOGUE, buffer=round(buffer, 2))
    stage.speak()
    stage.wait("streaming")
    heard = 0.0
    while stage.page.locator("#stage").get_attribute("data-state") == "streaming":
        heard = max(heard, stage.seconds)
    assert 0 < heard < length
    stage.wait_for_silence()
    assert stage.seconds == pytest.approx(length, abs=0.11)
    assert stage.page.locator("#starvation").inner_text() == "0 gaps"
    figure("page: first audio", stage.page.locator("#first-audio").inner_text())
    figure("page: real-time factor", stage.page.locator("#rtf").inner_text())
    figure("page: played when the stream ended", f"{heard:.1f} of {length:.1f} s, after {buffer:.1f} s of buffer")


def test_gaps_are_counted(stage: Stage) -> None:
    """Half a second comes, then nothing for longer than that, then the rest: one gap, and nothing is lost."""
    told = stage.page.evaluate(
        """async () => {
            const { Player } = await import("/page/player.js");
            const rest = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
            const player = await Player.open(24000, 0.1, () => {});
            player.push(new Float32Array(12000));
            await rest(1500);
            player.push(new Float32Array(12000));
            player.complete();
            while (!player.finished) await rest(20);
            return [player.gaps, player.starved, player.seconds];
        }"""
    )
    gaps, starved, seconds = told
    assert gaps == 1 and seconds == 1.0
    assert 0.5 < starved < 1.5


def test_who_speaks_is_told_by_colour_and_name(spoken: Stage) -> None:
    parts = spoken.page.locator("#parts li")
    assert [part.inner_text().split("\n")[1] for part in parts.all()] == ["Anna", "John"]
    assert "Anna 0.0 to " in (spoken.page.locator("#lanes").get_attribute("aria-label") or "")
    colours = {
        name: spoken.page.locator(f"#lanes span:text-is('{name}')").evaluate("one => getComputedStyle(one).color")
        for name in ("Anna", "John")
    }
    assert len(set(colours.values())) == 2
    for name, colour in colours.items():
        badge = spoken.page.locator(f"#speakers .badge:text-is('{name}')")
        assert badge.evaluate("one => getComputedStyle(one).color") == colour


def test_the_finished_file_can_be_sought_and_loaded(spoken: Stage) -> None:
    samples = spoken.file()
    assert np.abs(samples).max() > 0.05
    second = spoken.page.locator("#parts button").nth(1)
    second.click()
    expect(spoken.page.locator("#parts li").nth(1)).to_have_attribute("aria-current", "true")
    at = spoken.seconds
    assert 0 < at < len(samples) / 24_000
    spoken.page.locator("#play").click()
    expect(spoken.page.locator("#now")).to_have_text("John")
    spoken.wait_for_silence()
    assert spoken.seconds > at


@pytest.mark.parametrize("press", [lambda page: page.click("#cancel"), lambda page: page.keyboard.press("Escape")])
def test_cancel_frees_the_slot(stage: Stage, server: TritonServer, press: Callable[[Page], None]) -> None:
    stage.write(" ".join([SENTENCE] * 12))
    stage.speak()
    stage.wait("streaming")
    assert live_streams(server) >= 1
    press(stage.page)
    wait_for_streams(server, 0)
    expect(stage.page.locator("#status")).to_contain_text("Cancelled after")
    expect(stage.page.locator("#cancel")).to_be_hidden()
    assert len(stage.file())  # what was spoken until then is kept
    expect(stage.page.locator("#play")).to_have_attribute("aria-label", "Play")  # and not played by itself
    assert stage.seconds == 0


def test_cancel_before_anything_is_heard(stage: Stage) -> None:
    stage.page.locator("#words").fill(SENTENCE)
    stage.page.evaluate(
        """() => {
            document.querySelector("#request").requestSubmit();
            document.querySelector("#cancel").click();
        }"""
    )
    stage.wait("idle")
    expect(stage.page.locator("#status")).to_contain_text("Cancelled after 0.0 seconds")
    expect(stage.page.locator("#cancel")).to_be_hidden()


def test_closing_the_page_frees_the_slot(stage: Stage, server: TritonServer) -> None:
    stage.write(" ".join([SENTENCE] * 12))
    stage.speak()
    stage.wait("streaming")
    stage.page.close()
    wait_for_streams(server, 0)


def test_a_link_repeats_a_request(stage: Stage, opened: Callable[..., Page]) -> None:
    bodies = stage.sent()
    stage.write("Good morning.", seed=7, temperature=0.8, scene="A quiet room.", speed="1.25")
    stage.page.get_by_label("Fast").check()
    stage.page.get_by_label("awb", exact=True).check()
    stage.page.locator("#language").select_option("en")
    stage.speak()
    stage.wait("done")
    other = Stage(opened(stage.page.url))
    repeated = other.sent()
    other.speak()
    other.wait("done")
    assert repeated == bodies
    told = bodies[0]
    assert (told["voice"], told["seed"], told["temperature"], told["speed"]) == ("awb", 7, 0.8, 1.25)
    assert (told["preset"], told["language"], told["instructions"]) == ("fast_generation", "en", "A quiet room.")
    np.testing.assert_array_equal(other.file(), stage.file())


def test_a_dialogue_has_voices_for_its_speakers_and_its_link_too(stage: Stage, opened: Callable[..., Page]) -> None:
    """The server takes no single voice with them; where labels are no speakers, it does."""
    stage.write("Hello.")
    stage.page.get_by_label("slt", exact=True).check()
    stage.write("Anna: Hello.\nJohn: Hello, Anna.")
    stage.page.get_by_label("Voice of Anna").select_option("slt")
    expect(stage.page.get_by_text("Each speaker has a voice of their own.")).to_be_visible()
    expect(stage.page.get_by_label("slt", exact=True)).to_be_hidden()
    stage.page.get_by_label("The labels").select_option("on")
    other = Stage(opened(stage.page.url))
    bodies = other.sent()
    other.speak()
    other.wait("done")
    assert bodies[0]["speakers"] == {"Anna": "slt"} and bodies[0]["dialogue"] == "on" and "voice" not in bodies[0]
    other.page.get_by_label("The labels").select_option("off")
    other.page.get_by_label("awb", exact=True).check()
    expect(other.page.locator("mark")).to_have_count(0)
    other.speak()
    other.wait("waiting")
    other.wait("done")
    assert bodies[1]["voice"] == "awb" and bodies[1]["dialogue"] == "off" and "speakers" not in bodies[1]
    assert other.page.locator("#parts li").count() >= 1


def test_a_voice_is_recorded_and_taken(stage: Stage) -> None:
    bodies, page = stage.sent(), stage.page
    stage.write("Good morning.")
    page.get_by_label("Record your own").check()
    stage.speak()
    expect(page.get_by_role("alert")).to_contain_text("Record your voice first")
    page.get_by_label("Word for word what the recording says").fill("Beep, beep.")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.locator("#recorded")).to_contain_text("2.", timeout=LONG_MS)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#recorded")).to_contain_text("Recorded")
    stage.speak()
    stage.wait("done")
    assert str(bodies[0]["ref_audio"]).startswith("data:audio/")
    assert bodies[0]["ref_text"] == "Beep, beep." and "voice" not in bodies[0]
    assert len(stage.file())
    assert "ref_audio" not in page.url


def test_a_refusal_is_shown_in_the_servers_words(opened: Callable[..., Page], address: str) -> None:
    stage = Stage(opened(f"{address}/#input=Hello.&voice=nobody&seed=0"))
    stage.speak()
    alert = stage.page.get_by_role("alert")
    expect(alert).to_contain_text("nobody", timeout=LONG_MS)
    expect(stage.page.locator("#status")).to_have_text("Nothing was spoken.")


def test_a_key_is_asked_for_and_kept_in_the_tab(server: TritonServer, opened: Callable[..., Page]) -> None:
    with running(Settings(triton=server.grpc_url, keys=("hk-right",))) as closed:
        page = opened(f"{closed}/#input=Good+morning.&seed=0")
        dialog = page.get_by_role("dialog", name="API key")
        dialog.get_by_label("Key").fill("hk-wrong")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("There is no such API key.")
        dialog.get_by_label("Key").fill("hk-right")
        dialog.get_by_role("button", name="Use").click()
        stage = Stage(page)
        stage.speak()
        stage.wait("done")
        page.reload()
        Stage(page)  # without being asked again
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
