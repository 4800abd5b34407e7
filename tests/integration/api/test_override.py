"""Overrides, from the request to the boards: moods, streams, webhooks, the history, the audit log, the command line."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jsonschema
import pytest
from typer.testing import CliRunner

from api import models
from app.cli import app
from crowdmood.core.settings import BusSettings, CameraSettings, Settings, load
from crowdmood.domain.mood import to_ms
from crowdmood.store import overrides as store_module
from crowdmood.store.api_keys import SCOPES, ApiKey, ApiKeyStore
from crowdmood.store.audit import AuditLog
from crowdmood.store.moods import MoodStore
from crowdmood.store.overrides import OverrideStore
from crowdmood_client import Client
from tests.receiver import receiving
from tests.serving import Running, ready, running
from tests.streaming import events_of
from tests.waiting import eventually
from tests.webhooks import change, dispatching, endpoint, mood, publish
from webhooks.adapters import AdapterName
from webhooks.events import EventType
from webhooks.store import WebhookStore

WITHIN_S = 2.0
"""Longest time until everything that serves moods follows an override."""


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    return load(
        state_url=server_url,
        bus=bus_settings.model_dump(),
        api={"port": 0, "override_max_s": 3600},
        cameras=[CameraSettings(id=name, uri=f"{name}.mp4") for name in ("north", "south")],
        zones={"home": ["north"]},
        webhooks={"allow_networks": ["127.0.0.0/8"]},
        aggregator={"stale_after_s": 60},
    )


@pytest.fixture
def audit(server_url: str, bus_settings: BusSettings) -> Iterator[AuditLog]:
    with contextlib.closing(AuditLog(server_url, bus_settings.key_prefix, 180)) as log:
        yield log


def later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def put(api: Running, seconds: float = 600, **given: Any) -> httpx.Response:
    body = {"until": later(seconds), "why": "a test"} | given
    return httpx.put(f"{api.url}/override", json=body, timeout=60)


def clear(api: Running, **query: str) -> httpx.Response:
    return httpx.delete(f"{api.url}/override", params=query, timeout=60)


def becomes(api: Running, status: str, path: str = "/mood") -> dict[str, Any]:
    found: dict[str, Any] = api.eventually(path, lambda answer: answer.json()["status"] == status).json()
    jsonschema.validate(found, api.get("/schemas/mood").json())
    return found


def shows(answer: httpx.Response) -> str | None:
    override = answer.json()["override"]
    return None if override is None else str(override["show"])


def test_every_replica_follows_and_boards_of_the_python_client_show_the_creative_or_their_default(
    settings: Settings, store: MoodStore
) -> None:
    with ready(settings) as api, ready(settings) as other, Client(other.url) as board:
        publish(store, new=mood())
        for one in (api, other):
            becomes(one, "ok")
        fastest = []
        for show, leading in (("anthem", "anthem"), ("default", "house")):
            answer = put(api, show=show)
            assert (answer.status_code, answer.json()["show"], answer.json()["in_force"]) == (200, show, True)
            began = time.monotonic()
            reply = other.eventually("/mood", lambda answer, show=show: shows(answer) == show)
            fastest.append(time.monotonic() - began)
            assert 0 < int(reply.headers["mood-valid-ms"]) <= 3000
            overridden = becomes(other, "overridden")
            assert (overridden["people"], overridden["shares"], overridden["dominant"]) == (None, None, None)
            assert to_ms(overridden["override"]["until"]) == to_ms(answer.json()["until"])
            eventually(lambda leading=leading: board.leading(default="house") == leading)
            newest = board.mood()
            assert newest and newest.override and (newest.status, newest.override.show) == ("overridden", show)
        assert min(fastest) < WITHIN_S
        assert clear(api).status_code == 204
        assert becomes(other, "ok")["override"] is None
        eventually(lambda: board.leading(default="house") == "happy")


def test_one_of_a_zone_concerns_the_zone_and_its_cameras_and_one_of_the_stadium_everything(
    settings: Settings, store: MoodStore
) -> None:
    paths = {
        "stadium": "/mood",
        "home": "/mood?zone=home",
        "north": "/mood?camera=north",
        "south": "/mood?camera=south",
    }
    with ready(settings) as api:
        for crowd in ({}, {"zone": "home"}, {"camera": "north"}, {"camera": "south"}):
            publish(store, new=replace(mood(), **crowd))

        def overridden() -> list[str]:
            return [name for name, path in paths.items() if api.get(path).json()["status"] == "overridden"]

        eventually(lambda: api.get(paths["south"]).json()["status"] == "ok")
        put(api, zone="home", show="sponsor")
        eventually(lambda: overridden() == ["home", "north"])
        put(api)
        eventually(lambda: overridden() == list(paths))
        assert api.get(paths["home"]).json()["override"]["show"] == "default"  # the stadium's
        clear(api)
        eventually(lambda: overridden() == ["home", "north"])
        assert api.get(paths["home"]).json()["override"]["show"] == "sponsor"


def test_it_begins_and_ends_by_itself_and_the_audit_log_has_all_of_it(
    settings: Settings, store: MoodStore, audit: AuditLog
) -> None:
    with ready(settings) as api, ready(settings):  # two replicas record the end once
        publish(store, new=mood())
        becomes(api, "ok")
        starts = later(2)
        scheduled = put(api, 5, **{"from": starts}, why="a minute's silence", show="black").json()
        assert (scheduled["in_force"], scheduled["id"]) == (False, f"stadium@{scheduled['from']}")
        assert put(api, 6, **{"from": starts}, why="a minute's silence", show="black").json()["id"] == scheduled["id"]
        assert api.get("/mood").json()["status"] == "ok"
        becomes(api, "overridden")
        assert time.time() * 1000 >= to_ms(scheduled["from"])
        becomes(api, "ok")
        assert time.time() * 1000 >= to_ms(scheduled["until"])
        eventually(lambda: [entry for entry in audit.entries() if entry.action == "override.ended"])
        put(api)
        clear(api)
        entries = eventually(lambda: list(audit.entries()), until=lambda found: len(found) >= 5)
        time.sleep(1.5)
        assert len(list(audit.entries())) == len(entries)
    assert [(entry.who.via, entry.action, entry.target) for entry in entries] == [
        ("api", "override.set", scheduled["id"]),
        ("api", "override.set", scheduled["id"]),
        ("system", "override.ended", scheduled["id"]),
        ("api", "override.set", "stadium"),
        ("api", "override.cleared", "stadium"),
    ]
    assert entries[1].before["until"] == scheduled["until"]
    assert {name: entries[1].after[name] for name in ("show", "why", "zone")} == {
        "show": "black",
        "why": "a minute's silence",
        "zone": "stadium",
    }
    assert (entries[2].after, entries[4].after) == (None, None)


def test_the_history_keeps_moods_and_changes_with_a_mark(settings: Settings, store: MoodStore) -> None:
    with ready(settings) as api:
        publish(store, new=mood(), changed=change(1))
        put(api, show="anthem")
        publish(store, new=replace(mood(), camera="north"))
        publish(store, new=mood(), changed=change(2))
        clear(api)
        publish(store, new=mood(), changed=change(3))
        moods = eventually(lambda: api.get("/moods").json()["moods"], until=lambda found: len(found) == 3)
        changes = api.get("/changes").json()["changes"]
        camera = api.get("/moods?camera=north").json()["moods"]
        models.Moods.model_validate_json(json.dumps({"moods": moods, "next": None}), strict=True, extra="forbid")
    assert [(one["status"], one["dominant"], one["people"] > 0) for one in moods] == [("ok", "happy", True)] * 3
    assert [one["override"] and one["override"]["show"] for one in moods] == [None, "anthem", None]
    assert [one["override"] and one["override"]["show"] for one in changes] == [None, "anthem", None]
    assert camera[0]["override"]["show"] == "anthem"


def test_a_stream_is_overridden_at_once_sends_no_change_and_goes_on_afterwards(
    settings: Settings, store: MoodStore
) -> None:
    with ready(settings) as api:
        publish(store, new=mood())
        becomes(api, "ok")
        with events_of(api) as stream:
            first = stream.take(1)[0]
            assert first.data["status"] == "ok"
            put(api)  # although no mood is published
            (begun,) = stream.take(1)
            assert (begun.event, begun.data["status"], begun.data["shares"]) == ("mood", "overridden", None)
            publish(store, changed=change(1))
            publish(store, new=mood())
            (during,) = stream.take(1)
            assert (during.event, during.data["status"]) == ("mood", "overridden")
            clear(api)
            (ended,) = stream.take(1)
            assert (ended.data["status"], ended.data["override"], ended.data["dominant"]) == ("ok", None, "happy")
            publish(store, changed=change(2))
            (changed,) = stream.take(1)
            assert (changed.event, changed.data["sequence"]) == ("change", 2)
        with events_of(api, first.id) as late:  # what was withheld is not sent later either
            missed = late.take(2)
        shown = [(one.event, one.data.get("status") or one.data["sequence"]) for one in missed]
        assert shown == [("mood", "overridden"), ("change", 2)]


def test_webhooks_get_the_override_no_change_and_then_the_mood_again(
    settings: Settings, store: MoodStore, server_url: str, bus_settings: BusSettings
) -> None:
    webhooks = WebhookStore(server_url, bus_settings.key_prefix)
    made = OverrideStore(server_url, bus_settings.key_prefix)
    with contextlib.closing(webhooks), contextlib.closing(made), receiving() as receiver:
        only_changes = (EventType.MOOD_CHANGED,)
        webhooks.add(endpoint(receiver.url("/all"), "ep_all"), 10)
        webhooks.add(endpoint(receiver.url("/changes"), "ep_changes", events=only_changes), 10)
        text = replace(endpoint("https://a.example").adapter, name=AdapterName.TEXT)
        webhooks.add(endpoint(receiver.url("/player"), "ep_player", events=only_changes, adapter=text), 10)
        with ready(settings) as api, dispatching(settings):
            publish(store, new=mood())
            receiver.wait(1, "/all")
            put(api, show="anthem")
            for path, count in (("/all", 2), ("/changes", 1), ("/player", 1)):
                receiver.wait(count, path)
            publish(store, new=mood(), changed=change(1))
            clear(api)
            publish(store, new=mood(), changed=change(2))
            receiver.wait(4, "/all")
            receiver.wait(3, "/changes")
            receiver.wait(3, "/player")
    sent = [(one.json["type"], one.json["data"]) for one in receiver.at("/all")]
    assert [(type_, data.get("status") or data["sequence"]) for type_, data in sent] == [
        ("mood.updated", "ok"),
        ("mood.unavailable", "overridden"),
        ("mood.updated", "ok"),
        ("mood.changed", 2),
    ]
    assert receiver.at("/all")[1].json["data"]["override"]["show"] == "anthem"
    assert [one.json["type"] for one in receiver.at("/changes")] == ["mood.unavailable", "mood.updated", "mood.changed"]
    words = [one.body.decode().split() for one in receiver.at("/player")]
    assert [word for word, _ in words] == ["anthem", "happy", "happy"]
    assert int(words[0][1]) > 500  # until its end


def test_who_may_operate_sets_lists_and_clears_and_others_may_not(
    settings: Settings, server_url: str, bus_settings: BusSettings
) -> None:
    keys = {}
    with contextlib.closing(ApiKeyStore(server_url, bus_settings.key_prefix)) as made:
        for scope in SCOPES:
            keys[scope], key = ApiKey.make(f"a {scope} key", scope, round(time.time() * 1000), None)
            made.add(key)
    with running(settings) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200, keys["read"])
        for scope, text in keys.items():
            may = scope in ("operate", "manage")
            given = {"json": {"until": later(60), "why": "a test"}, "headers": {"Authorization": f"Bearer {text}"}}
            assert httpx.put(f"{api.url}/override", **given).status_code == (200 if may else 403), scope
            found = api.get("/overrides", text)
            assert found.status_code == (200 if may else 403)
            if may:
                assert [one["set_by"] for one in found.json()] == [f"a {scope} key"]
                done = httpx.delete(f"{api.url}/override", headers=given["headers"])
                assert done.status_code == 204
        assert api.get("/mood", keys["operate"]).status_code == 403  # it names nothing but overrides


def test_what_makes_no_sense_is_refused(
    settings: Settings, server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MOST", 2)
    with ready(settings) as api:
        refused = [
            put(api, zone="nowhere"),
            put(api, -1),
            put(api, 3601),
            put(api, until="tomorrow"),
            put(api, until=1_780_000_000),
            put(api, why=""),
            put(api, show="a\nb"),
            put(api, shows="anthem"),
            httpx.put(f"{api.url}/override", json={"why": "no end"}),
            clear(api),
            clear(api, id="stadium@never"),
        ]
        assert [answer.status_code for answer in refused] == [404, 422, 422, 422, 422, 422, 422, 422, 422, 404, 404]
        assert "CROWDMOOD_API__OVERRIDE_MAX_S" in refused[2].json()["detail"]
        assert api.get("/overrides").json() == []
        assert put(api).status_code == put(api, zone="home").status_code == 200
        assert put(api, **{"from": later(5)}).json()["type"] == "/problems/too-many-overrides"
        assert put(api, show="anthem").status_code == 200  # replaces
        shown = [(one["id"], one["show"]) for one in api.get("/overrides").json()]
        assert sorted(shown) == [("home", "default"), ("stadium", "anthem")]
        assert clear(api, id="home").status_code == 204


def test_the_command_line_sets_lists_and_clears(
    settings: Settings, audit: AuditLog, server_url: str, bus_settings: BusSettings
) -> None:
    environment = {
        "CROWDMOOD_STATE_URL": server_url,
        "CROWDMOOD_BUS__KEY_PREFIX": bus_settings.key_prefix,
        "CROWDMOOD_CAMERAS": json.dumps([{"id": "north", "uri": "north.mp4"}]),
        "CROWDMOOD_ZONES": json.dumps({"home": ["north"]}),
        "COLUMNS": "200",
    }

    def crowdmood(*words: str) -> str:
        done = CliRunner().invoke(app, ["override", *words], env=environment)
        return f"{type(done.exception).__name__}: {done.exception}" if done.exception else done.output

    with ready(settings) as api:
        assert "Override stadium: default from " in crowdmood("set", "--why", "fire alarm")
        becomes(api, "overridden")
        crowdmood("set", "--why", "silence", "--zone", "home", "--show", "black", "--from", later(60), "--minutes", "1")
        listed = crowdmood("list")
        assert [state in listed for state in ("in force", "scheduled", "fire alarm", "black")] == [True] * 4
        assert crowdmood("clear").strip() == "Cleared stadium"
        becomes(api, "stale")  # no mood was ever published
        assert "SettingsError: there is no override of zone 'stadium' in force" in crowdmood("clear")
        assert "SettingsError: there is no zone 'nowhere'" in crowdmood("set", "--why", "x", "--zone", "nowhere")
        assert "14400 s at most" in crowdmood("set", "--why", "x", "--minutes", "241")
        assert "give either" in crowdmood("set", "--why", "x", "--minutes", "1", "--until", later(9))
        (scheduled,) = api.get("/overrides").json()
        assert crowdmood("clear", scheduled["id"]).strip() == f"Cleared {scheduled['id']}"
    assert [entry.action for entry in audit.entries()] == ["override.set", "override.set"] + ["override.cleared"] * 2
    assert {entry.who.via for entry in audit.entries()} == {"command line"}
