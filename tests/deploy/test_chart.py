"""The Helm chart, rendered by Helm, against Kubernetes' own schemas and KEDA's, and what it says against the project.

Run: make lint-deploy
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.routing import APIRoute

from build.targets import load_target, target_names
from build.voices import _MAX_ADDED, _MAX_METADATA_BYTES, _MAX_TRANSCRIPT_CHARACTERS
from gateway import health
from gateway.settings import parse as parse_gateway
from runtime.triton.memory import MEMORY_VARIABLE, _thresholds
from serve.arguments import parse as parse_serve
from serve.source import is_published
from serve.triton import STOP_SECONDS

helm = pytest.importorskip("helm_python", reason="the checkers are installed by: make lint-deploy")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="make lint-deploy")
keda = pytest.importorskip("cloudcoil.models.keda.v1alpha1", reason="make lint-deploy")

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "higgs-tts"
KUBERNETES = ("1.27", "1.31", "1.37")  # the oldest the chart allows, and the newest there is
CPU = {"image": {"repository": "higgs-tts", "tag": "cpu"}, "gpus": 0, "bundle": "cpu", "healthPython": "python"}
CASES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "hpa": {"autoscaling": {"kind": "hpa", "maxReplicas": 8}},
    "keda": {"autoscaling": {"kind": "keda", "minReplicas": 2}},
    "cpu": CPU,
    "no gateway": {"gateway": {"enabled": False}, "memory": "0.7:0.8"},
    "bucket": {
        "bundle": "s3://models/higgs/h100",
        "serveArguments": ["--update", "60"],
        "published": {"secret": "models"},
        "podLabels": {"azure.workload.identity/use": "true"},
    },
    "fetched once": {
        "bundle": "gs://models/h100",
        "bundles": {"existingClaim": "voices"},
        "serveArguments": ["--fallback", "/bundles/cpu"],
        "published": {"cache": {"existingClaim": "fetched"}, "fetchSeconds": 605},
        "serviceAccount": {"annotations": {"iam.gke.io/gcp-service-account": "reader@models.example"}},
    },
    "published on the volume": {"bundle": "file:///bundles/published", "serviceAccount": {"name": "reader"}},
    "bucket to fall back to": {"serveArguments": ["--fallback", "s3://models/cpu"], "published": {"secret": "models"}},
    "everything": {
        "replicas": 3,
        "bundles": {"existingClaim": "voices"},
        "state": {"existingClaim": "kept"},
        "serveArguments": ["--fallback", "cpu"],
        "gateway": {
            "keysSecret": "gateway-keys",
            "store": {"address": "s3://speech/heard", "rule": "all", "secret": "bucket"},
            "arguments": ["--alias", "narrator=belinda", "--cors", "*"],
        },
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
        "podAnnotations": {"team": "speech"},
        "podSecurityContext": {"runAsNonRoot": True},
        "networkPolicy": {
            "speech": [{"namespaceSelector": {"matchLabels": {"app": "phone"}}}],
            "gateway": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
        },
        "imagePullSecrets": [{"name": "registry"}],
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    },
}


@pytest.fixture(scope="module")
def chart() -> Iterator[Any]:
    with helm.Chart.load(str(CHART)) as loaded:
        yield loaded


def render(chart: Any, values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The objects by kind; the second Service is "Replicas"."""
    files = chart.render(values, name="speech", namespace="tts")
    text = "\n---\n".join(content for name, content in files.items() if name.endswith(".yaml"))
    objects = [document for document in yaml.safe_load_all(text) if document]
    named = {"Replicas" if one["metadata"]["name"].endswith("-replicas") else one["kind"]: one for one in objects}
    assert len(named) == len(objects)
    return named


def containers(objects: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Triton's, and the gateway's where there is one."""
    named = {one["name"]: one for one in objects["Deployment"]["spec"]["template"]["spec"]["containers"]}
    assert named.keys() <= {"triton", "gateway"}
    return named["triton"], named.get("gateway")


def test_helm_finds_no_fault() -> None:
    report = helm.lint(str(CHART))
    assert report["total_charts_linted"] == 1
    assert report["errors"] == []
    assert [m["error"] for m in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("case", CASES)
def test_every_object_follows_kubernetes_schema(chart: Any, case: str, version: str) -> None:
    objects = render(chart, CASES[case])
    scaled = objects.pop("ScaledObject", None)
    assert {"Deployment", "Service", "PodDisruptionBudget"} <= objects.keys()
    for document in objects.values():
        kubernetes_validate.validate(document, version, strict=True)
    if scaled is not None:
        assert keda.ScaledObject.model_validate(scaled).metadata.name == "speech"


def test_the_schemas_are_really_asked(chart: Any) -> None:
    deployment = render(chart, {})["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(deployment, KUBERNETES[0], strict=True)
    scaled = render(chart, CASES["keda"])["ScaledObject"]
    del scaled["spec"]["triggers"][0]["type"]
    with pytest.raises(ValueError, match="type"):
        keda.ScaledObject.model_validate(scaled)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"replica": 2}, "additional properties 'replica' not allowed"),
        ({"autoscaling": {"kind": "magic"}}, "value must be one of 'none', 'hpa', 'keda'"),
        ({"gpus": 2}, "gpus"),
        ({"memory": "much"}, "memory"),
        ({"bundle": "s3:/models/h100"}, "bundle"),
        ({"bundle": "s3:///h100"}, "bundle"),
        ({"bundle": "https://models.example/h100"}, "bundle"),
        ({"bundle": "file:///mnt/h100"}, "bundle"),
        ({"bundle": "a/folder"}, "bundle"),
        ({"published": {"claim": "fetched"}}, "additional properties 'claim' not allowed"),
        ({"gateway": {"replicas": 2}}, "additional properties 'replicas' not allowed"),
        ({"gateway": {"store": {"rule": "some"}}}, "value must be one of 'all', 'asked'"),
        ({"probes": {"timeoutSeconds": 5}}, "timeoutSeconds"),
    ],
)
def test_wrong_values_are_refused(chart: Any, values: dict[str, Any], words: str) -> None:
    with pytest.raises(helm.HelmError, match=words):
        render(chart, values)


def most_kept() -> float:
    """Bytes of a state folder that holds all it may: added voices, of 32-bit samples, and codes of clips."""
    targets = [load_target(name) for name in target_names()]
    clip = max(target.reference_max_seconds for target in targets) * 24000 * 4
    profile = 2 * (_MAX_TRANSCRIPT_CHARACTERS * 4 + _MAX_METADATA_BYTES)
    return _MAX_ADDED * (clip + profile) + max(target.reference_cache_mib for target in targets) * 2**20


@pytest.mark.parametrize("case", CASES)
def test_objects_find_each_other(chart: Any, case: str) -> None:
    objects = render(chart, CASES[case])
    pod = objects["Deployment"]["spec"]["template"]
    labels, spec = pod["metadata"]["labels"], pod["spec"]
    container, gateway = containers(objects)
    for selector in (
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["Replicas"]["spec"]["selector"],
    ):
        assert selector
        assert selector.items() <= labels.items()
    replicas = objects["Replicas"]["spec"]
    assert replicas["clusterIP"] == "None" and [port["port"] for port in replicas["ports"]] == [8001]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8001, "metrics": 8002}, "HTTP stays inside"
    assert container["readinessProbe"]["grpc"]["port"] == ports["grpc"]
    offered = ports | ({"gateway": gateway["ports"][0]["containerPort"]} if gateway else {})
    assert {p["targetPort"]: p["port"] for p in objects["Service"]["spec"]["ports"]} == offered
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = [mount for one in spec["containers"] for mount in one["volumeMounts"]]
    assert {mount["name"] for mount in mounts} == set(volumes)
    state = volumes["state"]
    if case == "everything":
        assert state["persistentVolumeClaim"] == {"claimName": "kept"}
    else:
        assert state["emptyDir"].keys() == {"sizeLimit"}
        assert float(state["emptyDir"]["sizeLimit"].removesuffix("Gi")) * 2**30 > most_kept()
    claimed = volumes.get("bundles", {}).get("persistentVolumeClaim", {}).get("claimName")
    made = objects.get("PersistentVolumeClaim")
    named = CASES[case].get("bundles", {}).get("existingClaim")
    assert claimed == (made["metadata"]["name"] if made else named)
    assert (claimed is None) == (case == "bucket"), "it needs no volume with bundles"
    account = objects.get("ServiceAccount", {"metadata": {"name": CASES[case].get("serviceAccount", {}).get("name")}})
    assert spec.get("serviceAccountName") == account["metadata"]["name"]
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        if kind in objects:
            target = objects[kind]["spec"]["scaleTargetRef"]["name"]
            assert target == objects["Deployment"]["metadata"]["name"]
            assert "replicas" not in objects["Deployment"]["spec"], "an upgrade would undo the scaling"
    assert ("replicas" in objects["Deployment"]["spec"]) == (case not in ("hpa", "keda"))


@pytest.mark.parametrize("case", CASES)
def test_the_container_runs_what_the_project_has(chart: Any, case: str) -> None:
    objects = render(chart, CASES[case])
    spec = objects["Deployment"]["spec"]["template"]["spec"]
    container, _ = containers(objects)
    options = parse_serve(container["args"])
    assert options.gateway == "off", "it has a container of its own"
    (variable,) = container["env"]
    assert variable["name"] == MEMORY_VARIABLE
    assert len(_thresholds(variable["value"])) == 2
    bundle = CASES[case].get("bundle") or "h100"
    assert options.bundle == (bundle if is_published(bundle) else Path("/bundles") / bundle)
    assert options.host == "0.0.0.0"
    assert str(options.state) in {mount["mountPath"] for mount in container["volumeMounts"]}
    secret = CASES[case].get("published", {}).get("secret")
    assert container.get("envFrom") == ([{"secretRef": {"name": secret}}] if secret else None)
    for name in ("startupProbe", "livenessProbe"):
        python, *check = container[name]["exec"]["command"]
        assert python.endswith("python")
        assert check[:3] == ["-m", "serve.health", "--timeout"]
        assert float(check[3]) < container[name]["timeoutSeconds"]
    startup = container["startupProbe"]
    fetching = {"bucket": 1800, "published on the volume": 1800, "bucket to fall back to": 1800, "fetched once": 620}
    seconds = startup["failureThreshold"] * startup["periodSeconds"]
    assert seconds == options.timeout + fetching.get(case, 0), "neither gives up first"
    assert startup["failureThreshold"] > container["livenessProbe"]["failureThreshold"]
    wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > wait + options.drain + STOP_SECONDS
    gpus = container["resources"]["limits"].get("nvidia.com/gpu")
    assert gpus == (None if case == "cpu" else 1)


@pytest.mark.parametrize("case", CASES)
def test_what_is_fetched_has_a_place_of_its_own(chart: Any, case: str) -> None:
    objects = render(chart, CASES[case])
    container, _ = containers(objects)
    options = parse_serve(container["args"])
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    if not any(map(is_published, container["args"])):
        assert options.cache is None and "cache" not in mounts
        return
    assert mounts["cache"] == {"name": "cache", "mountPath": str(options.cache)}
    (cache,) = (one for one in objects["Deployment"]["spec"]["template"]["spec"]["volumes"] if one["name"] == "cache")
    if case == "fetched once":
        assert cache["persistentVolumeClaim"] == {"claimName": "fetched"}
    else:
        assert cache["emptyDir"] == {"sizeLimit": "60Gi"}
    if case == "published on the volume":
        assert options.bundle.removeprefix("file://").startswith(f"{mounts['bundles']['mountPath']}/")


@pytest.mark.parametrize("case", ["as it comes", "bucket"])
def test_the_notes_say_what_must_be_there_first(chart: Any, case: str) -> None:
    (notes,) = (text for name, text in chart.render(CASES[case], name="speech").items() if name.endswith("NOTES.txt"))
    if case == "bucket":
        assert "make publish BUNDLE=… TO=s3://models/higgs/h100" in notes and "claim" not in notes
    else:
        assert "serves /bundles/h100 of the claim speech-bundles" in notes


@pytest.mark.parametrize("case", CASES)
def test_the_gateway_runs_what_the_project_has(chart: Any, case: str) -> None:
    objects = render(chart, CASES[case])
    triton, gateway = containers(objects)
    if case == "no gateway":
        assert gateway is None
        return
    assert gateway is not None
    assert gateway["image"] == triton["image"], "which every node has already"
    assert gateway["command"] == [triton["livenessProbe"]["exec"]["command"][0], "-m", "gateway"]
    settings = parse_gateway(gateway["args"])
    ports = {port["containerPort"] for port in triton["ports"]}
    assert settings.triton.startswith("127.0.0.1:") and int(settings.triton.split(":")[1]) in ports
    assert settings.host == "0.0.0.0" and settings.port == gateway["ports"][0]["containerPort"]
    assert settings.drain == parse_serve(triton["args"]).drain
    mounted = {mount["mountPath"]: mount for mount in gateway["volumeMounts"]}
    assert settings.consents is not None and str(settings.consents.parent) in mounted
    assert "/tmp" in mounted, "a large upload is kept there meanwhile"
    if case == "everything":
        assert settings.keys_file == Path("/keys/keys.toml") and mounted["/keys"]["readOnly"]
        assert settings.aliases == {"narrator": "belinda"} and settings.cors == ("*",)
        assert (settings.store, settings.store_rule) == ("s3://speech/heard", "all")
        assert gateway["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    else:
        assert settings.store is None and "envFrom" not in gateway
    paths = {route.path for route in health.router.routes if isinstance(route, APIRoute)}
    for probe in ("livenessProbe", "readinessProbe"):
        assert gateway[probe]["httpGet"]["path"] in paths and gateway[probe]["httpGet"]["port"] == "gateway"
    assert gateway["readinessProbe"]["timeoutSeconds"] > health._SPEAK_SECONDS
    assert gateway["lifecycle"] == triton["lifecycle"], "both drain at once"


@pytest.mark.parametrize("case", CASES)
def test_it_runs_as_nobody_and_only_peers_reach_it(chart: Any, case: str) -> None:
    objects = render(chart, CASES[case])
    pod = objects["Deployment"]["spec"]["template"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    for container in pod["spec"]["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    policy = objects["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress"]
    peers = {rule["ports"][0]["port"]: rule.get("from", "anybody") for rule in policy["ingress"]}
    assert peers["metrics"] == [{"podSelector": {}}]
    if case == "no gateway":
        assert peers.keys() == {"metrics", "grpc"} and peers["grpc"] == [{"podSelector": {}}]
    elif case == "everything":
        chosen = CASES[case]["networkPolicy"]
        assert (peers["grpc"], peers["gateway"]) == (chosen["speech"], chosen["gateway"])
    else:
        assert peers.keys() == {"metrics", "gateway"} and peers["gateway"] == "anybody", "gRPC is the gateway's alone"


def test_scaling_follows_a_metric_the_server_publishes(chart: Any) -> None:
    metrics = ["higgs_waiting_requests", "higgs_late_streams"]
    published = (ROOT / "runtime" / "triton" / "metrics.py").read_text()
    assert all(f'"{metric}"' in published for metric in metrics)
    hpa = render(chart, CASES["hpa"])["HorizontalPodAutoscaler"]
    assert [one["pods"]["metric"]["name"] for one in hpa["spec"]["metrics"]] == metrics
    assert hpa["spec"]["maxReplicas"] == 8
    (trigger,) = render(chart, CASES["keda"])["ScaledObject"]["spec"]["triggers"]
    sums = [f'sum({metric}{{namespace="tts", pod=~"speech-.*"}})' for metric in metrics]
    assert trigger["metadata"]["query"] == " + ".join(sums)
    assert trigger["metadata"]["threshold"] == "2"


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_bucket_needs_no_claim(chart: Any, scheme: str) -> None:
    assert "PersistentVolumeClaim" not in render(chart, {"bundle": f"{scheme}://models/h100"})


def test_bundles_outlive_the_release(chart: Any) -> None:
    claim = render(chart, {})["PersistentVolumeClaim"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
