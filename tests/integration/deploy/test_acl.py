"""Redis itself, with TLS and a user for each stage: the whole pipeline works, and no user may do more than it needs."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from app.stages import PARTS
from tests.ports import free_port
from tests.waiting import eventually

DEPLOY = Path(__file__).parents[3] / "deploy"
COMMANDS = {
    "api": "api",
    "dispatch": "dispatch",
    "aggregator": "aggregate",
    "classifier": "classify",
    "detector": "detect",
    "ingest": "ingest",
}


@dataclass
class Servers:
    """A bus and a state store that take nothing but TLS and known users."""

    ports: dict[str, int]
    authority: Path

    def url(self, server: str, user: str) -> str:
        where = f"127.0.0.1:{self.ports[server]}/0?ssl_ca_certs={self.authority}"
        return f"rediss://{user}:{user.upper()}_PASSWORD@{where}"

    def environment(self, user: str) -> dict[str, str]:
        urls = {"CROWDMOOD_BUS_URL": self.url("bus", user), "CROWDMOOD_STATE_URL": self.url("state", user)}
        return {name: value for name, value in os.environ.items() if not name.startswith("CROWDMOOD_")} | urls

    def denied(self) -> list[dict[str, Any]]:
        """What was refused on either server."""
        return [entry for name in self.ports for entry in redis.Redis.from_url(self.url(name, "watcher")).acl_log()]


def certificate(programs: dict[str, str], folder: Path) -> tuple[Path, Path]:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([programs["openssl"], *words, *names], check=True, capture_output=True)
    return key, certificate


@pytest.fixture(scope="module")
def servers(programs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("redis")
    key, authority = certificate(programs, folder)
    found = Servers({"bus": free_port(), "state": free_port()}, authority)
    with ExitStack() as stack:
        for name, port in found.ports.items():
            users = folder / f"{name}.acl"
            watcher = "user watcher on >WATCHER_PASSWORD +@all ~*\n"
            users.write_text((DEPLOY / f"redis/{name}.acl").read_text() + watcher)
            words = ["--port", "0", "--tls-port", str(port), "--tls-cert-file", authority, "--tls-key-file", key]
            words += ["--tls-ca-cert-file", authority, "--tls-auth-clients", "no", "--aclfile", users]
            words += ["--save", "", "--dir", folder, "--bind", "127.0.0.1"]
            log = stack.enter_context((folder / f"{name}.log").open("w"))
            server = subprocess.Popen([programs["redis-server"], *map(str, words)], stdout=log, stderr=log)
            stack.callback(server.wait, 20)
            stack.callback(server.terminate)
            eventually(
                lambda name=name: redis.Redis.from_url(found.url(name, "watcher")).ping(), 90, (redis.ConnectionError,)
            )
        yield found


def ask(method: str, url: str, body: bytes | None = None, kind: str = "application/json") -> Any:
    request = urllib.request.Request(url, body, {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def crowdmood(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def works(stage: str, environment: dict[str, str]) -> bool:
    return crowdmood(environment, "check", stage).returncode == 0


def test_everything_works_with_users_that_may_do_no_more_than_they_need(
    servers: Servers, assets: Path, tmp_path: Path
) -> None:
    port = free_port()
    own = {
        "CROWDMOOD_CAMERAS": json.dumps([{"id": "fans", "uri": str(assets / "footage/fans.mp4")}]),
        "CROWDMOOD_API__PORT": str(port),
        "CROWDMOOD_API__PREDICT": "true",
        "CROWDMOOD_DETECTOR__MIN_FACE_PX": "60",
        "CROWDMOOD_INGEST__SAMPLE_FPS": "1",
        "CROWDMOOD_WEBHOOKS__ALLOW_NETWORKS": '["127.0.0.0/8"]',
    }
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for stage, command in COMMANDS.items():
            with (tmp_path / f"{stage}.log").open("w") as log:
                words = [sys.executable, "-m", "app", command]
                environment = servers.environment(stage) | own
                processes[stage] = subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=log, stderr=log)
        for stage in reversed(COMMANDS):  # ingest first: it is gone when its footage has ended
            eventually(partial(works, stage, servers.environment(stage) | own), 90)
        address = f"http://127.0.0.1:{port}"
        eventually(lambda: ask("GET", f"{address}/mood")["as_of"], 90, (OSError, KeyError))
        photo = min((assets / "crowds/images").iterdir(), key=lambda file: file.stat().st_size)
        assert "faces" in ask("POST", f"{address}/predict", photo.read_bytes(), "image/jpeg")
        webhook = ask("POST", f"{address}/webhooks", b'{"url": "http://127.0.0.1:9/"}')
        ask("POST", f"{address}/webhooks/{webhook['id']}/test", b"{}")
        deliveries = f"{address}/webhooks/{webhook['id']}/deliveries"
        eventually(lambda: ask("GET", deliveries)["deliveries"][0]["attempts"], 90, (OSError,))
        operator = servers.environment("operator") | own
        found = dict(re.findall(r"^│ (\w+) +│ (yes|NO)", crowdmood(operator, "check").stdout, re.MULTILINE))
        assert found | {"ingest": "yes"} == dict.fromkeys(PARTS, "yes")
        (account,) = json.loads(crowdmood(operator, "ledger", "--json").stdout)
        assert (account["camera"], account["balance"]) == ("fans", 0)
        assert crowdmood(operator, "keys", "create", "board").returncode == 0
        exported = crowdmood(operator, "audit", "export")
        actions = [json.loads(line)["action"] for line in exported.stdout.splitlines()]
        assert actions == ["photo.classified", "webhook.created", "key.created"], exported.stderr
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        codes = {stage: process.wait(30) for stage, process in processes.items()}
    assert set(codes.values()) == {0}, {stage: (tmp_path / f"{stage}.log").read_text() for stage in codes}
    assert servers.denied() == []


@pytest.mark.parametrize(
    ("server", "user", "command"),
    [
        ("bus", "api", ["XRANGE", "crowdmood:{p0}:frames", "-", "+"]),  # pixels
        ("bus", "api", ["XRANGE", "crowdmood:{p0}:faces", "-", "+"]),
        ("bus", "api", ["XRANGE", "crowdmood:{p0}:photo_faces", "-", "+"]),
        ("bus", "api", ["XRANGE", "crowdmood:{p0}:photos", "-", "+"]),
        ("bus", "api", ["XREAD", "STREAMS", "crowdmood:{p0}:faces", "0"]),
        ("bus", "api", ["XADD", "crowdmood:{p0}:frames", "*", "a", "b"]),
        ("bus", "aggregator", ["XRANGE", "crowdmood:{p0}:frames", "-", "+"]),
        ("bus", "aggregator", ["XREADGROUP", "GROUP", "a", "b", "STREAMS", "crowdmood:{p0}:faces", ">"]),
        ("bus", "detector", ["XADD", "crowdmood:{p0}:emotions", "*", "a", "b"]),
        ("bus", "classifier", ["SET", "crowdmood:{p0}:health:detector:false", ""]),
        ("bus", "ingest", ["CONFIG", "SET", "save", "60 1"]),
        ("state", "detector", ["HSET", "crowdmood:{state}:regions:live", "north", "{}"]),
        ("state", "detector", ["HGETALL", "crowdmood:{state}:api_keys"]),
        ("state", "dispatch", ["HSET", "crowdmood:{state}:api_keys", "id", "{}"]),
        ("state", "api", ["XADD", "crowdmood:{state}:moods", "*", "a", "b"]),
        ("state", "dispatch", ["XADD", "crowdmood:{state}:changes", "*", "a", "b"]),
        ("state", "api", ["XADD", "crowdmood:{state}:moods:989000", "*", "a", "b"]),
        ("state", "dispatch", ["DEL", "crowdmood:{state}:changes:989000"]),
        ("state", "aggregator", ["HGETALL", "crowdmood:{state}:webhooks"]),  # their secrets
        ("state", "api", ["DEL", "crowdmood:{state}:audit"]),
        ("state", "api", ["XDEL", "crowdmood:{state}:audit", "1-0"]),
        ("state", "api", ["SET", "crowdmood:{state}:audit", ""]),
        ("state", "api", ["XADD", "crowdmood:{state}:webhooks", "*", "a", "b"]),
        ("state", "operator", ["DEL", "crowdmood:{state}:audit"]),
        ("state", "operator", ["XTRIM", "crowdmood:{state}:audit", "MAXLEN", "0"]),
        ("state", "dispatch", ["XRANGE", "crowdmood:{state}:audit", "-", "+"]),
        ("state", "aggregator", ["XADD", "crowdmood:{state}:audit", "*", "a", "b"]),
        ("state", "classifier", ["FLUSHALL"]),
    ],
)
def test_a_user_may_not(servers: Servers, server: str, user: str, command: list[str]) -> None:
    client = redis.Redis.from_url(servers.url(server, user))
    assert client.ping()
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)


def test_a_missing_right_is_one_line_that_says_where_rights_are_given(servers: Servers) -> None:
    done = crowdmood(servers.environment("api"), "ledger")
    assert done.returncode == 2
    refused = (
        r"bus server \S+ does not let user 'api' do this: .*'hgetall'.*; deploy/redis/bus\.acl has what each user needs"
    )
    assert re.fullmatch(rf"error: {refused}\n", done.stderr)
    done = crowdmood(servers.environment("classifier") | {"COLUMNS": "400"}, "check", "dispatch")
    assert (done.returncode, done.stderr) == (1, "")
    assert "does not let user 'classifier' do this: " in done.stdout
    assert "deploy/redis/state.acl" in done.stdout


def test_who_has_no_business_in_the_state_store_does_not_get_in(servers: Servers) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(servers.url("state", "ingest")).ping()


def test_nothing_is_said_without_tls_or_to_a_server_of_another_authority(servers: Servers, tmp_path: Path) -> None:
    with pytest.raises(redis.ConnectionError):
        redis.Redis(port=servers.ports["bus"], socket_timeout=5).ping()
    with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        redis.Redis.from_url(servers.url("bus", "ingest").partition("?")[0]).ping()
