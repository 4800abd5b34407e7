"""Stored objects of other releases: those before, which lack fields, and the next one, which adds some."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import redis

from crowdmood.bus.streams import Bus
from crowdmood.core import stored
from crowdmood.core.settings import BusSettings
from crowdmood.store.api_keys import ApiKeyStore
from crowdmood.store.audit import AuditLog
from crowdmood.store.keys import StateKeys
from crowdmood.store.model_choices import ModelChoices
from crowdmood.store.moods import START, MoodStore
from crowdmood.store.overrides import OverrideStore
from crowdmood.store.regions import SavedRegions
from tests import stored_objects
from tests.stored_objects import DELIVERY, FRAMES, REGIONS, RUN
from webhooks.deliveries import Status
from webhooks.store import WebhookStore

RELEASES = sorted(path.stem for path in stored_objects.FOLDER.glob("*.json"))
NEXT = stored.VERSION + 1


MAPPINGS = {"cameras", "shares", "low", "high", "raw", "crowds", "told", "lost", "unfit", "closed", "changes"}
"""Objects whose names are those of cameras, labels and so on: another name would be another camera, not a field."""


def changed(text: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    """Return a stored text whose objects, on every level, are changed; other texts stay."""

    def walk(value: Any, name: str = "") -> Any:
        if isinstance(value, list):
            return [walk(item) for item in value]
        if not isinstance(value, dict):
            return value
        inner = {name: walk(item, name) for name, item in value.items()}
        return inner if name in MAPPINGS else change(inner)

    return json.dumps(walk(json.loads(text))) if text.startswith("{") else text


def newer(objects: dict[str, Any], version: int = NEXT) -> dict[str, Any]:
    """Return the objects as a later release would write them: with more fields, and its version."""

    def of(text: str) -> str:
        more = changed(text, lambda fields: fields | {"added": {"by": ["the next release", 1.5]}})
        return json.dumps(json.loads(more) | {"version": version}) if more.startswith("{") else more

    found: dict[str, Any] = {}
    for name, held in objects.items():
        match held:
            case str():
                found[name] = of(held)
            case dict():
                found[name] = {field: of(text) for field, text in held.items()}
            case [dict(), *_]:
                found[name] = [fields | {"json": of(fields["json"])} for fields in held]
            case _:
                found[name] = held
    return found


OBJECTS = {name: json.loads((stored_objects.FOLDER / f"{name}.json").read_text()) for name in RELEASES}
CASES = {
    **OBJECTS,
    **{f"after-{release}": newer(objects) for release, objects in OBJECTS.items()},
}


def history_of(objects: dict[str, Any], kind: str) -> list[dict[str, str]]:
    """Return the entries of moods or changes, in one stream or in segments."""
    names = sorted(name for name in objects if re.fullmatch(rf"\{{state\}}:{kind}(:\d+)?", name))
    return [entry for name in names for entry in objects[name]]


def kinds_of(objects: dict[str, Any]) -> set[str]:
    """Return the names of the objects, of a history without the numbers of its segments."""
    return {re.sub(r":\d+$", "", name) for name in objects}


@pytest.fixture
def client(server_url: str) -> Any:
    with closing(redis.Redis.from_url(server_url)) as client:
        yield client


@pytest.mark.parametrize("case", CASES)
def test_every_object_of_another_release_is_read(
    client: Any, server_url: str, bus_settings: BusSettings, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = bus_settings.key_prefix
    stored_objects.put(client, prefix, CASES[case])
    key = ApiKeyStore(server_url, prefix).table()["id"]
    assert (key.name, key.scopes) == ("board", ("read", "predict"))
    choice = ModelChoices(server_url, prefix, RUN).chosen()
    assert choice is not None
    assert (choice.folder, choice.model_id) == ("/models/other", "other-1a2b")
    assert SavedRegions(server_url, prefix, RUN).all() == {"north": REGIONS}
    webhooks = WebhookStore(server_url, prefix, keep_s=stored_objects.FOREVER_S)
    for endpoint_id, found in webhooks.earlier_deliveries().items():  # as a dispatcher does at its start
        with webhooks.connection.client.pipeline() as multi:
            webhooks.queue_moving(multi, endpoint_id, found)
            multi.execute()
    (registered,) = webhooks.all()
    assert (registered.endpoint.url, registered.health.last_error) == ("https://board.example/", "HTTP 500")
    delivery = webhooks.delivery("ep_1", DELIVERY)
    assert delivery is not None
    assert (delivery.status, delivery.attempts[0].status_code) == (Status.FAILED, 500)
    watch = webhooks.watch()
    assert watch is not None
    assert (watch.moods, watch.crowds["stadium/"].available, watch.cameras) == ("1-0", True, {"north": True})
    if "{state}:audit" in CASES[case]:
        entries = list(AuditLog(server_url, prefix, 180).entries())
        assert [entry.target for entry in entries] == ["id", RUN, "north", "stadium", "ep_1"]
        assert {entry.who for entry in entries} == {stored_objects.WHO}
        assert OverrideStore(server_url, prefix).all() == [stored_objects.OVERRIDE]
    store = MoodStore(server_url, prefix)
    assert len(store.since(START)[1]) == len(history_of(CASES[case], "moods")) > 0
    assert len(store.changes_since(START)[1]) == len(history_of(CASES[case], "changes")) > 0
    assert store.cameras()["north"]["frames"] == FRAMES // 2
    assert "skipped" not in caplog.text


@pytest.mark.parametrize("case", CASES)
def test_an_aggregator_continues_the_run_of_another_release(
    client: Any, server_url: str, bus_settings: BusSettings, case: str
) -> None:
    undisturbed = bus_settings.model_copy(update={"key_prefix": f"{bus_settings.key_prefix}-u"})
    stored_objects.put(client, bus_settings.key_prefix, CASES[case])
    for settings in (bus_settings, undisturbed):
        with closing(Bus(server_url, settings)) as bus:
            bus.publish(stored_objects.footage())  # the counted frames again: they are duplicates
            stored_objects.aggregator(server_url, bus, settings, "next").run(drain=True)
    continued, expected = (MoodStore(server_url, one.key_prefix) for one in (bus_settings, undisturbed))
    # Releases round figures differently: those that the other one published stay as they are.
    published = len(history_of(CASES[case], "moods"))
    moods, others = ([mood for _, mood in one.since(START)[1]] for one in (continued, expected))
    assert moods[published:] == others[published:]
    assert [mood.as_of_ms for mood in moods] == [mood.as_of_ms for mood in others]
    (change, *_), (other, *_) = ([found for _, found in one.changes_since(START)[1]] for one in (continued, expected))
    assert (change.as_of_ms, change.from_label, change.to_label) == (other.as_of_ms, other.from_label, other.to_label)
    assert [(row["frames"], row["accepted"]) for row in continued.cameras().values()] == [(FRAMES, FRAMES)] * 2


def test_objects_carry_the_version(client: Any, server_url: str, bus_settings: BusSettings) -> None:
    stored_objects.fill(server_url, bus_settings)
    objects = stored_objects.take(client, bus_settings.key_prefix)
    texts = [text for held in objects.values() for text in (held.values() if isinstance(held, dict) else [held])]
    found = [json.loads(text) for text in texts if isinstance(text, str) and text.startswith("{")]
    assert len(found) > 8
    assert {given["version"] for given in found} == {stored.VERSION}
    moods = history_of(objects, "moods") + history_of(objects, "changes")
    assert {json.loads(fields["json"])["schema"] for fields in moods} == {2}
    moved = {"{state}:webhooks:ep_1:deliveries"}  # each delivery is a key of its own since
    assert kinds_of(objects) >= kinds_of(OBJECTS[RELEASES[-1]]) - moved


DAMAGE = {
    "cut off": lambda text: text[: len(text) // 2],
    "not JSON": lambda _: "\x00\xff",
    "another type": lambda _: "[]",
    "no fields": lambda _: "{}",
    "too new": lambda text: json.dumps(json.loads(text) | {"version": NEXT + 1, "schema": 99}),
    "not a number": lambda text: changed(text, lambda fields: {n: float("nan") for n in fields}),
    "infinite": lambda text: text[:-1] + ', "added": 1e999}',
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_objects_are_skipped_and_nothing_dies(
    client: Any, server_url: str, bus_settings: BusSettings, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    prefix, keys = bus_settings.key_prefix, StateKeys(bus_settings.key_prefix)
    objects = dict(OBJECTS[RELEASES[-1]])
    objects.pop("{state}:webhooks:revision")
    for name, held in objects.items():
        if name.endswith(":segments"):  # not JSON
            objects[name] = dict.fromkeys(held, DAMAGE["not JSON"](""))
        elif isinstance(held, dict) and "term" not in name:
            objects[name] = {field: DAMAGE[damage](text) for field, text in held.items()}
        elif isinstance(held, str) and held.startswith("{"):
            objects[name] = DAMAGE[damage](held)
        elif isinstance(held, list) and isinstance(held[0], dict):
            objects[name] = [fields | {"json": DAMAGE[damage](fields["json"])} for fields in held]
    stored_objects.put(client, prefix, objects)
    client.zadd(keys.pending_deliveries("ep_1"), {DELIVERY: 1})
    if damage != "no fields":  # regions and health have a default for each field
        assert SavedRegions(server_url, prefix, RUN).all() == {}
    assert ApiKeyStore(server_url, prefix).table() == {}
    assert ModelChoices(server_url, prefix, RUN).chosen() is None
    webhooks = WebhookStore(server_url, prefix)
    assert (webhooks.all(), webhooks.watch(), webhooks.delivery("ep_1", DELIVERY)) == ([], None, None)
    assert webhooks.work("ep_1") == (None, [])
    assert client.zcard(keys.pending_deliveries("ep_1")) == 0  # it would be read for ever
    assert MoodStore(server_url, prefix).since(START)[1] == []
    with closing(Bus(server_url, bus_settings)) as bus:
        bus.publish(stored_objects.footage())
        stored_objects.aggregator(server_url, bus, bus_settings, "next").run(drain=True)
    store = MoodStore(server_url, prefix)
    assert len(store.since(START)[1]) == 90
    assert [row["frames"] for row in store.cameras().values()] == [FRAMES] * 2
    assert "skipped the stored checkpoint run-1" in caplog.text
