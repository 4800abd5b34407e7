"""docker-compose.yml by the program that reads it: what must be set is asked for, and everything it names exists."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from app import check, cli
from crowdmood.core.settings import CONFIG_FILE_VARIABLE, IN_FILES, load, table

from .test_roles import ROLES, SECRETS, STAGES, environment_of, words

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = (ROOT / ".env.example").read_text()
FILLED = {
    "CROWDMOOD_BUS_PASSWORD": "b1",
    "CROWDMOOD_STATE_PASSWORD": "s1",
    "CROWDMOOD_CAMERAS": '[{"id": "north"}]',
    "GRAFANA_PASSWORD": "g1",
}
ADDRESSES = {"CROWDMOOD_CAMERA_ADDRESSES": '{"north": "rtsp://me:hunter2@camera:8554/test"}'}
PROFILES = {"live": {"ingest"}, "replay": {"replay"}, "rtsp": {"ingest", "camera"}}


def composed(programs: dict[str, str], values: dict[str, str], *profiles: str) -> subprocess.CompletedProcess[str]:
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    return subprocess.run(
        [programs["docker-compose"], "--file", str(COMPOSE), *chosen, "config"],
        env={"PATH": os.environ["PATH"]} | values,
        capture_output=True,
        text=True,
        check=False,
    )


def composed_services(programs: dict[str, str]) -> dict[str, Any]:
    """Every service of every profile."""
    done = composed(programs, FILLED | ADDRESSES, *PROFILES)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


@pytest.fixture(scope="module")
def services(programs: dict[str, str]) -> dict[str, Any]:
    return composed_services(programs)


def ours(services: dict[str, Any]) -> dict[str, str]:
    """Service to role, for those that are made from our image."""
    return {name: service["build"]["target"] for name, service in services.items() if "build" in service}


@pytest.mark.parametrize("name", FILLED)
@pytest.mark.parametrize("value", [None, ""])
def test_a_required_value_that_is_missing_or_empty_is_asked_for(
    programs: dict[str, str], name: str, value: str | None
) -> None:
    values = {key: text for key, text in FILLED.items() if key != name} | ({} if value is None else {name: value})
    done = composed(programs, values)
    assert done.returncode != 0
    assert f"set {name} in .env" in done.stderr


def test_the_example_names_every_value_that_can_be_set_and_no_other(programs: dict[str, str]) -> None:
    named = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    text = COMPOSE.read_text()
    used = set(re.findall(r"\$\{([A-Z_]+)", text)) | set(re.findall(r"^ +(CROWDMOOD_[A-Z_]+): #", text, re.MULTILINE))
    assert named == {name for name in used if not name.endswith("_IMAGE")} | {"COMPOSE_PROFILES"}
    assert set(re.findall(r"^([A-Z_]+)=$", EXAMPLE, re.MULTILINE)) == set(FILLED)


def test_every_camera_and_zone_in_the_example_is_one_that_the_settings_take(monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.findall(
        r"^#CROWDMOOD_CAMERAS='(.*)'\n(?:(?:# .*\n)?#CROWDMOOD_CAMERA_ADDRESSES='(.*)'$)?", EXAMPLE, re.MULTILINE
    )
    assert len(found) == len(PROFILES)
    for cameras, addresses in found:
        monkeypatch.setenv("CROWDMOOD_CAMERAS", cameras)
        monkeypatch.setenv("CROWDMOOD_CAMERA_ADDRESSES", addresses or "{}")
        assert all(camera.uri and camera.recorded is not bool(addresses) for camera in load().cameras)
    monkeypatch.setenv("CROWDMOOD_CAMERAS", found[0][0])
    monkeypatch.setenv("CROWDMOOD_CAMERA_ADDRESSES", found[0][1])
    (zones,) = re.findall(r"^#CROWDMOOD_ZONES='(.*)'$", EXAMPLE, re.MULTILINE)
    monkeypatch.setenv("CROWDMOOD_ZONES", zones)
    assert load().zones


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_says_where_frames_come_from(services: dict[str, Any], profile: str) -> None:
    always = {name for name, service in services.items() if "profiles" not in service}
    sources = {name for name, service in services.items() if profile in service.get("profiles", ())}
    assert sources == PROFILES[profile]
    assert always == {"bus", "state", "prometheus", "alertmanager", "grafana"} | set(ROLES) - {"ingest"}


def test_every_role_is_a_service_and_runs_commands_and_checks_that_exist(services: dict[str, Any]) -> None:
    assert set(ours(services).values()) == set(ROLES)
    commands = get_command(cli.app).commands
    for role in ROLES:
        (command,) = words(role, "CMD")
        assert command in commands
        program, command, *flags, part = words(role, "HEALTHCHECK")
        assert (program, command) == ("crowdmood", "check")
        assert part in check.PARTS
        assert set(flags) <= {option for parameter in commands["check"].params for option in parameter.opts}
    for name in ours(services):  # what the image says holds
        assert not {"command", "entrypoint", "healthcheck"} & set(services[name])


def test_every_service_gets_the_secrets_that_it_needs_and_settings_that_exist(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, role in ours(services).items():
        given = {key: value for key, value in services[name]["environment"].items() if value is not None}
        footage = ADDRESSES.keys() if name == "replay" else set()
        assert given.keys() & set().union(*SECRETS.values()) == SECRETS[role] - footage, name
        assert ("hunter2" in str(given)) == (name == "ingest")
        with monkeypatch.context() as here:
            for key, value in (environment_of(role) | given).items():
                here.setenv(key, str(value))
            settings = load()  # an unknown one is refused
        for url, expected in (
            (settings.bus_url, "redis://:b1@bus:6379/0"),
            (settings.state_url, "redis://:s1@state:6379/0"),
        ):
            assert url is None or url.get_secret_value() == expected
        assert [camera.id for camera in settings.cameras] == ["north"] * ("CROWDMOOD_CAMERAS" in SECRETS[role])


OF_IMAGES = {"CROWDMOOD_DATA_DIR", "CROWDMOOD_API__HOST", "CROWDMOOD_API__PORT", "CROWDMOOD_API__OPS_HOST"}
OF_IMAGES |= {"CROWDMOOD_API__OPS_PORT", "CROWDMOOD_METRICS__HOST", "CROWDMOOD_METRICS__PORT"}
"""Settings whose values the images have: the ports that others know."""
ON_ONE_MACHINE = ("CROWDMOOD_RUN__", "CROWDMOOD_EMBEDDED__")
"""Settings of `crowdmood run`."""
OTHERWISE = {"CROWDMOOD_LOG__LEVEL": "CROWDMOOD_LOG_LEVEL", "CROWDMOOD_INGEST__SPEED": "CROWDMOOD_REPLAY_SPEED"}
"""Settings with another name in .env."""


def test_every_setting_can_be_given(programs: dict[str, str]) -> None:
    settings = {row.split("`")[1] for row in table.rows() if row.startswith("| `CROWDMOOD_")}
    chosen = {OTHERWISE.get(name, name) for name in settings - OF_IMAGES if not name.startswith(ON_ONE_MACHINE)}
    values = {name: f"value-of-{name}" for name in chosen} | {name: "x" for name in FILLED if "PASSWORD" in name}
    done = composed(programs, values, *PROFILES)
    assert done.returncode == 0, done.stderr
    given: dict[str, Any] = {}
    for service in yaml.safe_load(done.stdout)["services"].values():
        given |= {name: value for name, value in service.get("environment", {}).items() if value is not None}
    shown = {str(value) for value in given.values()}
    servers = {"CROWDMOOD_BUS_URL", "CROWDMOOD_STATE_URL"}  # the two of this file
    assert [name for name in sorted(chosen - servers) if values[name] not in shown] == []


def test_every_container_has_limits(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["pids_limit"] == 256, name
        assert service["mem_limit"], name


def test_ports_are_those_that_are_served(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    scraped = {}
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    for job in jobs:
        for discovery in job["dns_sd_configs"]:
            scraped |= dict.fromkeys(discovery["names"], discovery["port"])
    assert set(scraped) == set(ours(services))
    for name, role in ours(services).items():
        environment = environment_of(role)
        port = environment["CROWDMOOD_API__OPS_PORT" if role == "api" else "CROWDMOOD_METRICS__PORT"]
        assert str(scraped[name]) == port
        assert f"EXPOSE {port}" in STAGES["base"]
    for key, value in environment_of("api").items():
        monkeypatch.setenv(key, value)
    (published,) = services["api"]["ports"]
    assert published["target"] == load().api.port
    assert load().api.host == "0.0.0.0"


def test_no_container_is_root_writes_to_its_image_or_gains_rights(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name


def test_what_handles_faces_has_no_way_out(services: dict[str, Any]) -> None:
    for name in ("bus", "state", "detector", "classifier", "aggregator", "replay"):
        assert set(services[name]["networks"]) == {"streams"}, name
        assert "ports" not in services[name], name
    networks = yaml.safe_load(COMPOSE.read_text())["networks"]
    assert networks["streams"] == {"internal": True}


def test_prometheus_takes_the_options_and_the_check_that_it_is_given(
    services: dict[str, Any], programs: dict[str, str]
) -> None:
    options = subprocess.run([programs["prometheus"], "--help"], capture_output=True, text=True, check=True).stdout
    for option in services["prometheus"]["command"]:
        assert option.partition("=")[0] + "=" in options + "="
    _, program, *check = services["prometheus"]["healthcheck"]["test"]
    assert "http://127.0.0.1:9090" in check  # where it listens by default
    asked = [programs[program], *(word.replace(":9090", ":9") for word in check)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert "connection refused" in done.stderr + done.stdout  # understood, and no server there


def test_grafana_finds_its_source_and_its_dashboards(services: dict[str, Any]) -> None:
    mounted = {
        volume.split(":")[1]: ROOT / "deploy/grafana" / volume.split(":")[0].rsplit("/", 1)[-1]
        for volume in services["grafana"]["volumes"]
        if volume.endswith(":ro")
    }
    provisioning = mounted["/etc/grafana/provisioning"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/crowdmood.yml").read_text())["providers"]
    dashboards = mounted[provider["options"]["path"]]
    home = Path(services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (mounted[str(home.parent)] / home.name).is_file()
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    made = [json.loads(file.read_text()) for file in dashboards.iterdir()]
    assert len(made) == 2
    panels = [panel for dashboard in made for panel in dashboard["panels"] if panel["type"] != "row"]
    assert {(panel["datasource"]["type"], panel["datasource"]["uid"]) for panel in panels} == {
        (source["type"], source["uid"])
    }


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_a_page_names_only_settings_and_commands_that_exist(page: Path) -> None:
    text = page.read_text()
    shown = subprocess.run(
        [sys.executable, "-m", "app", "config", "--json"], capture_output=True, text=True, check=True
    )
    known = {*json.loads(shown.stdout), *re.findall(r"[A-Z_]{4,}", EXAMPLE), CONFIG_FILE_VARIABLE}
    known |= {f"CROWDMOOD_{name.upper()}_FILE" for name in IN_FILES}
    settings = set(re.findall(r"\bCROWDMOOD_[A-Z_]+\b", text))
    assert settings <= known
    commands = get_command(cli.app).commands
    named = re.findall(r"`crowdmood ([a-z-]+)(?: ([a-z]+))?", text)
    for command, inner in named:
        assert command in commands
        assert not inner or not hasattr(commands[command], "commands") or inner in commands[command].commands
