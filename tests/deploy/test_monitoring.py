"""The alert rules, the scrape configuration and Grafana's dashboard, as Prometheus' own tool reads them.

Run: make lint-deploy
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.metrics import Metrics
from gateway.settings import PORT
from serve.ports import Ports

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS, DASHBOARD = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana" / "dashboard.json"
RULES = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())["groups"][0]["rules"]
PANELS = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
SHOWN = [target["expr"] for panel in PANELS for target in panel["targets"]]

_PARTS = {"histogram": ("bucket", "sum", "count"), "counter": ("total",), "gauge": ("",)}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing; Debian has it: apt install prometheus"
)


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)


def series() -> dict[str, set[str]]:
    """Every series that a server and a gateway publish, with labels that it may have."""
    published: dict[str, set[str]] = {}
    for metric in vars(Metrics()).values():
        for family in metric.describe() if hasattr(metric, "_labelnames") else ():
            for part in _PARTS[family.type]:
                published[f"{family.name}_{part}".rstrip("_")] = {*metric._labelnames, "le"}
    source = (ROOT / "runtime" / "triton" / "metrics.py").read_text()
    histograms = re.findall(r'Histogram\(\s*"(higgs_\w+)"', source)
    assert histograms
    of_server = {name: {"error", "stage", "recovery", "source"} for name in re.findall(r'"(higgs_\w+)"', source)}
    for name in histograms:
        del of_server[name]
        of_server |= {f"{name}_{part}": {"le"} for part in _PARTS["histogram"]}
    return of_server | published


@needs_promtool
def test_prometheus_reads_them() -> None:
    config = promtool("check", "config", PROMETHEUS / "prometheus.yaml")
    assert config.returncode == 0 and "1 rule files found" in config.stdout, config.stdout + config.stderr
    rules = promtool("check", "rules", PROMETHEUS / "alerts.yaml")
    assert rules.returncode == 0 and f"{len(RULES)} rules found" in rules.stdout, rules.stdout + rules.stderr


@needs_promtool
def test_every_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    tested = promtool("test", "rules", PROMETHEUS / "alerts_test.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    cases = yaml.safe_load((PROMETHEUS / "alerts_test.yaml").read_text())["tests"]
    fires = {one["alertname"] for one in cases[-1]["alert_rule_test"] if one.get("exp_alerts")}
    assert {rule["alert"] for rule in RULES} == fires
    for case in cases[:-1]:
        assert {one["alertname"] for one in case["alert_rule_test"]} == fires
    shutil.copy(PROMETHEUS / "alerts_test.yaml", tmp_path)
    # Thresholds that nothing reaches: every test must notice.
    rules = [{**rule, "expr": re.sub(r"(== |> )[\d.]+$", r"\g<1>1e9", rule["expr"])} for rule in RULES]
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({"groups": [{"name": "higgs-tts", "rules": rules}]}))
    missed = promtool("test", "rules", tmp_path / "alerts_test.yaml")
    assert set(re.findall(r"alertname: (\w+)", missed.stdout + missed.stderr)) == fires


@needs_promtool
def test_the_dashboards_queries_are_queries(tmp_path: Path) -> None:
    rules = [
        {"record": f"shown:{number}", "expr": expr.replace("$__rate_interval", "5m")}
        for number, expr in enumerate(SHOWN)
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "shown", "rules": rules}]}))
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stderr
    file.write_text(file.read_text().replace("sum(", "summ(", 1))
    assert promtool("check", "rules", file).returncode == 1, "it must be looking"


@pytest.mark.parametrize("expr", [*SHOWN, *(rule["expr"] for rule in RULES)])
def test_they_ask_for_series_and_labels_there_are(expr: str) -> None:
    known = series()
    names = set(re.findall(r"\bhiggs_\w+", expr))
    assert names or "up{" in expr
    assert names <= known.keys()
    given = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\"", expr))
    given |= {label for group in re.findall(r"by \(([^)]*)\)", expr) for label in re.findall(r"\w+", group)}
    labels: set[str] = set().union(*(known[name] for name in names)) | {"job"}
    assert given <= labels


def test_every_metric_is_shown() -> None:
    shown = {name for expr in SHOWN for name in re.findall(r"\bhiggs_\w+", expr)}
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in series()} == bases


def test_panels_do_not_overlap_and_each_has_its_number() -> None:
    places: list[dict[str, Any]] = [panel["gridPos"] for panel in PANELS]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_the_jobs_are_where_metrics_are_served() -> None:
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}
    assert targets == {"higgs-triton": [f"localhost:{Ports.metrics}"], "higgs-gateway": [f"localhost:{PORT}"]}
