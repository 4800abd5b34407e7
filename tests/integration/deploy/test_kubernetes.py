"""The chart as Helm renders it: valid by the schemas of all who read it, in step with images, settings and streams."""

import re
import subprocess
import tomllib
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator

from app.stages import STAGES as REGISTRY
from classifier.service import ClassifierStage
from crowdmood.bus.keys import BusKeys
from crowdmood.core.settings import BusSettings, load
from detector.service import DetectorStage

from .test_roles import OPERATIONS, ROLES, SECRETS, environment_of

DEPLOY = Path(__file__).parents[3] / "deploy"
PARTITIONED = {name for name, spec in REGISTRY.items() if spec.partitioned}
OF_OPERATORS: dict[str, Any] = {
    "ScaledObject": keda.ScaledObject,
    "TriggerAuthentication": keda.TriggerAuthentication,
    "ServiceMonitor": prometheus_operator.ServiceMonitor,
    "PrometheusRule": prometheus_operator.PrometheusRule,
}
NAMES = ["crowd-ingest-0", "crowd-detector-0", "crowd-classifier-0", "crowd-aggregator", "crowd-api", "crowd-dispatch"]


def helm_template(helm: str, *options: str) -> subprocess.CompletedProcess[str]:
    words = [helm, "template", "crowd", str(DEPLOY / "chart"), "--namespace", "stadium", *options]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def rendered(helm: str, *options: str) -> list[dict[str, Any]]:
    done = helm_template(helm, *options)
    assert (done.returncode, done.stderr) == (0, "")
    return [item for item in yaml.safe_load_all(done.stdout) if item]


@pytest.fixture(scope="module")
def plain(helm: str) -> list[dict[str, Any]]:
    """With nothing set."""
    return rendered(helm, "--set-file", f"rules={DEPLOY / 'prometheus/rules.yml'}")


@pytest.fixture(scope="module")
def of_cluster(helm: str) -> list[dict[str, Any]]:
    """With three partitions on a Redis Cluster, where detectors are a user of their own."""
    values = {
        "partitions": 3,
        "settings": {"CROWDMOOD_BUS__KEY_PREFIX": "derby", "CROWDMOOD_AGGREGATOR__MIN_FACES": 30},
        "roles": {"detector": {"secrets": {"CROWDMOOD_BUS_URL": {"name": "detectors", "key": "url"}}}},
        "scaling": {"trigger": "redis-cluster-streams", "parameters": {"address": None, "addresses": "nodes"}},
    }
    done = subprocess.run(
        [helm, "template", "crowd", DEPLOY / "chart", "--namespace", "stadium", "--values", "-"],
        input=yaml.safe_dump(values),
        capture_output=True,
        text=True,
        check=True,
    )
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def named(items: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in items if item["kind"] == kind}


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return only


def role_of(deployment: dict[str, Any]) -> str:
    return deployment["spec"]["template"]["metadata"]["labels"]["role"]


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    equal = all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
    among = all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []))
    return equal and among


@pytest.mark.parametrize("chart", ["plain", "of_cluster"])
def test_everything_is_valid_by_the_schemas(chart: str, request: pytest.FixtureRequest) -> None:
    items = request.getfixturevalue(chart)
    for item in items:
        assert item["metadata"]["namespace"] == "stadium"
        if item["kind"] in OF_OPERATORS:
            OF_OPERATORS[item["kind"]].model_validate(item, extra="forbid")
        else:
            kubernetes_validate.validate(item, "1.32", strict=True)
    expected = {"Deployment", "Service", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", *OF_OPERATORS}
    assert {item["kind"] for item in items} == expected - ({"PrometheusRule"} if chart == "of_cluster" else set())
    identities = [(item["kind"], item["metadata"]["name"]) for item in items]
    assert len(identities) == len(set(identities))


def test_the_chart_has_nothing_to_complain_of(helm: str) -> None:
    done = subprocess.run([helm, "lint", "--strict", DEPLOY / "chart"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("detectors=3", "detectors"),
        ("roles.detectors.most=3", "detectors"),
        ("roles.detector.most=0", "minimum"),
        ("partitions=0", "minimum"),
        ("settings.MIN_FACES=3", "MIN_FACES"),
        ("secrets.CROWDMOOD_BUS_URL.roles={detectors}", "must be one of"),
        ("secrets.CROWDMOOD_MORE.name=a,secrets.CROWDMOOD_MORE.key=b", "roles"),
        ("images.registry=example.org", "does not match pattern"),
    ],
)
def test_a_value_that_means_nothing_is_refused(helm: str, value: str, complaint: str) -> None:
    done = helm_template(helm, "--set", value)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_every_role_is_deployed_with_its_image_and_asked_for_its_health(plain: list[dict[str, Any]]) -> None:
    deployments = named(plain, "Deployment")
    assert sorted(deployments) == sorted(NAMES)
    assert {role_of(deployment) for deployment in deployments.values()} == set(ROLES)
    for deployment in deployments.values():
        role, only = role_of(deployment), container(deployment)
        assert only["image"] == f"crowdmood-{role}:local"
        assert not {"command", "args"} & set(only)  # the image's hold
        ports = {port["name"]: port["containerPort"] for port in only["ports"]}
        environment = environment_of(role)
        served = environment["CROWDMOOD_API__OPS_PORT" if role == "api" else "CROWDMOOD_METRICS__PORT"]
        assert str(ports["metrics"]) == served
        # Paths of crowdmood.core.health (tests/integration/crowdmood/core/test_health.py) and of the API.
        paths = [only[f"{probe}Probe"]["httpGet"] for probe in ("startup", "readiness", "liveness")]
        asked = ["/livez", "/readyz", "/livez"] if role == "api" else ["/readyz"] * 3
        assert paths == [{"path": path, "port": "metrics"} for path in asked]


def test_each_partition_has_workers_and_a_scale_of_its_own(of_cluster: list[dict[str, Any]]) -> None:
    deployments = named(of_cluster, "Deployment")
    assert len(deployments) == 3 * len(PARTITIONED) + len(ROLES) - len(PARTITIONED)
    for name, deployment in deployments.items():
        given = {item["name"]: item.get("value") for item in container(deployment)["env"]}
        assert given["CROWDMOOD_BUS__PARTITIONS"] == "3"
        own = name.rpartition("-")[2] if role_of(deployment) in PARTITIONED else None
        assert given.get("CROWDMOOD_BUS__PARTITION") == own
    scaled = named(of_cluster, "ScaledObject")
    assert len(scaled) == 6
    for stage in (DetectorStage, ClassifierStage):
        for partition in range(3):
            keys = BusKeys("derby", partition)
            (trigger,) = scaled[f"crowd-{stage.name}-{partition}"]["spec"]["triggers"]
            assert trigger["type"] == "redis-cluster-streams"
            assert trigger["metadata"]["stream"] == keys.stream(stage.inputs[0])
    (authentication,) = named(of_cluster, "TriggerAuthentication").values()
    assert {item["parameter"] for item in authentication["spec"]["secretTargetRef"]} == {"addresses", "password"}
    urls = {
        role_of(deployment): item["valueFrom"]["secretKeyRef"]["name"]
        for deployment in deployments.values()
        for item in container(deployment)["env"]
        if item["name"] == "CROWDMOOD_BUS_URL"
    }
    on_bus = [role for role in ROLES if "CROWDMOOD_BUS_URL" in SECRETS[role]]
    assert urls == dict.fromkeys(on_bus, "crowdmood-servers") | {"detector": "detectors"}


def test_containers_are_unprivileged_and_read_only_and_secrets_are_referenced(plain: list[dict[str, Any]]) -> None:
    assert not named(plain, "Secret")
    for deployment in named(plain, "Deployment").values():
        pod, only = deployment["spec"]["template"]["spec"], container(deployment)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert only["securityContext"]["readOnlyRootFilesystem"] is True
        assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        secret = {item["name"] for item in only["env"] if "secretKeyRef" in item.get("valueFrom", {})}
        assert secret == SECRETS[role_of(deployment)]


@pytest.mark.parametrize("chart", ["plain", "of_cluster"])
def test_the_settings_are_taken_by_the_code(
    chart: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = request.getfixturevalue(chart)
    (settings,) = named(items, "ConfigMap").values()
    for deployment in named(items, "Deployment").values():
        (source,) = container(deployment)["envFrom"]
        assert source["configMapRef"]["name"] == settings["metadata"]["name"]
        given = {item["name"]: item["value"] for item in container(deployment)["env"] if "value" in item}
        with monkeypatch.context() as here:
            for name, value in (environment_of(role_of(deployment)) | settings["data"] | given).items():
                here.setenv(name, value)
            loaded = load()  # an unknown one is refused
        assert loaded.aggregator.min_faces == (30 if chart == "of_cluster" else 20)
        assert loaded.bus.partitions == (3 if chart == "of_cluster" else 1)


@pytest.mark.parametrize("chart", ["plain", "of_cluster"])
def test_selectors_find_the_pods_that_they_mean(chart: str, request: pytest.FixtureRequest) -> None:
    items = request.getfixturevalue(chart)
    deployments = named(items, "Deployment")
    labels = {name: item["spec"]["template"]["metadata"]["labels"] for name, item in deployments.items()}

    def found(selector: dict[str, Any]) -> set[str]:
        return {name for name in labels if matches(selector, labels[name])}

    def of_roles(*roles: str) -> set[str]:
        return {name for name in labels if labels[name]["role"] in roles}

    for name, deployment in deployments.items():
        assert found(deployment["spec"]["selector"]) == {name}
    budgets = named(items, "PodDisruptionBudget")
    assert set(budgets) == set(labels) - of_roles("ingest")
    for name, item in [*budgets.items(), *named(items, "ScaledObject").items()]:
        if item["kind"] == "ScaledObject":
            assert item["spec"]["scaleTargetRef"] == {"name": name}
            assert "replicas" not in deployments[name]["spec"]  # or an upgrade would undo the scale
        else:
            assert found(item["spec"]["selector"]) == {name}
    policies = {name: found(item["spec"]["podSelector"]) for name, item in named(items, "NetworkPolicy").items()}
    assert policies == {
        "crowd-every-role": set(labels),
        "crowd-outside": of_roles("ingest", "dispatch"),
        "crowd-api": of_roles("api"),
    }
    services = named(items, "Service")
    chosen = {name: found({"matchLabels": item["spec"]["selector"]}) for name, item in services.items()}
    assert chosen == {"crowd-api": of_roles("api"), "crowd-metrics": set(labels)}
    (monitor,) = named(items, "ServiceMonitor").values()
    watched = [
        name for name, item in services.items() if matches(monitor["spec"]["selector"], item["metadata"]["labels"])
    ]
    assert watched == ["crowd-metrics"]


def test_nothing_outside_is_reached_at_metadata_addresses(plain: list[dict[str, Any]]) -> None:
    policy = named(plain, "NetworkPolicy")["crowd-outside"]
    blocks = [target["ipBlock"] for rule in policy["spec"]["egress"] for target in rule["to"]]
    assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", "::/0"}
    excepted = [ip_network(network) for block in blocks for network in block["except"]]
    for address in ("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"):
        assert any(ip_address(address) in network for network in excepted), address


def test_workers_are_scaled_by_the_streams_that_they_read(plain: list[dict[str, Any]]) -> None:
    keys = BusKeys.of(BusSettings())
    scaled = named(plain, "ScaledObject")
    assert set(scaled) == {"crowd-detector-0", "crowd-classifier-0"}
    for stage in (DetectorStage, ClassifierStage):
        (trigger,) = scaled[f"crowd-{stage.name}-0"]["spec"]["triggers"]
        assert trigger["metadata"]["stream"] == keys.stream(stage.inputs[0])
        # A stream that is full calls for all the workers there may be.
        most = BusSettings().max_backlog // int(trigger["metadata"]["streamLength"])
        assert most >= scaled[f"crowd-{stage.name}-0"]["spec"]["maxReplicaCount"]
        assert trigger["authenticationRef"]["name"] in named(plain, "TriggerAuthentication")


def test_the_alerts_are_those_of_prometheus(plain: list[dict[str, Any]]) -> None:
    (rules,) = named(plain, "PrometheusRule").values()
    assert rules["spec"] == yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())


def test_the_document_installs_this_version_and_then_speaks_to_what_is_there(helm: str) -> None:
    version = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((DEPLOY / "chart/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert re.findall(r"--set images\.tag=(\S+)", OPERATIONS) == [version]
    (release,) = re.findall(r"^helm upgrade --install (\S+) deploy/chart ", OPERATIONS, re.MULTILINE)
    done = subprocess.run([helm, "template", release, DEPLOY / "chart"], capture_output=True, text=True, check=True)
    deployments = named([item for item in yaml.safe_load_all(done.stdout) if item], "Deployment")
    spoken_to = re.findall(r"\bexec deployment/(\S+)", OPERATIONS)
    assert spoken_to and set(spoken_to) <= set(deployments)
