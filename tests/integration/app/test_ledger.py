"""The ledger of frames against real servers: frames under way are on the bus; others are missing."""

import json
import threading
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from aggregator.service import AggregatorStage
from app import ledger
from app.cli import app
from app.ledger import LedgerRow
from crowdmood.bus.keys import StreamName
from crowdmood.bus.lease import Lease
from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import AggregatorSettings, BusSettings, Settings, load, to_environment
from crowdmood.domain.messages import CameraState, Emotions, Frame, FramesLost, Message
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import MoodStore
from tests.crowds import seen

FRAMES = 40


def emotions(frame_id: int, camera: str = "north", *, recorded: bool = True) -> Emotions:
    return seen(camera, frame_id, ["happy"] * 5, every_ms=500, recorded=recorded)


def ended(camera: str = "north", *, recorded: bool = True) -> CameraState:
    return CameraState(camera, "run-1", "ended", recorded, f"{camera}.mp4", "", FRAMES, 1_000)


class Installation:
    """A bus with the frames of ingest, and an aggregator."""

    def __init__(self, url: str, bus: BusSettings, **more: object) -> None:
        self.settings: Settings = load(bus_url=url, state_url=url, bus=bus.model_dump(), **more)
        self.bus = Bus(url, bus)
        store = MoodStore(url, bus.key_prefix)
        lease = Lease(store.connection, StateKeys(bus.key_prefix).leader(), "aggregator", 60)
        assert lease.acquire()
        settings, self.now_s = AggregatorSettings(window_s=3), 0
        stage = AggregatorStage(store, lease, settings, "run-1", {}, clock=lambda: self.now_s)
        self.aggregator = Worker(stage, self.bus, bus, "aggregator", threading.Event())
        self.aggregator.start()

    def publish(self, *messages: tuple[StreamName, Message], numbered: int = FRAMES, camera: str = "north") -> None:
        """Publish messages; ingest has numbered this many frames so far."""
        self.bus.publish(messages, cursors={camera: ("run-1", numbered - 1)})

    def aggregate(self) -> None:
        """Let the aggregator count the published messages and write its checkpoint."""
        for _ in range(3):
            self.now_s += 1
            self.aggregator.poll(block_ms=1)

    def delete(self, stream: StreamName, frame_id: int) -> None:
        """Delete the entry of a frame of camera north."""
        client, key = self.bus.connection.client, self.bus.keys.stream(stream)
        wanted = {b"camera_id": b"north", b"frame_id": b"%d" % frame_id}
        (entry,) = (entry for entry, fields in client.xrange(key) if wanted.items() <= fields.items())
        client.xdel(key, entry)

    def rows(self) -> dict[str, LedgerRow]:
        return {row.camera: row for row in ledger.read(self.settings)}

    def command(self, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
        """Run `crowdmood ledger`."""
        for variable, value in to_environment(self.settings).items():
            monkeypatch.setenv(variable, value)
        return CliRunner().invoke(app, ["ledger", *words])


@pytest.fixture
def installed(
    server_url: str, bus_settings: BusSettings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Installation]:
    monkeypatch.setattr(ledger, "RETRY_EVERY_S", 0.01)
    return lambda **more: Installation(server_url, bus_settings, **more)


def test_frames_are_under_way_on_the_bus_and_in_the_hands_of_a_worker(installed: Callable[..., Installation]) -> None:
    it = installed()
    frames = [Frame(emotions(number).ref, b"jpeg") for number in range(FRAMES)]
    it.publish(*(("frames", frame) for frame in frames))
    assert it.rows() == {"north": LedgerRow("north", FRAMES, 0, under_way=FRAMES)}
    client, keys = it.bus.connection.client, it.bus.keys
    client.xgroup_create(keys.stream("frames"), "detector", "0")
    client.xreadgroup("detector", "one", {keys.stream("frames"): ">"}, count=10)
    assert it.rows()["north"].balance == 0


def test_counted_and_lost_frames_balance_while_others_are_under_way(
    installed: Callable[..., Installation],
) -> None:
    it = installed()
    for number in range(20):
        it.publish(("emotions", emotions(number)), numbered=number + 1)
    it.publish(("control", FramesLost("north", "run-1", 20, 21, "undecodable")), numbered=22)
    assert it.rows()["north"].balance == 0
    it.aggregate()
    assert it.rows() == {"north": LedgerRow("north", 22, 20, 0, {"undecodable": 2}, 0)}
    # Frames 24 and 25 are counted; 22 and 23 are still in the stream of faces.
    it.publish(*(("emotions", emotions(number)) for number in (24, 25)), numbered=24)
    it.publish(*(("faces", Frame(emotions(number).ref, b"jpeg")) for number in (22, 23)), numbered=26)
    it.aggregate()
    assert it.rows() == {"north": LedgerRow("north", 26, 22, 0, {"undecodable": 2}, 2)}


@pytest.mark.parametrize("gone", [0, 17, FRAMES - 1])
def test_a_frame_deleted_from_the_bus_unbalances_its_camera(
    installed: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch, gone: int
) -> None:
    it = installed()
    it.publish(*(("emotions", emotions(number)) for number in range(FRAMES)))
    it.publish(("control", ended()))
    for number in range(FRAMES):
        it.publish(("emotions", emotions(number, "south")), numbered=number + 1, camera="south")
    it.publish(("control", ended("south")), camera="south")
    it.delete("emotions", gone)
    it.aggregate()
    rows = it.rows()
    assert (rows["north"].counted, rows["north"].under_way, rows["north"].balance) == (FRAMES - 1, 0, 1)
    assert rows["south"] == LedgerRow("south", FRAMES, FRAMES)
    done = it.command(monkeypatch, "--json")
    assert done.exit_code == 1
    assert {row["camera"]: row["balance"] for row in json.loads(done.stdout)} == {"north": 1, "south": 0}


def test_frames_that_only_ingest_knows_are_missing(installed: Callable[..., Installation]) -> None:
    it = installed()
    it.publish(numbered=1000)
    assert it.rows() == {"north": LedgerRow("north", 1000, 0, under_way=0)}
    assert it.rows()["north"].balance == 1000


def test_frames_whose_loss_is_not_read_yet_are_under_way(installed: Callable[..., Installation]) -> None:
    it = installed()
    it.publish(("control", FramesLost("north", "run-1", 0, 9, "overload")), numbered=10)
    assert it.rows() == {"north": LedgerRow("north", 10, 0, under_way=10)}
    it.aggregate()
    assert it.rows() == {"north": LedgerRow("north", 10, 0, 0, {"overload": 10})}


def test_footage_that_is_read_again_after_the_bus_was_emptied_is_under_way(
    installed: Callable[..., Installation],
) -> None:
    it = installed()
    it.publish(*(("emotions", emotions(number)) for number in (0, 1, 2, 9)), numbered=10)
    it.aggregate()
    it.bus.connection.client.delete(it.bus.keys.cursors, it.bus.keys.stream("emotions"))
    assert it.rows() == {"north": LedgerRow("north", 10, 4, under_way=6)}
    it.publish(("frames", Frame(emotions(0).ref, b"jpeg")), numbered=1)
    assert it.rows() == {"north": LedgerRow("north", 10, 4, under_way=6)}


def test_a_gap_of_a_live_camera_is_under_way_and_then_lost_as_missing(installed: Callable[..., Installation]) -> None:
    it = installed()
    it.publish(*(("emotions", emotions(number, recorded=False)) for number in (0, 1, 3)), numbered=4)
    it.aggregate()
    assert it.rows() == {"north": LedgerRow("north", 4, 3, under_way=1)}
    it.publish(*(("emotions", emotions(number, recorded=False)) for number in range(4, 9)), numbered=9)
    it.aggregate()
    assert it.rows() == {"north": LedgerRow("north", 9, 8, 0, {"missing": 1})}


def test_ignores_a_camera_that_is_no_longer_configured(installed: Callable[..., Installation]) -> None:
    it = installed(cameras=[{"id": "south", "uri": "south.mp4"}])
    it.publish(numbered=10)
    assert it.rows() == {}
    it.publish(numbered=10, camera="south")
    assert it.rows()["south"].balance == 10
