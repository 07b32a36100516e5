"""What copies of speech are called, whatever is asked for, and settings of a store that are refused at the start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.metrics import Metrics
from gateway.settings import Settings, parse
from gateway.store import Store
from gateway.stored_names import DEFAULT, Names

ADDRESS = "s3://bucket/heard"
HOSTILE = (
    "../../up",
    "/root",
    "a/../../b",
    "..",
    ".",
    "",
    "a\nb",
    "\0",
    "x" * 10_000,
    "%2e%2e/",
    "ü",
    "{key}",
    "C:\\x",
)


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_leads_out_of_the_prefix(value: str) -> None:
    for template in (DEFAULT, "{key}/{voice}/{session_id}/{request_id}-{random}.{format}"):
        values = dict.fromkeys(("session_id", "request_id", "format", "voice", "key"), value)
        name = Names(template).new(values)
        assert name.isascii() and name.isprintable() and "\\" not in name and len(name) < 800
        parts = name.split("/")
        assert len(parts) == template.count("/") + 1 and not {"", ".", ".."} & {*parts}


def test_no_two_names_are_alike() -> None:
    values = dict.fromkeys(("session_id", "request_id", "format", "voice", "key"), "x")
    for template in (DEFAULT, "{random}"):
        assert len({Names(template).new(values) for _ in range(2000)}) == 2000


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{session_id}.wav", "needs {timestamp} or {random}"),
        ("{random}/{secret}", "has {secret}"),
        ("{random}{}", "has {}"),
        ("{random.__class__}", "has {random.__class__}"),
        ("{random!r}", "has {random}"),
        ("{random:>999999999}", "has {random}"),
        ("{random", "expected '}'"),
        ("../{random}", "no path"),
        ("/{random}", "no path"),
        ("a//{random}", "no path"),
        ("{random}/", "no path"),
        ("a\n{random}", "no path"),
        ("a\\{random}", "no path"),
        ("{random}" * 20, "too long"),
        ("x" * 1000 + "/{random}", "too long"),
    ],
)
def test_a_template_that_could_not_be_used_is_refused_at_the_start(tmp_path: Path, template: str, why: str) -> None:
    with pytest.raises(ValueError, match="--store-name") as refused:
        Store(Settings(store=str(tmp_path), store_name=template), Metrics())
    assert why in str(refused.value)


def test_so_are_other_settings() -> None:
    for seconds in (-1, 0.5, 604_801, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="--store-url-seconds"):
            Store(Settings(store=ADDRESS, store_url_seconds=seconds), Metrics())
    for nbytes in (0, -1):
        with pytest.raises(ValueError, match="--store-bytes"):
            Store(Settings(store=ADDRESS, store_bytes=nbytes), Metrics())
    for words in (["--store", ADDRESS, "--store-rule", "some"], ["--store-rule", "all"]):
        with pytest.raises(SystemExit):
            parse(words)
    settings = parse(
        ["--store", ADDRESS, "--store-rule", "all", "--store-name", "{random}", "--store-url-seconds", "0"]
    )
    assert (settings.store, settings.store_rule, settings.store_name) == (ADDRESS, "all", "{random}")


def test_who_stores_nothing_loads_nothing_for_it() -> None:
    code = (
        "import sys; from gateway.__main__ import web_server; from gateway.settings import Settings;"
        "web_server(Settings(port=0)); sys.exit(any(name in sys.modules for name in ('obstore', 'botocore', 'boto3')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
