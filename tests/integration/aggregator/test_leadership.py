"""Aggregators that lead and follow, as real processes: no death or pause loses a mood or publishes it twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from crowdmood.bus.keys import StreamName
from crowdmood.bus.streams import Bus
from crowdmood.core.settings import AggregatorSettings, BusSettings
from crowdmood.domain.messages import CameraState, Message
from crowdmood.store.moods import START, MoodStore
from tests.crowds import seen
from tests.waiting import eventually, seconds_until

LEASE_S = 1.0
CAMERAS = ("north", "south")
FRAMES = 100


class Match:
    """Footage of two cameras on its way to aggregators that are real processes."""

    def __init__(self, url: str, settings: BusSettings) -> None:
        self.url, self.settings = url, settings
        self.bus, self.store = Bus(url, settings), MoodStore(url, settings.key_prefix)
        self.processes: list[subprocess.Popen[str]] = []
        self._sent = 0
        self.bus.publish([("control", self._state(camera, "opening")) for camera in CAMERAS])

    def start(self, name: str, **more: str) -> subprocess.Popen[str]:
        environment = os.environ | {
            "CROWDMOOD_BUS_URL": self.url,
            "CROWDMOOD_STATE_URL": self.url,
            "CROWDMOOD_BUS__KEY_PREFIX": self.settings.key_prefix,
            "CROWDMOOD_RUN_ID": "run-1",
            "CROWDMOOD_CAMERAS": json.dumps([{"id": camera, "uri": f"{camera}.mp4"} for camera in CAMERAS]),
            "CROWDMOOD_AGGREGATOR__LEASE_S": str(LEASE_S),
            "CROWDMOOD_LOG__FORMAT": "json",
            **more,
        }
        command = [sys.executable, "-m", "app", "aggregate", "--name", name]
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def send(self, until: int, into: str = "") -> None:
        """The next frames of both cameras, and their end after the last; into the hands of a consumer, where named."""
        messages: list[tuple[StreamName, Message]] = []
        for number in range(self._sent, until):
            label = "neutral" if number < FRAMES // 2 else "happy"
            messages += [("emotions", seen(camera, number, [label] * 30, every_ms=500)) for camera in CAMERAS]
        self._sent = until
        if until == FRAMES:
            messages += [("control", self._state(camera, "ended", FRAMES)) for camera in CAMERAS]
        with self.bus.connection.client.pipeline(transaction=True) as multi:
            for stream, message in messages:
                multi.xadd(self.bus.keys.stream(stream), message.to_fields())
            if into:
                multi.xreadgroup("aggregator", into, {self.bus.keys.stream("emotions"): ">"})
            multi.execute()

    def moods(self) -> list[str]:
        return [mood.to_json() for _, mood in self.store.since(START, 100_000)[1]]

    def changes(self) -> list[str]:
        return [change.to_json() for _, change in self.store.changes_since(START)[1]]

    def done(self) -> bool:
        return self.bus.backlog("emotions") == 0 and self.bus.backlog("control") == 0

    def roles(self) -> dict[str, str]:
        return self.bus.workers("aggregator")

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def _state(self, camera: str, name: str, frames: int = 0) -> CameraState:
        return CameraState(camera, "run-1", name, True, f"{camera}.mp4", "", frames, 1_000)  # type: ignore[arg-type]


@pytest.fixture
def match(server_url: str, bus_settings: BusSettings) -> Iterator[Match]:
    match = Match(server_url, bus_settings)
    yield match
    match.close()


@pytest.fixture(scope="module")
def undisturbed(server_url: str) -> tuple[list[str], list[str]]:
    """Moods and changes of a match that one aggregator follows from its beginning to its end."""
    match = Match(server_url, BusSettings(key_prefix="test-undisturbed"))
    match.send(FRAMES)
    match.start("only")
    eventually(match.done)
    match.close()
    moods, changes = match.moods(), match.changes()
    assert len(moods) == 3 * FRAMES // 2
    assert len(changes) == 1
    return moods, changes


def leader_and_standby(match: Match, lease_s: float = LEASE_S) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    more = {"CROWDMOOD_AGGREGATOR__LEASE_S": str(lease_s)}
    leader = match.start("one", **more)
    eventually(lambda: match.roles() == {"one": "leading"})
    standby = match.start("two", **more)
    eventually(lambda: match.roles() == {"one": "leading", "two": "standby"})
    return leader, standby


def test_a_standby_goes_on_when_the_leader_is_killed(match: Match, undisturbed: tuple[list[str], list[str]]) -> None:
    leader, standby = leader_and_standby(match, AggregatorSettings().lease_s)
    match.send(FRAMES // 2 + 9)
    eventually(lambda: len(match.moods()) > 3 * FRAMES // 8)
    eventually(lambda: match.bus.backlog("control") == 0)
    leader.kill()
    published = len(match.moods())
    match.send(FRAMES // 2 + 13)
    assert seconds_until(lambda: len(match.moods()) > published) < 5
    match.send(FRAMES)
    eventually(match.done)
    assert (match.moods(), match.changes()) == undisturbed
    standby.terminate()
    _, said = standby.communicate(timeout=60)
    assert standby.returncode == 0
    assert "standing by" in said
    assert "leading in term 2" in said


def test_a_leader_that_was_paused_stops_and_spoils_nothing(
    match: Match, undisturbed: tuple[list[str], list[str]]
) -> None:
    leader, standby = leader_and_standby(match)
    match.send(FRAMES // 4)
    eventually(lambda: len(match.moods()) > 3 * FRAMES // 16)
    leader.send_signal(signal.SIGSTOP)
    match.send(FRAMES // 2)  # some of it may have been on its way to who was stopped
    eventually(lambda: match.roles().get("two") == "leading")
    eventually(lambda: len(match.moods()) > 3 * FRAMES // 8)
    # What a leader may read before it knows that it was followed.
    match.send(FRAMES // 2 + 1, into="one-1")
    leader.send_signal(signal.SIGCONT)
    _, said = leader.communicate(timeout=60)
    assert leader.returncode == 4
    assert "another process leads, this one led in term 1" in said
    match.send(FRAMES)
    eventually(match.done)
    assert (match.moods(), match.changes()) == undisturbed
    assert standby.poll() is None


def test_a_stopped_leader_hands_over_at_once(match: Match, undisturbed: tuple[list[str], list[str]]) -> None:
    leader, standby = leader_and_standby(match, 60)
    match.send(FRAMES // 2)
    leader.terminate()
    assert seconds_until(lambda: match.roles() == {"two": "leading"}) < 5
    assert leader.wait(10) == 0
    match.send(FRAMES)
    eventually(match.done)
    assert (match.moods(), match.changes()) == undisturbed
    third = match.start("three")
    eventually(lambda: match.roles() == {"two": "leading", "three": "standby"})
    third.terminate()
    assert third.wait(10) == 0
    assert match.roles() == {"two": "leading"}
    assert standby.poll() is None


def test_a_supervisor_need_not_wait_for_the_lease_of_a_process_that_it_knows_is_dead(match: Match) -> None:
    supervised = {"CROWDMOOD_SUPERVISED": "one-supervisor", "CROWDMOOD_AGGREGATOR__LEASE_S": "60"}
    first = match.start("aggregate-0", **supervised)
    eventually(lambda: match.roles() == {"aggregate-0": "leading"})
    match.send(FRAMES // 2)
    eventually(lambda: len(match.moods()) > 0)
    first.kill()
    first.communicate()
    match.start("aggregate-0", **supervised)
    match.send(FRAMES)
    assert seconds_until(match.done) < 20
    assert len(match.moods()) == 3 * FRAMES // 2
