"""deploy/kubernetes, rendered by kubectl and checked against Kubernetes' schemas."""

import json
import re
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator
from memory_limit import MIB, bytes_of, memory_limit, value_of

OLDEST, NEWEST = "1.30", "1.37"
SESSION_BYTES = 47 * MIB  # of the default model and window, as a server tells at its start
NAME = {"app.kubernetes.io/name": "sinkstream"}


def render(folder):
    """The objects of a kustomization, by kind."""
    kubectl = f"{sys.prefix}/bin/kubectl"
    text = subprocess.run([kubectl, "kustomize", folder], check=True, capture_output=True, text=True).stdout
    return {found["kind"]: found for found in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def base(root):
    return render(root / "deploy/kubernetes/base")


@pytest.fixture(scope="module")
def production(root):
    return render(root / "deploy/kubernetes/production")


@pytest.fixture(scope="module")
def pod(production):
    return production["StatefulSet"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod):
    [only] = pod["containers"]
    return only


def seconds(flag, arguments):
    return int(value_of(flag, arguments).removesuffix("s"))


def check(found):
    """Raises if an object has an unknown, missing or wrong field."""
    if found["kind"] in ("ServiceMonitor", "PrometheusRule"):
        read = getattr(prometheus_operator, found["kind"]).model_validate(found)
        # Its models pass over what they do not know.
        assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == found
    else:
        for version in (OLDEST, NEWEST):
            kubernetes_validate.validate(found, version, strict=True)


def test_the_base_needs_no_custom_resources(base):
    assert sorted(base) == ["NetworkPolicy", "PodDisruptionBudget", "Service", "StatefulSet"]


def test_every_object_has_the_fields_of_its_schema(base, production):
    assert {"ConfigMap", "HorizontalPodAutoscaler", "Namespace", "PrometheusRule", "ServiceMonitor"} < set(production)
    for found in [*base.values(), *production.values()]:
        check(found)


@pytest.mark.parametrize("kind, path", [
    ("StatefulSet", "replica"), ("ServiceMonitor", "endpoint"), ("PrometheusRule", "group"),
    ("PodDisruptionBudget", "minAvailabel")])
def test_a_field_that_no_schema_knows_is_found(production, kind, path):
    found = production[kind] | {"spec": production[kind]["spec"] | {path: 1}}
    with pytest.raises((AssertionError, kubernetes_validate.ValidationError)):
        check(found)


def test_pods_are_as_the_restricted_profile_asks(production, pod, container):
    assert production["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} == {"emptyDir", "secret"}


def test_a_pod_has_time_to_drain(pod, container):
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > before + seconds("--drain_timeout", container["args"])


def test_a_pod_has_room_for_its_sessions(pod, container):
    arguments = container["args"]
    kv, parked = (bytes_of(value_of(flag, arguments)) for flag in ("--kv_bytes", "--park_bytes"))
    sessions = int(value_of("--max_sessions", arguments))
    assert kv < sessions * SESSION_BYTES < kv + parked, "some are parked, and all have room"
    limits = container["resources"]["limits"]
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "parked"]
    assert parked < bytes_of(volume["emptyDir"]["sizeLimit"]) <= bytes_of(limits["ephemeral-storage"])
    assert memory_limit(arguments) < bytes_of(limits["memory"]) == bytes_of(container["resources"]["requests"]["memory"])


def test_probes_and_ports_meet(production, container):
    ports = {port["name"] for port in container["ports"]}
    probes = [container[probe]["httpGet"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert [probe["path"] for probe in probes] == ["/readyz", "/readyz", "/healthz"]
    assert {probe["port"] for probe in probes} <= ports
    assert {port["targetPort"] for port in production["Service"]["spec"]["ports"]} <= ports
    assert {port["port"] for rule in production["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]} <= ports
    assert production["ServiceMonitor"]["spec"]["endpoints"][0]["port"] in {
        port["name"] for port in production["Service"]["spec"]["ports"]}


def test_everything_selects_the_servers_and_clients_are_not_asked_to_be_servers(production):
    assert production["StatefulSet"]["spec"]["template"]["metadata"]["labels"] == NAME
    for kind in ("StatefulSet", "PodDisruptionBudget", "ServiceMonitor"):
        assert production[kind]["spec"]["selector"]["matchLabels"] == NAME
    assert production["Service"]["spec"]["selector"] == NAME
    policy = production["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == NAME
    # In whatever namespace: the servers are in one of their own.
    assert policy["ingress"][0]["from"] == [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": {"sinkstream-client": "true"}}}]


def test_the_autoscaler_follows_what_the_adapter_serves(root, production):
    rules = yaml.safe_load((root / "deploy/kubernetes/components/autoscaling/adapter-rules.yaml").read_text())
    metrics = production["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert [metric["pods"]["metric"]["name"] for metric in metrics] == [rule["name"]["as"] for rule in rules["rules"]["custom"]]
    assert "replicas" not in production["StatefulSet"]["spec"]


def test_the_rules_are_those_of_prometheus(root, production, tmp_path):
    folder = root / "deploy/kubernetes/components/monitoring"
    subprocess.run([sys.executable, folder / "prometheus_rule.py", tmp_path / "made.yaml"], check=True)
    assert (tmp_path / "made.yaml").read_text() == (folder / "prometheus-rule.yaml").read_text(), "run prometheus_rule.py"
    files = sorted((root / "deploy/prometheus/rules").glob("*.yaml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    assert production["PrometheusRule"]["spec"]["groups"] == groups


def test_rules_ask_for_the_job_that_the_service_monitor_makes(production):
    """Its name is the Service's, unless `jobLabel` says otherwise."""
    assert production["Service"]["metadata"]["name"] == "sinkstream"
    assert "jobLabel" not in production["ServiceMonitor"]["spec"]
    assert 'job="sinkstream"' in str(production["PrometheusRule"])


def test_the_dashboards_are_grafana_s(root, production):
    folder = root / "deploy/grafana/dashboards"
    assert production["ConfigMap"]["data"] == {name: (folder / name).read_text() for name in ("fleet.json", "instance.json")}
    # kubectl keeps a copy in an annotation, which may have 256 KiB.
    assert len(json.dumps(production["ConfigMap"])) < 200_000
