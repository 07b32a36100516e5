"""The gateway's page in Debian's chromium, in front of the demo voice: `make test-page`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from gateway.settings import Settings
from serve.triton import TritonServer
from tests.gateway.running import running
from tests.page.stage import Stage

ROOT = Path(__file__).resolve().parent.parent.parent
FLAGS = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # a microphone that beeps
NO_SANDBOX = ["--no-sandbox"] if os.geteuid() == 0 else []  # chromium has none for root


@pytest.fixture(scope="session")
def server() -> Iterator[TritonServer]:
    """A Triton over the demo bundle, which `make demo-bundle` builds."""
    with TritonServer(ROOT / "artifacts" / "demo") as started:
        yield started


@pytest.fixture(scope="session")
def address(server: TritonServer) -> Iterator[str]:
    with running(Settings(triton=server.grpc_url)) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "these tests need a browser: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS + NO_SANDBOX)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Call with options of a browser's context to have the page; whatever goes wrong in it fails the test."""
    contexts, faults = [], []

    def open_page(url: str = f"{address}/", **options: object) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda told: faults.append(told.text) if "Content Security Policy" in told.text else None)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def stage(opened: Callable[..., Page]) -> Stage:
    return Stage(opened())
