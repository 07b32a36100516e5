"""The page at `/` and the one at `/docs`, without a browser (tests/page has one), and the requests that they show."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from gateway.examples import EXAMPLES
from gateway.page import FILES

NAMED = re.compile(r'(?:src=|href=|url: )"([^"#]+)"|(?:from |import |new URL\()"([^"]+)"')
HOSTS = re.compile(r"https?://(?!www\.w3\.org/2000/svg)")  # which names a kind of picture
OURS = sorted(name for name in FILES if not name.startswith("swagger-ui"))


def named(text: str, path: str) -> set[str]:
    """The paths that a page, or a module of it, asks for: what it imports is named from where it stands."""
    found = NAMED.findall(text)
    return {urljoin("/", page) for page, _ in found if page} | {urljoin(path, module) for _, module in found if module}


@pytest.mark.parametrize("start", ["/", "/docs"])
def test_every_file_a_page_names_is_served(http: httpx.Client, start: str) -> None:
    todo, seen = [start], set[str]()
    while todo:
        path = todo.pop()
        seen.add(path)
        answer = http.get(path)
        assert answer.status_code == 200, path
        if not path.endswith((".svg", ".css", ".json", "swagger-ui-bundle.js")):
            todo += named(answer.text, path) - seen
    assert {"/docs", "/page/docs.js", "/page/swagger-ui.css", "/openapi.json"} <= seen or start == "/"
    modules = {f"/page/{name}" for name in FILES if name.endswith(".js")} - {"/page/docs.js"}
    assert start == "/docs" or modules <= seen


@pytest.mark.parametrize("path", ["/", "/docs", "/page/app.js", "/page/worklet.js"])
def test_a_browser_is_told_to_load_nothing_from_elsewhere(http: httpx.Client, path: str) -> None:
    headers = http.get(path).headers
    rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert rules["default-src"] == rules["worker-src"] == "'self'" and "script-src" not in rules
    assert rules["object-src"] == rules["base-uri"] == "'none'"
    assert headers["permissions-policy"].startswith("microphone=(self)")
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", OURS)
def test_no_file_names_another_host_or_has_a_script_inside(http: httpx.Client, name: str) -> None:
    text = http.get(f"/page/{name}").text
    assert not HOSTS.search(text)
    if name.endswith(".html"):
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", text)


@pytest.mark.parametrize("name", ["app", "index.html/..", "..%2Fpage.py", "%2e%2e/page.py", "speech.py"])
def test_only_files_of_the_page_are_served(http: httpx.Client, name: str) -> None:
    answer = http.get(f"/page/{name}")
    assert answer.status_code == 404 and answer.json()["error"]["message"]


def test_the_types_are_what_browsers_run(http: httpx.Client) -> None:
    kinds = {name: http.get(f"/page/{name}").headers["content-type"].partition(";")[0] for name in OURS}
    assert {kind for name, kind in kinds.items() if name.endswith(".js")} == {"text/javascript"}
    assert kinds["style.css"] == "text/css" and kinds["icon.svg"] == "image/svg+xml"


def test_the_interface_tells_of_keys_and_examples(http: httpx.Client) -> None:
    about = http.get("/openapi.json").json()
    assert about["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert about["paths"]["/v1/models"]["get"]["security"] == [{}, {"key": []}]
    assert "security" not in about["paths"]["/health/live"]["get"]
    body = about["paths"]["/v1/audio/speech"]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"] == EXAMPLES
    assert not {"/", "/docs"} & about["paths"].keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_spoken(http: httpx.Client, name: str) -> None:
    example: Any = EXAMPLES[name]["value"]
    answer = http.post("/v1/audio/speech", json=example | {"max_seconds": 0.4, "strict": True})
    assert answer.status_code == 200, answer.text
    assert len(answer.content) > 500
    assert "speech.audio.error" not in answer.text
