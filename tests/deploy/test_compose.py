"""The compose file against the Compose Specification, and what it says against the project.

Run: make lint-deploy
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from build.targets import target_names
from gateway.settings import KEYS_VARIABLE
from serve.arguments import parse as parse_serve
from serve.gateway import parse_address
from serve.health import _GATEWAY_SECONDS
from serve.triton import STOP_SECONDS

compose_spec = pytest.importorskip("compose_spec", reason="the checkers are installed by: make lint-deploy")

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "deploy" / "compose.yaml"
TEXT = FILE.read_text()
SERVICES: dict[str, Any] = yaml.safe_load(TEXT)["services"]
SERVERS = ("gpu", "cpu")


def parse(text: str) -> Any:
    options = compose_spec._PyOptions()
    options.apply_merge = True
    compose = options.from_yaml(text)
    compose.validate()
    return compose


def test_it_follows_the_specification() -> None:
    assert sorted(parse(TEXT).service_names()) == ["build", "cpu", "gpu"]


@pytest.mark.parametrize(
    "right, wrong", [("shm_size", "shmsize"), ("retries: 3", "retries: many"), ("count: 1", "count: -1")]
)
def test_the_specification_is_really_asked(right: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=r"extension key|invalid"):
        parse(TEXT.replace(right, wrong))


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_checked_by_an_inference_and_stopped_in_order(name: str) -> None:
    service = SERVICES[name]
    _, python, *check = service["healthcheck"]["test"]
    assert python.endswith("python")
    assert check[:2] == ["-m", "serve.health"]
    assert float(check[3]) + _GATEWAY_SECONDS < seconds(service["healthcheck"]["timeout"])
    assert check[4:] == ["--gateway", "localhost:8080"]
    assert seconds(service["stop_grace_period"]) > parse_serve(service["command"]).drain + STOP_SECONDS
    loading = parse_serve(service["command"]).timeout
    assert seconds(service["healthcheck"]["start_period"]) == loading + 1800, "for fetching what was published"
    assert service["shm_size"] == "1gb"
    assert service["init"] is True


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_started_with_options_there_are_and_reached_on_this_machine_only(name: str) -> None:
    options = parse_serve(SERVICES[name]["command"])
    assert options.host == "0.0.0.0"
    assert options.log == Path("/tmp/triton.log"), "the bundles are mounted read-only"
    assert options.state == Path("/state")
    assert options.cache == Path("/cache")
    assert SERVICES[name]["volumes"] == ["bundles:/bundles:ro", "state:/state", "cache:/cache"]
    ports = [port.split(":") for port in SERVICES[name]["ports"]]
    assert sorted(ports) == [["127.0.0.1", str(port), str(port)] for port in (8001, 8002, 8080)], "HTTP stays inside"
    assert {options.grpc_port, options.metrics_port} == {8001, 8002}
    assert options.http_host == "127.0.0.1"
    assert parse_address(options.gateway) == ("0.0.0.0", 8080)
    assert options.gateway_options == "${GATEWAY_OPTIONS:-}"
    assert SERVICES[name]["environment"][KEYS_VARIABLE] == f"${{{KEYS_VARIABLE}:-}}"
    assert SERVICES[name]["read_only"] and SERVICES[name]["cap_drop"] == ["ALL"]


@pytest.mark.parametrize(
    "name, bundle", [("gpu", "${BUNDLE:-/bundles/${TARGET:-h100}}"), ("cpu", "${BUNDLE:-/bundles/cpu}")]
)
def test_a_server_takes_a_bundle_from_a_bucket_with_the_callers_credentials(name: str, bundle: str) -> None:
    assert SERVICES[name]["command"][0] == bundle
    credentials = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL"}
    assert {variable for variable, value in SERVICES[name]["environment"].items() if value is None} == credentials


def test_only_gpu_services_reserve_one() -> None:
    reserved = {name for name, service in SERVICES.items() if "deploy" in service}
    assert reserved == {"gpu", "build"}
    for name in reserved:
        (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_images_are_built_from_the_projects_files() -> None:
    for service in SERVICES.values():
        assert (FILE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_the_build_names_variables_and_a_target_there_are() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in SERVICES["build"]["command"]:
        assert re.search(rf"^{word.partition('=')[0]} \?=", makefile, re.MULTILINE), word
    assert set(re.findall(r"\$\{TARGET:-(\w+)\}", TEXT)) <= set(target_names())


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))
