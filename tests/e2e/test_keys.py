"""`crowdmood keys` and `crowdmood audit`, before the first start and while the API runs."""

import csv
import json
import os
import pwd
import re
from pathlib import Path

import pytest

from app.embedded import embedded_servers
from crowdmood.core.settings import BusSettings, EmbeddedSettings, load
from tests.e2e.conftest import crowdmood
from tests.serving import running


def test_keys_are_created_before_the_first_start_listed_without_secrets_and_revoked(tmp_path: Path) -> None:
    home = {"CROWDMOOD_DATA_DIR": str(tmp_path / "data")}
    made = crowdmood("keys", "create", "north board", **home)
    assert made.returncode == 0, made.stderr
    reader = made.stdout.strip()
    assert re.fullmatch(r"cm_[0-9a-f]{12}_[\w-]{43}", reader)
    manager = crowdmood("keys", "create", "signage", "--scope", "manage", "--days", "30", **home).stdout.strip()

    listed = crowdmood("keys", "list", COLUMNS="160", **home)
    assert listed.returncode == 0
    for name, scope in (("north board", "read"), ("signage", "manage")):
        assert re.search(rf"{name}.*{scope}.*active", listed.stdout), listed.stdout
    secrets = [key.split("_", 2)[2] for key in (reader, manager)]
    assert not any(secret in listed.stdout for secret in secrets)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert not any(secret.encode() in stored for secret in secrets)  # not on disk either

    # The store keeps keys over a restart, and a running API accepts them.
    with embedded_servers(tmp_path / "data", EmbeddedSettings()) as keeper:
        settings = load(
            state_url=keeper.servers.state_url, bus=BusSettings().model_dump(), api={"port": 0, "host": "0.0.0.0"}
        )
        with running(settings) as api:
            api.eventually("/mood", lambda answer: answer.status_code == 200, reader)
            revoked = crowdmood("keys", "revoke", reader.split("_")[1], **home)
            assert revoked.returncode == 0, revoked.stderr
            api.eventually("/mood", lambda answer: answer.status_code == 401, reader)
            assert api.get("/mood", manager).status_code == 200
    assert re.search(r"north board.*revoked", crowdmood("keys", "list", COLUMNS="160", **home).stdout)


def test_the_audit_log_is_exported_with_who_created_and_revoked_keys(tmp_path: Path) -> None:
    home = {"CROWDMOOD_DATA_DIR": str(tmp_path / "data")}
    made = crowdmood("keys", "create", "=north", **home)
    assert made.returncode == 0, made.stderr
    _, key_id, secret = made.stdout.strip().split("_", 2)
    assert crowdmood("keys", "revoke", key_id, **home).returncode == 0

    exported = crowdmood("audit", "export", **home)
    assert exported.returncode == 0, exported.stderr
    created, revoked = map(json.loads, exported.stdout.splitlines())
    assert [entry["action"] for entry in (created, revoked)] == ["key.created", "key.revoked"]
    assert [created["target"], created["to"]["name"], revoked["target"]] == [key_id, "=north", key_id]
    user = pwd.getpwuid(os.getuid()).pw_name
    for entry in (created, revoked):
        assert [entry[name] for name in ("via", "key", "name")] == ["command line", None, user]
    assert secret not in exported.stdout

    table = tmp_path / "audit.csv"
    since = crowdmood("audit", "export", "--format", "csv", "--from", revoked["at"], "--out", table, **home)
    assert (since.returncode, since.stdout) == (0, "")
    with table.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert [row["action"], row["target"], json.loads(row["to"])["state"]] == ["key.revoked", key_id, "revoked"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("audit", "export", "--from", "yesterday"), "'yesterday' is not an RFC 3339 time"),
        (("audit", "export", "--out", "/nowhere/audit.csv"), "cannot write /nowhere/audit.csv: No such file"),
        (("keys", "revoke", "nothing"), "there is no key 'nothing': `crowdmood keys list` shows all keys"),
        (("api",), "no API key exists yet: create one with `crowdmood keys create NAME`"),
    ],
)
def test_an_error_is_one_line(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    with embedded_servers(tmp_path, EmbeddedSettings()) as keeper:
        done = crowdmood(
            *words, CROWDMOOD_STATE_URL=keeper.servers.state_url, CROWDMOOD_API__HOST="0.0.0.0", CROWDMOOD_API__PORT="0"
        )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
