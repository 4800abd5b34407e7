"""Deliveries expire by age in the store itself, and those of earlier releases are moved to where they do."""

import json
from contextlib import closing
from dataclasses import replace

from crowdmood.core.settings import Settings
from crowdmood.store.moods import MoodStore
from tests.receiver import Receiver
from tests.waiting import eventually
from tests.webhooks import change, deliveries, dispatching, endpoint, publish, statuses, with_webhooks
from webhooks.store import WebhookStore

DAY_S = 24 * 3600


def test_deliveries_expire_while_nothing_runs(
    settings: Settings, moods: MoodStore, receiver: Receiver, server_url: str
) -> None:
    prefix = settings.bus.key_prefix
    brief = with_webhooks(settings, deliveries_hours=2 / 3600)
    with closing(WebhookStore(server_url, prefix)) as store:
        store.add(endpoint(receiver.url()), 10)
        client = store.connection.client
        with dispatching(brief):
            publish(moods, changed=change(1))
            receiver.wait(1)
            eventually(lambda: statuses(store) == ["delivered"])
            assert client.exists(store.keys.webhooks_watch)
        kept = {store.keys.webhooks, store.keys.webhooks_health, store.keys.webhooks_sequence}
        kept |= {store.keys.webhooks_revision, store.keys.dispatcher().term}
        found = eventually(
            lambda: {name.decode() for name in client.scan_iter(f"{store.keys.webhooks}*")},
            until=lambda names: names <= kept,
        )
        assert store.keys.webhooks in found
        assert deliveries(store) == []


def test_a_delivery_is_kept_for_the_time_of_the_settings(
    settings: Settings, moods: MoodStore, receiver: Receiver, webhooks: WebhookStore
) -> None:
    webhooks.add(endpoint(receiver.url()), 10)
    with dispatching(with_webhooks(settings, deliveries_hours=48.0)):
        publish(moods, changed=change(1))
        receiver.wait(1)
        eventually(lambda: statuses(webhooks) == ["delivered"])
    (one,) = deliveries(webhooks)
    left_ms = webhooks.connection.client.pttl(webhooks.keys.delivery("ep_1", one.id))
    assert 2 * DAY_S * 1000 - 600_000 < left_ms <= 2 * DAY_S * 1000


def test_deliveries_of_an_earlier_release_are_moved(
    settings: Settings, moods: MoodStore, receiver: Receiver, webhooks: WebhookStore
) -> None:
    client, keys = webhooks.connection.client, webhooks.keys
    webhooks.add(endpoint(receiver.url()), 10)
    with dispatching(settings):
        publish(moods, changed=change(1))
        eventually(lambda: statuses(webhooks) == ["delivered"])
    (done,) = deliveries(webhooks)
    waiting = replace(done.again(done.created_at_ms), id="msg_waiting", sequence=done.sequence + 1)
    # As earlier releases kept them: all in one hash that never expires.
    client.delete(keys.delivery("ep_1", done.id))
    for one in (done, waiting):
        client.hset(keys.deliveries("ep_1"), one.id, json.dumps(one.to_dict()))
    client.zadd(keys.delivery_order("ep_1"), {"msg_waiting": waiting.sequence})
    client.zadd(keys.pending_deliveries("ep_1"), {"msg_waiting": waiting.sequence})
    assert deliveries(webhooks) == []
    with dispatching(settings):
        receiver.wait(2)
        eventually(lambda: statuses(webhooks) == ["delivered", "delivered"])
    assert not client.exists(keys.deliveries("ep_1"))
    assert [one.id for one in deliveries(webhooks)] == [done.id, "msg_waiting"]
    assert client.pttl(keys.delivery("ep_1", done.id)) > 0


def test_nothing_of_a_deleted_endpoint_is_kept(
    settings: Settings, moods: MoodStore, receiver: Receiver, webhooks: WebhookStore
) -> None:
    webhooks.add(endpoint(receiver.url()), 10)
    with dispatching(settings):
        publish(moods, changed=change(1))
        eventually(lambda: statuses(webhooks) == ["delivered"])
    assert webhooks.remove("ep_1")
    assert list(webhooks.connection.client.scan_iter(f"{webhooks.keys.webhooks}:ep_1:*")) == []
