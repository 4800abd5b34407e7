"""The aggregator's process against real servers: every window once, whichever process closes it."""

import json
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from aggregator.service import AggregatorStage
from crowdmood.bus.keys import StreamName
from crowdmood.bus.lease import Lease
from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Worker
from crowdmood.core import metrics
from crowdmood.core.settings import AggregatorSettings, BusSettings
from crowdmood.domain.messages import CameraState, CameraStateName, Emotions, FramesLost, Message
from crowdmood.domain.mood import Mood
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import START, MoodStore
from tests.crowds import seen

SETTINGS = AggregatorSettings(window_s=3, hop_s=1, min_faces=2, expose_individuals=True)
CAMERAS = {"north": True, "south": True}


def emotions(camera: str, frame_id: int, label: str = "happy", people: int = 5, *, recorded: bool = True) -> Emotions:
    return seen(camera, frame_id, [label] * people, every_ms=500, recorded=recorded)


def state(camera: str, name: CameraStateName, frames: int = 0, *, recorded: bool = True) -> CameraState:
    return CameraState(camera, "run-1", name, recorded, f"{camera}.mp4", "", frames, 1_000)


def footage(frames: int = 40) -> list[tuple[StreamName, Message]]:
    labels = ["neutral"] * (frames // 2) + ["happy"] * (frames // 2)
    messages: list[tuple[StreamName, Message]] = [("control", state(camera, "opening")) for camera in CAMERAS]
    messages += [("emotions", emotions(camera, i, labels[i])) for i in range(frames) for camera in CAMERAS]
    return messages + [("control", state(camera, "ended", frames)) for camera in CAMERAS]


def drifting(frames: int = 40) -> list[tuple[StreamName, Message]]:
    """Two crowds of thirty, of whom one after the other becomes happy: published figures are held."""
    messages: list[tuple[StreamName, Message]] = [("control", state(camera, "opening")) for camera in CAMERAS]
    for i in range(frames):
        labels = ["happy"] * (i * 2 // 3) + ["neutral"] * 30
        messages += [("emotions", seen(camera, i, labels[:30], every_ms=500)) for camera in CAMERAS]
    return messages + [("control", state(camera, "ended", frames)) for camera in CAMERAS]


class Pipeline:
    """The two stores and aggregators on them."""

    def __init__(self, url: str, settings: BusSettings) -> None:
        self.url, self.settings = url, settings
        self.bus = Bus(url, settings)
        self.store = MoodStore(url, settings.key_prefix)
        self.now = [1_000.0]

    def aggregator(
        self,
        expected: dict[str, bool] | None = None,
        name: str = "one",
        clocks: Sequence[Any] = (),
        **more: object,
    ) -> Worker:
        store = MoodStore(self.url, self.settings.key_prefix)
        settings = SETTINGS.model_copy(update=more)
        cameras = CAMERAS if expected is None else expected
        lease = Lease(store.connection, StateKeys(self.settings.key_prefix).leader(), "aggregators", 60)
        assert lease.acquire()
        stage = AggregatorStage(store, lease, settings, "run-1", cameras, clocks=clocks, clock=lambda: self.now[0])
        return Worker(stage, self.bus, self.settings, name, threading.Event())

    def moods(self, camera: str | None = None) -> list[Mood]:
        return [mood for _, mood in self.store.since(START, 100_000)[1] if mood.camera == camera]


@pytest.fixture
def pipeline(server_url: str, bus_settings: BusSettings) -> Iterator[Pipeline]:
    yield Pipeline(server_url, bus_settings)


def publish(pipeline: Pipeline, messages: Sequence[tuple[StreamName, Message]]) -> None:
    pipeline.bus.publish(messages)


def test_footage_becomes_moods_and_nothing_is_left_on_the_bus(pipeline: Pipeline) -> None:
    publish(pipeline, footage())
    pipeline.aggregator().run(drain=True)
    moods = pipeline.moods()
    assert [mood.as_of_ms for mood in moods] == [1000 * second for second in range(1, 21)]
    assert [moods[0].dominant, moods[-1].dominant] == ["neutral", "happy"]
    assert {mood.people for mood in moods} == {10}
    assert moods[-1].ended()
    assert not any(mood.ended() for mood in moods[:-1])
    assert {mood.camera for _, mood in pipeline.store.since(START, 100_000)[1]} == {None, "north", "south"}
    table = pipeline.store.cameras()
    assert [(row["state"], row["frames"], row["faces"], row["frame_count"]) for row in table.values()] == [
        ("ended", 40, 200, 40)
    ] * 2
    assert (pipeline.bus.backlog("emotions"), pipeline.bus.backlog("control")) == (0, 0)


POISON: dict[str, dict[bytes, bytes]] = {
    "NaN": {b"probabilities": np.full((5, 8), np.nan, "<f2").tobytes()},
    "infinite": {b"quality": np.full(5, np.inf, "<f2").tobytes()},
    "in doubt of nothing": {b"probabilities": np.ones((5, 8), "<f2").tobytes()},
    "a box without end": {b"boxes": np.full((5, 4), [0, 0, 2**31 - 1, 9], "<i4").tobytes()},
    "the year 300000": {b"captured_at_ms": b"9" * 16},
    "cut off": {b"readable": b""},
    "no camera": {b"camera_id": b"\xff"},
    "two thousand million frames ahead": {b"frame_id": b"2000000000"},
}


@pytest.mark.parametrize("poison", POISON)
def test_a_poisoned_entry_becomes_a_dead_letter_without_pixels_and_moods_go_on(pipeline: Pipeline, poison: str) -> None:
    messages = footage(20)
    publish(pipeline, messages[:20])
    key = pipeline.bus.keys.stream("emotions")
    north = next(m for name, m in messages if isinstance(m, Emotions) and m.ref.frame_id == 18)
    pipeline.bus.connection.client.xadd(key, north.to_fields() | POISON[poison])
    publish(pipeline, [entry for entry in messages[20:] if entry[1] is not north])
    # Without the identity of its frame, nothing says that this frame is lost: it is published by its camera again.
    if poison in ("the year 300000", "no camera", "two thousand million frames ahead"):
        publish(pipeline, [("emotions", north)])
    before = metrics.DEAD_LETTERS.labels("aggregator", "out_of_range")._value.get()
    for life in ("first", "second"):
        pipeline.aggregator(name=life).run(drain=True)
    assert [mood.as_of_ms for mood in pipeline.moods()] == [1000 * second for second in range(1, 11)]
    assert pipeline.bus.backlog("emotions") == 0
    ((_, letter),) = pipeline.bus.connection.client.xrange(pipeline.bus.keys.stream("dead"))
    assert letter[b"stage"] == b"aggregator"
    assert not {b"boxes", b"probabilities", b"quality", b"readable"} & letter.keys()
    if letter[b"reason"] == b"out_of_range":
        assert metrics.DEAD_LETTERS.labels("aggregator", "out_of_range")._value.get() == before + 1
    rows = pipeline.store.cameras()
    assert rows["south"]["frames"] == 20
    assert rows["north"]["frames"] + sum(rows["north"]["lost"].values()) == rows["north"]["accepted"] == 20


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("exposed", [False, True])
def test_moods_are_the_same_bytes_in_any_order_twice_delivered_and_through_crashes(
    pipeline: Pipeline, server_url: str, bus_settings: BusSettings, seed: int, exposed: bool
) -> None:
    footage = drifting
    more = {"min_faces": 20, "expose_individuals": exposed}
    undisturbed = Pipeline(server_url, bus_settings.model_copy(update={"key_prefix": f"{bus_settings.key_prefix}-u"}))
    publish(undisturbed, footage())
    undisturbed.aggregator(**more).run(drain=True)
    shares = [mood.shares for mood in undisturbed.moods()]
    assert sum(one != other for one, other in pairwise(shares)) in (range(15, 20) if exposed else range(3, 9))
    expected = [mood.to_json() for _, mood in undisturbed.store.since(START, 100_000)[1]]

    chance = random.Random(seed)
    messages = footage()
    frames = messages[2:] + chance.sample(messages[2:-2], 10)  # at least once: some come twice
    chance.shuffle(frames)
    publish(pipeline, messages[:2])
    for life in range(len(frames)):
        arriving = chance.randrange(1, 12)
        publish(pipeline, frames[:arriving])
        del frames[:arriving]
        # Each life polls a little and ends without a word, as kill -9 does.
        aggregator = pipeline.aggregator(name=f"life-{life}", **more)
        aggregator.start()
        for _ in range(chance.randrange(1, 4)):
            aggregator.poll(block_ms=1)
        if not frames:
            break
    pipeline.aggregator(name="last", **more).run(drain=True)
    assert [mood.to_json() for _, mood in pipeline.store.since(START, 100_000)[1]] == expected
    assert [row["frames"] for row in pipeline.store.cameras().values()] == [40, 40]


@pytest.mark.parametrize("dies", [False, True])
def test_after_the_bus_was_emptied_the_frames_from_the_first_needed_one_on_are_enough(
    pipeline: Pipeline, server_url: str, bus_settings: BusSettings, dies: bool
) -> None:
    undisturbed = Pipeline(server_url, bus_settings.model_copy(update={"key_prefix": f"{bus_settings.key_prefix}-u"}))
    publish(undisturbed, footage())
    undisturbed.aggregator().run(drain=True)

    messages = footage()
    publish(pipeline, messages[:2] + [m for m in messages if isinstance(m[1], Emotions) and m[1].ref.frame_id < 20])
    aggregator = pipeline.aggregator()
    aggregator.start()
    while aggregator.poll(block_ms=1):
        pass
    needed = {camera: pipeline.bus.needed(camera, "run-1") for camera in CAMERAS}
    # 20 frames are 10 s of which windows of 3 s may need the last, and those after the last whole second.
    assert needed == {"north": 14, "south": 14}
    pipeline.bus.connection.call(lambda client: client.delete(*client.keys(f"{bus_settings.key_prefix}:{{p0}}:*")))
    if dies:
        aggregator = pipeline.aggregator(name="another")
        aggregator.start()
    again = [m for m in messages if not isinstance(m[1], Emotions) or m[1].ref.frame_id >= needed[m[1].ref.camera_id]]
    publish(pipeline, again)
    aggregator.loop(drain=True)
    assert [mood.to_json() for mood in pipeline.moods()] == [mood.to_json() for mood in undisturbed.moods()]
    assert [row["frames"] for row in pipeline.store.cameras().values()] == [40, 40]


def test_frames_with_few_faces_add_none_to_the_counts(pipeline: Pipeline) -> None:
    messages = [m for m in footage(8) if not isinstance(m[1], Emotions)]
    numbers = [0, 1, 5, 9, 10, 12, 9, 0]
    frames = [("emotions", emotions(camera, i, people=n)) for i, n in enumerate(numbers) for camera in CAMERAS]
    publish(pipeline, [*messages[:2], *frames, *messages[2:]])
    pipeline.aggregator(min_faces=10, min_quality=1.1).run(drain=True)
    for row in pipeline.store.cameras().values():
        assert (row["frames"], row["faces"], row["unfit"]["poor"]) == (8, 22, 22)


def test_a_lost_frame_is_accounted_for_and_windows_go_on(pipeline: Pipeline) -> None:
    messages = [m for m in footage(8) if not (isinstance(m[1], Emotions) and m[1].ref == emotions("north", 3).ref)]
    publish(pipeline, [*messages, ("control", FramesLost("north", "run-1", 3, 3, "undecodable"))])
    pipeline.aggregator().run(drain=True)
    assert len(pipeline.moods()) == 4
    north = pipeline.store.cameras()["north"]
    assert (north["frames"], north["lost"], north["frame_count"]) == (7, {"undecodable": 1}, 8)


def test_frames_without_faces_say_that_the_camera_saw_no_one(pipeline: Pipeline) -> None:
    publish(pipeline, [("emotions", emotions("north", i, people=0)) for i in range(3)])
    publish(pipeline, [("control", state("north", "ended", 3))])
    pipeline.aggregator({"north": True}).run(drain=True)
    assert [mood.status for mood in pipeline.moods()] == ["insufficient", "insufficient"]
    assert pipeline.moods("north")[0].people is None


def test_silence_of_every_live_camera_is_said_once_as_stale(pipeline: Pipeline) -> None:
    aggregator = pipeline.aggregator({"north": False}, stale_after_s=10)
    publish(pipeline, [("control", state("north", "live", recorded=False))])
    publish(pipeline, [("emotions", emotions("north", i, recorded=False)) for i in range(4)])
    aggregator.start()
    aggregator.poll(block_ms=1)
    assert [mood.status for mood in pipeline.moods()] == ["ok"]
    for pipeline.now[0] in (1_009.0, 1_011.0, 1_030.0):
        aggregator.poll(block_ms=1)
    assert [(mood.status, mood.as_of_ms, mood.people) for mood in pipeline.moods()] == [
        ("ok", 1000, 10 // 2),
        ("stale", 1000, None),
    ]


class ServerClock:
    """The clock of the bus server, which a test sets."""

    def __init__(self, now_ms: int) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms


@pytest.mark.parametrize("ahead_ms", [4_000, 8_000, 30_000, 3_600_000])
def test_camera_whose_clock_is_ahead_counts_at_its_arrival_and_makes_no_other_late(
    pipeline: Pipeline, ahead_ms: int
) -> None:
    clock = ServerClock(0)
    aggregator = pipeline.aggregator({"north": False, "south": False}, clocks=[clock])
    for camera in ("north", "south"):
        publish(pipeline, [("control", state(camera, "live", recorded=False))])
    aggregator.start()
    for second in range(20):
        clock.ms = 1_000 * second
        pipeline.now[0] += 1
        for camera, at_ms in (("north", clock.ms + ahead_ms), ("south", clock.ms)):
            frame = emotions(camera, second, recorded=False)
            publish(pipeline, [("emotions", replace(frame, ref=replace(frame.ref, captured_at_ms=at_ms)))])
        aggregator.poll(block_ms=1)
    table = pipeline.store.cameras()
    assert [(row["frames"], row["late"], row["accepted"]) for row in table.values()] == [(20, 0, 20)] * 2
    moods = pipeline.moods()
    assert [mood.as_of_ms for mood in moods] == [1000 * second for second in range(1, 20)]
    assert moods[-1].people == 10
    assert metrics.FRAMES_AHEAD.labels("north")._value.get() > 0


def test_checkpoint_of_a_clock_that_was_an_hour_ahead_costs_one_window(pipeline: Pipeline) -> None:
    hour_ms = 3_600_000
    clock = ServerClock(hour_ms)
    first = pipeline.aggregator({"north": False}, clocks=[clock])
    first.start()
    for number in range(8):
        frame = emotions("north", number, recorded=False)
        publish(pipeline, [("emotions", replace(frame, ref=replace(frame.ref, captured_at_ms=hour_ms + 500 * number)))])
        clock.ms = hour_ms + 500 * number
        first.poll(block_ms=1)
    assert pipeline.moods()[-1].as_of_ms == hour_ms + 3_000
    clock.ms = 10_000  # the clock is right again
    second = pipeline.aggregator({"north": False}, name="two", clocks=[clock])
    second.start()
    for number in range(8, 20):
        frame = emotions("north", number, recorded=False)
        publish(pipeline, [("emotions", replace(frame, ref=replace(frame.ref, captured_at_ms=clock.ms)))])
        second.poll(block_ms=1)
        clock.ms += 500
    moods = pipeline.moods()
    assert [mood.as_of_ms for mood in moods][-5:] == [11_000, 12_000, 13_000, 14_000, 15_000]
    assert pipeline.store.cameras()["north"]["late"] == 0


def test_recorded_footage_that_waits_does_not_grow_stale(pipeline: Pipeline) -> None:
    aggregator = pipeline.aggregator({"north": True})
    publish(pipeline, [("control", state("north", "opening"))])
    publish(pipeline, [("emotions", emotions("north", i)) for i in range(4)])
    aggregator.start()
    aggregator.poll(block_ms=1)
    pipeline.now[0] += 3600
    aggregator.poll(block_ms=1)
    assert [mood.status for mood in pipeline.moods()] == ["ok"]


def test_a_bus_that_delivers_everything_again_after_an_outage_changes_nothing(pipeline: Pipeline) -> None:
    messages = footage(20)
    publish(pipeline, messages[:25])
    aggregator = pipeline.aggregator()
    aggregator.start()
    aggregator.poll(block_ms=1)
    before = pipeline.bus.backlog("emotions")
    pipeline.bus.connection.outages += 1
    for _ in range(3):
        aggregator.poll(block_ms=1)
    assert pipeline.bus.backlog("emotions") == before
    publish(pipeline, messages[25:])
    aggregator.loop(drain=True)
    assert [mood.as_of_ms for mood in pipeline.moods()] == [1000 * second for second in range(1, 11)]
    assert [row["duplicates"] for row in pipeline.store.cameras().values()] == [0, 0]


@pytest.mark.parametrize("recorded", [True, False])
def test_a_removed_camera_is_neither_waited_for_nor_published(pipeline: Pipeline, *, recorded: bool) -> None:
    both, until = {"north": recorded, "south": recorded}, 20
    publish(pipeline, [("control", state(camera, "live", recorded=recorded)) for camera in both])
    publish(pipeline, [("emotions", emotions(name, i, recorded=recorded)) for i in range(until) for name in both])
    first = pipeline.aggregator(both)
    first.start()
    while first.poll(block_ms=1):
        pass
    assert (pipeline.moods()[-1].as_of_ms, list(pipeline.store.cameras())) == (9_000, ["north", "south"])

    # What north still had on its way comes through; no more is said of it.
    publish(pipeline, [("emotions", emotions("north", until, recorded=recorded))])
    publish(pipeline, [("emotions", emotions("south", i, recorded=recorded)) for i in range(until, 2 * until)])
    second = pipeline.aggregator({"south": recorded}, name="two")
    second.start()
    while second.poll(block_ms=1):
        pass
    moods = pipeline.moods()
    assert [mood.as_of_ms for mood in moods] == [1000 * second for second in range(1, 20)]
    assert moods[9].cameras == {"north": "live", "south": "live"}
    assert moods[-1].cameras == {"south": "live"}
    assert {mood.people for mood in moods} == {5, 10}
    assert list(pipeline.store.cameras()) == ["south"]


def test_who_led_before_is_forgotten_and_loses_nothing(pipeline: Pipeline) -> None:
    messages = footage()
    for number in range(4):
        publish(pipeline, messages[:20])
        del messages[:20]
        leader = pipeline.aggregator(name=f"leader-{number}")
        leader.start()
        while leader.poll(block_ms=1):
            pass
    client, keys = pipeline.bus.connection.client, pipeline.bus.keys
    names = {
        stream: [row["name"] for row in client.xinfo_consumers(keys.stream(stream), "aggregator")]
        for stream in ("emotions", "control")
    }
    assert names == {"emotions": [b"leader-3"], "control": [b"leader-3"]}

    # One that led before and knows nothing of it reads on: what it took is taken over, and it is forgotten again.
    publish(pipeline, messages[:2])
    client.xreadgroup("aggregator", "leader-0", {keys.stream("emotions"): ">"})
    publish(pipeline, messages[2:])
    pipeline.now[0] += 5
    leader.loop(drain=True)
    assert [mood.as_of_ms for mood in pipeline.moods()] == [1000 * second for second in range(1, 21)]
    assert [row["frames"] for row in pipeline.store.cameras().values()] == [40, 40]
    assert [row["name"] for row in client.xinfo_consumers(keys.stream("emotions"), "aggregator")] == [b"leader-3"]


class LaggingLease(Lease):
    """A lease whose writes reach the disk when a test says so."""

    on_disk = 0

    @property
    def durable_writes(self) -> int:
        return self.on_disk


def test_entries_stay_until_the_checkpoint_that_covers_them_is_durable(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "Lease", LaggingLease)
    publish(pipeline, footage())
    aggregator = pipeline.aggregator()
    aggregator.start()
    while aggregator.poll(block_ms=1):
        pass
    moods = pipeline.moods()
    assert len(moods) == 20
    assert pipeline.bus.backlog("emotions") == 80
    LaggingLease.on_disk = 1_000
    aggregator.poll(block_ms=1)
    assert pipeline.bus.backlog("emotions") == 0
    LaggingLease.on_disk = 0


@pytest.mark.parametrize("recorded", [True, False])
def test_older_checkpoint_asks_for_its_frames_and_repeats_no_sequence(pipeline: Pipeline, *, recorded: bool) -> None:
    cameras = dict.fromkeys(CAMERAS, recorded)
    messages = [("emotions", emotions(name, i, recorded=recorded)) for i in range(40) for name in CAMERAS]
    first = pipeline.aggregator(cameras)
    first.start()
    client = pipeline.store.connection.client
    checkpoint = StateKeys(pipeline.settings.key_prefix).checkpoint("run-1")
    publish(pipeline, messages[:20])  # type: ignore[arg-type]
    while first.poll(block_ms=1):
        pass
    older = client.get(checkpoint)
    publish(pipeline, messages[20:])  # type: ignore[arg-type]
    while first.poll(block_ms=1):
        pass
    assert json.loads(older)["changes"]["stadium"]["sequence"] == 0
    needed = [pipeline.bus.needed(name, "run-1") for name in CAMERAS]
    client.set(checkpoint, older)  # a power cut, or a failover to a replica that lags

    second = pipeline.aggregator(cameras, name="two")
    second.start()
    second.poll(block_ms=1)
    if recorded:
        asked = [pipeline.bus.needed(name, "run-1") for name in CAMERAS]
        assert all(again < before for again, before in zip(asked, needed, strict=True))
    publish(pipeline, [("emotions", emotions("north", i, recorded=recorded)) for i in range(40, 44)])
    second.poll(block_ms=1)
    pipeline.now[0] += 5
    second.poll(block_ms=1)
    sequence = json.loads(client.get(checkpoint))["changes"]["stadium"]["sequence"]
    assert sequence == (0 if recorded else 1000)


def test_takeover_with_the_newest_checkpoint_goes_on_with_the_next_sequence(pipeline: Pipeline) -> None:
    cameras = dict.fromkeys(CAMERAS, False)
    for number in range(2):
        frames = range(number * 10, number * 10 + 10)
        publish(pipeline, [("emotions", emotions(name, i, recorded=False)) for i in frames for name in CAMERAS])
        leader = pipeline.aggregator(cameras, name=f"leader-{number}")
        leader.start()
        while leader.poll(block_ms=1):
            pass
    stored = pipeline.store.checkpoint("run-1")
    assert stored is not None
    assert stored["changes"]["stadium"]["sequence"] == 0
