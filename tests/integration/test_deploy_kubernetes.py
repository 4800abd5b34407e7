"""The Kubernetes manifests as kustomize renders them: valid by Kubernetes' own schemas, and in step with the images."""

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from crowdmood.settings import BusSettings, load
from crowdmood.streams.keys import BusKeys

from .test_deploy_roles import ROLES, environment_of, words

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
# Their schemas come with operators, not with Kubernetes.
OF_OPERATORS = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor"}


@pytest.fixture(scope="module")
def rendered(kubectl: str) -> list[dict[str, Any]]:
    done = subprocess.run([kubectl, "kustomize", FOLDER], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return list(yaml.safe_load_all(done.stdout))


def named(rendered: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in rendered if item["kind"] == kind}


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return only


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    equal = all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
    among = all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []))
    return equal and among


def test_everything_is_valid_by_the_schemas(rendered: list[dict[str, Any]]) -> None:
    for item in rendered:
        assert item["metadata"]["namespace"] == "crowdmood"
        if item["kind"] not in OF_OPERATORS:
            kubernetes_validate.validate(item, "1.32", strict=True)
    assert {item["kind"] for item in rendered} >= OF_OPERATORS | {"NetworkPolicy", "PodDisruptionBudget"}


def test_every_role_is_deployed_and_asked_for_its_health_as_its_image_says(rendered: list[dict[str, Any]]) -> None:
    deployments = named(rendered, "Deployment")
    assert set(deployments) == set(ROLES)
    for role, deployment in deployments.items():
        only = container(deployment)
        assert only["image"] == f"crowdmood-{role}"
        assert not {"command", "args"} & set(only)  # the image's hold
        ports = {port["name"]: port["containerPort"] for port in only["ports"]}
        environment = environment_of(role)
        served = environment["CROWDMOOD_API__OPS_PORT" if role == "api" else "CROWDMOOD_METRICS__PORT"]
        assert str(ports["metrics"]) == served
        if "exec" in only["livenessProbe"]:
            assert only["livenessProbe"]["exec"]["command"] == words(role, "HEALTHCHECK")
        else:
            assert only["livenessProbe"]["httpGet"]["port"] == "metrics"


def test_nobody_is_root_or_writes_and_secrets_are_only_referred_to(rendered: list[dict[str, Any]]) -> None:
    assert not named(rendered, "Secret")
    for deployment in named(rendered, "Deployment").values():
        pod, only = deployment["spec"]["template"]["spec"], container(deployment)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert only["securityContext"]["readOnlyRootFilesystem"] is True
        assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {item["name"] for item in only["env"]} == {"CROWDMOOD_BUS_URL", "CROWDMOOD_STATE_URL"}
        assert all("secretKeyRef" in item["valueFrom"] for item in only["env"])


def test_the_settings_are_taken_by_the_code(rendered: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    (settings,) = named(rendered, "ConfigMap").values()
    for name, value in settings["data"].items():
        monkeypatch.setenv(name, value)
    assert [camera.id for camera in load().cameras] == ["north"]


def test_selectors_find_the_pods_that_they_mean(rendered: list[dict[str, Any]]) -> None:
    labels = {
        role: item["spec"]["template"]["metadata"]["labels"] for role, item in named(rendered, "Deployment").items()
    }
    for role, item in named(rendered, "PodDisruptionBudget").items():
        assert [name for name in labels if matches(item["spec"]["selector"], labels[name])] == [role]
        assert named(rendered, "Deployment")[role]["spec"]["replicas"] >= 1
    policies = {
        name: {role for role in labels if matches(item["spec"]["podSelector"], labels[role])}
        for name, item in named(rendered, "NetworkPolicy").items()
    }
    assert policies == {"every-role": set(ROLES), "outside": {"ingest", "dispatch"}, "api": {"api"}}
    services = named(rendered, "Service")
    chosen = {
        name: {role for role in labels if matches({"matchLabels": item["spec"]["selector"]}, labels[role])}
        for name, item in services.items()
    }
    assert chosen == {"api": {"api"}, "metrics": set(ROLES)}
    (monitor,) = named(rendered, "ServiceMonitor").values()
    found = [
        name for name, item in services.items() if matches(monitor["spec"]["selector"], item["metadata"]["labels"])
    ]
    assert found == ["metrics"]


def test_workers_are_scaled_by_the_streams_that_they_read(rendered: list[dict[str, Any]]) -> None:
    from classifier.service import ClassifierStage
    from detector.service import DetectorStage

    keys = BusKeys.of(BusSettings())
    scaled = named(rendered, "ScaledObject")
    assert set(scaled) == {"detector", "classifier"}
    for stage in (DetectorStage, ClassifierStage):
        (trigger,) = scaled[stage.name]["spec"]["triggers"]
        assert scaled[stage.name]["spec"]["scaleTargetRef"] == {"name": stage.name}
        assert trigger["metadata"]["stream"] == keys.stream(stage.inputs[0])
        assert 0 < int(trigger["metadata"]["streamLength"]) < BusSettings().max_backlog
        assert trigger["authenticationRef"]["name"] in named(rendered, "TriggerAuthentication")
