"""A real Prometheus scrapes a real pipeline, each process a target of its own: every rule and every panel has data."""

import json
import operator
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, generate_latest

from api.webhook_resources import EndpointSettings
from api.webhook_samples import sample
from crowdmood.bus.connection import connect
from crowdmood.bus.keys import BusKeys
from crowdmood.core.settings import BusSettings
from tests.ports import free_port
from tests.waiting import eventually
from webhooks.deliveries import Delivery
from webhooks.endpoints import Secret, new_secret
from webhooks.events import EventType
from webhooks.store import WebhookStore

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())["groups"]
RECORDED = {rule["record"]: rule["expr"] for group in RULES for rule in group["rules"] if "record" in rule}
ALERTS = {rule["alert"]: rule["expr"] for group in RULES for rule in group["rules"] if "alert" in rule}
PANELS = {
    f"{file.stem}: {panel['title']}": target["expr"]
    for file in sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
    for panel in json.loads(file.read_text())["panels"]
    for target in panel.get("targets", [])
}
COMMANDS = {"ingest": "ingest", "detector": "detect", "classifier": "classify", "aggregator": "aggregate"}
COMMANDS |= {"api": "api", "dispatch": "dispatch"}


class Prometheus:
    """One that runs."""

    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self._address}/api/v1/{path}?{query}", timeout=60) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        return self.ask("query", query=expression)["result"]


@pytest.fixture(scope="module")
def prometheus(
    programs: dict[str, str], assets: Path, server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Watches people on a stand, a folder with a broken picture and a camera that is not there."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "1.jpg").write_bytes(b"no picture")
    cameras = [
        {"id": "fans", "uri": str(assets / "footage/fans.mp4")},
        {"id": "broken", "uri": str(folder / "pictures")},
        {"id": "gone", "uri": "rtsp://127.0.0.1:9/gone"},
    ]
    bus = BusSettings(key_prefix="prometheus")
    # Not a message: the first detector that reads it gives it up.
    connect(server_url).xadd(BusKeys.of(bus).stream("frames"), {b"kind": b"nonsense"})
    ports = {job: free_port() for job in COMMANDS}
    with ExitStack() as stack:
        stack.enter_context(trials(server_url, bus.key_prefix, stack.enter_context(receiver())))
        for job, command in COMMANDS.items():
            port = str(ports[job])
            own = {"API__OPS_PORT": port} if job == "api" else {"METRICS__PORT": port}
            settings = {
                "BUS_URL": server_url,
                "STATE_URL": server_url,
                "BUS__KEY_PREFIX": bus.key_prefix,
                "CAMERAS": json.dumps(cameras),
                "RUN_ID": "prometheus",
                "AGGREGATOR__IDLE_TIMEOUT_S": "1",
                # Frames with few faces are in no metric of faces.
                "DETECTOR__KIND": "yunet",
                "DETECTOR__YUNET_MODEL": str(assets / "models/face_detection_yunet_2023mar.onnx"),
                "WEBHOOKS__ALLOW_NETWORKS": '["127.0.0.0/8"]',
                "API__PORT": "0",
                **own,
            }
            environment = {name: value for name, value in os.environ.items() if not name.startswith("CROWDMOOD_")}
            environment |= {f"CROWDMOOD_{name}": value for name, value in settings.items()}
            log = stack.enter_context((folder / f"{job}.log").open("w"))
            words = [sys.executable, "-m", "app", command]
            stack.callback(_stop, subprocess.Popen(words, env=environment, cwd=folder, stdout=log, stderr=log))
        address = f"127.0.0.1:{free_port()}"
        log = stack.enter_context((folder / "prometheus.log").open("w"))
        words = [
            programs["prometheus"],
            f"--config.file={_configuration(folder, ports)}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        ]
        stack.callback(_stop, subprocess.Popen(words, stdout=log, stderr=log))
        yield Prometheus(f"http://{address}")


@contextmanager
def receiver() -> Iterator[str]:
    """Address of a board that takes every webhook."""

    class Board(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Board) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextmanager
def trials(state_url: str, key_prefix: str, url: str) -> Iterator[None]:
    """A board that is registered, and tried out every second: no event is sent for moods of 1970."""
    store = WebhookStore(state_url, key_prefix)
    endpoint = EndpointSettings(url=url).endpoint("ep_board", time.time_ns() // 1_000_000, (Secret(new_secret()),))
    store.add(endpoint, 1)
    over = threading.Event()

    def try_out() -> None:
        while not over.wait(1):
            now_ms = time.time_ns() // 1_000_000
            (sequence,) = store.next_sequences(1)
            event = sample(EventType.MOOD_CHANGED, str(sequence), now_ms)
            store.send_again(endpoint.id, [Delivery.of(event, endpoint.id, sequence, now_ms)])

    trying = threading.Thread(target=try_out)
    trying.start()
    yield
    over.set()
    trying.join()
    store.close()


def _configuration(folder: Path, ports: dict[str, int]) -> Path:
    """Ours, with the processes of this test in place of names that only compose's network knows, and in a hurry."""
    configuration = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    configuration["global"] = dict.fromkeys(configuration["global"], "1s")
    configuration["rule_files"] = [str(DEPLOY / "prometheus" / name) for name in configuration["rule_files"]]
    assert {job["job_name"] for job in configuration["scrape_configs"]} == set(ports)
    for job in configuration["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    return file


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    finally:
        process.kill()


def test_every_process_is_a_target_of_its_own(prometheus: Prometheus) -> None:
    def missing() -> set[str]:
        return set(COMMANDS) - {series["metric"]["job"] for series in prometheus.query("up == 1")}

    eventually(missing, ignoring=(OSError,), until=operator.not_)  # it may not listen yet


def test_every_recorded_value_and_every_panel_has_data(prometheus: Prometheus) -> None:
    asked = {record: record for record in RECORDED} | PANELS
    assert len(PANELS) > 20
    eventually(
        lambda: [name for name, expression in asked.items() if not prometheus.query(expression)], until=operator.not_
    )


@pytest.mark.parametrize("alert", ALERTS)
def test_every_metric_of_an_alert_has_data(prometheus: Prometheus, alert: str) -> None:
    looked_at = re.fullmatch(r"([a-z][a-z0-9_:]*) (?:==|<|>) [0-9.]+", ALERTS[alert])
    assert looked_at, "an alert compares one recorded value with one number"
    eventually(lambda: prometheus.query(looked_at[1]))


def test_only_the_alerts_of_this_runs_faults_fire(prometheus: Prometheus) -> None:
    def alerts_in(*states: str) -> set[tuple[str, str]]:
        alerts = [a["labels"] for a in prometheus.ask("alerts")["alerts"] if a["state"] in states]
        return {(a["alertname"], a.get("camera") or a.get("stage") or "") for a in alerts}

    wrong = {("CameraDown", "gone"), ("DeadLetters", "detector")}
    eventually(lambda: wrong - alerts_in("pending", "firing"), until=operator.not_)
    # What is pending may be one slow answer: Prometheus waits for none longer than the second between two.
    assert not {(alert, of) for alert, of in alerts_in("firing") - wrong if alert not in ("MoodStale", "LagGrowing")}


def test_names_and_help_follow_the_conventions(programs: dict[str, str]) -> None:
    import crowdmood.core.metrics
    import detector.service  # noqa: F401 (has a metric of its own)

    assert crowdmood.core.metrics.MOODS
    linted = subprocess.run(
        [programs["promtool"], "check", "metrics"], input=generate_latest(REGISTRY), capture_output=True, check=False
    )
    assert linted.returncode == 0, linted.stderr.decode() + linted.stdout.decode()


def test_rules_are_valid_and_every_alert_is_tested(programs: dict[str, str]) -> None:
    folder = DEPLOY / "prometheus"
    for words in (["check", "config", folder / "prometheus.yml"], ["test", "rules", folder / "rules_test.yml"]):
        done = subprocess.run([programs["promtool"], *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    tests = yaml.safe_load((folder / "rules_test.yml").read_text())["tests"]
    firing = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert firing == set(ALERTS)


def test_an_alert_fires_for_a_role_without_processes() -> None:
    looked_at, *missed = RECORDED["crowdmood:process_up"].splitlines()
    assert looked_at == f'up{{job=~"{"|".join(COMMANDS)}"}}'
    assert missed == [f'or absent(up{{job="{job}"}}) - 1' for job in COMMANDS]


def test_the_runbook_says_what_each_alert_means() -> None:
    headings = re.findall(r"^### (.*)$", (DEPLOY.parent / "docs/operations.md").read_text(), re.MULTILINE)
    assert headings == list(ALERTS)
    for rule in (rule for group in RULES for rule in group["rules"] if "alert" in rule):
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_the_dashboards_are_what_the_generator_makes(tmp_path: Path) -> None:
    before = {file.name: file.read_text() for file in (DEPLOY / "grafana/dashboards").iterdir()}
    script = (
        "import runpy, sys; from pathlib import Path; "
        f"made = runpy.run_path({str(DEPLOY / 'grafana/generate.py')!r}); "
        f"made['main'].__globals__['DASHBOARDS'] = Path({str(tmp_path)!r}); made['main']()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == before
