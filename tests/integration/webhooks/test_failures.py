"""Receivers that are slow, broken, gone or where nothing may be sent: what is retried, held back and given up."""

import threading
import time

import pytest

from crowdmood.core.settings import Settings
from crowdmood.store.moods import MoodStore
from tests.receiver import Answer, Receiver, Taken
from tests.waiting import eventually
from tests.webhooks import change, deliveries, dispatching, endpoint, publish, statuses, with_webhooks
from webhooks.events import EventType
from webhooks.store import WebhookStore


def test_a_mood_is_retried_until_it_perishes_and_the_newest_goes_instead(
    settings: Settings, webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    broken = threading.Event()
    broken.set()
    receiver.answer = lambda _: Answer(500 if broken.is_set() else 204)
    webhooks.add(endpoint(receiver.url(), events=(EventType.MOOD_CHANGED,)), 10)
    settings = with_webhooks(settings, disable_after_s=60)
    with dispatching(settings):
        publish(moods, changed=change(1, valid_s=6))
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
    monkeypatch.setattr("webhooks.deliveries.RETRY_AFTER_S", (0.2, 0.2, 0.2))
    refusals = iter([503, 302, 404])
    receiver.answer = lambda _: Answer(next(refusals, 200), {"location": receiver.url("/elsewhere")})
    webhooks.add(endpoint(receiver.url(), events=(EventType.CAMERA_DOWN, EventType.CAMERA_UP)), 10)
    settings = with_webhooks(settings, disable_after_s=60)
    with dispatching(settings):
        for number, state in enumerate(("down", "live", "frozen", "live"), 1):
            publish(moods, north=state)
            # Of two states between two looks at the table, only the later one is seen.
            eventually(lambda number=number: len(deliveries(webhooks)) == number)
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
    settings: Settings,
    webhooks: WebhookStore,
    moods: MoodStore,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webhooks.sending.TOTAL_TIMEOUT_S", 300.0)
    over = threading.Event()

    def answer(taken: Taken) -> Answer:
        assert taken.path == "/quick" or over.wait(300)
        return Answer(204)

    receiver.answer = answer
    for number in range(20):
        webhooks.add(endpoint(receiver.url("/slow"), f"ep_slow{number}"), 100)
    webhooks.add(endpoint(receiver.url("/quick"), "ep_quick"), 100)
    with dispatching(settings):
        for number in range(1, 6):
            publish(moods, changed=change(number))
            receiver.wait(number, "/quick")
        assert len(receiver.wait(20, "/slow")) == 20  # one at a time to each: they still answer their first
        over.set()


def test_a_receiver_that_does_not_answer_is_given_up_in_time(
    settings: Settings,
    webhooks: WebhookStore,
    moods: MoodStore,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webhooks.sending.TOTAL_TIMEOUT_S", 0.5)
    receiver.answer = lambda _: Answer(204, after_s=2)
    webhooks.add(endpoint(receiver.url()), 10)
    with dispatching(settings):
        publish(moods, north="down")
        eventually(lambda: deliveries(webhooks) and deliveries(webhooks)[0].attempts)
    (attempt,) = deliveries(webhooks)[0].attempts[:1]
    assert attempt.status_code is None
    assert "no answer within" in str(attempt.error)
    assert attempt.duration_ms >= 500


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
    closed = with_webhooks(settings, allow_networks=())
    with dispatching(closed):
        publish(moods, north="down")
        (delivery,) = eventually(lambda: [one for one in deliveries(webhooks) if one.attempts])
    assert receiver.taken == []
    assert "is in a private or local network" in str(delivery.attempts[0].error)


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
