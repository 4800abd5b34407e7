"""Single photos as an attacker would use them: off, for few keys, seldom, small, and after every camera's frame."""

import io
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import numpy as np
import pytest
from PIL import Image

from api.photos import PhotoDesk
from crowdmood.bus.inbox import Inbox
from crowdmood.bus.streams import Bus, Entry
from crowdmood.bus.worker import Worker
from crowdmood.core.settings import BusSettings, CameraSettings, Settings, load
from crowdmood.domain.messages import PHOTO_CAMERA, Faces, Frame, FrameRef
from crowdmood.store.api_keys import SCOPES, ApiKey, ApiKeyStore
from detector.finder import load_finder
from detector.service import DetectorStage
from ingest.cameras import FrameCounts, IngestRun
from ingest.live_publisher import LivePublisher
from tests.serving import Running, ready, running
from tests.waiting import eventually


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    return load(bus_url=server_url, state_url=server_url, bus=bus_settings.model_dump(), api={"port": 0})


@pytest.fixture
def keys(server_url: str, bus_settings: BusSettings) -> Iterator[dict[str, str]]:
    """A key for each scope."""
    made = {}
    with closing(ApiKeyStore(server_url, bus_settings.key_prefix)) as store:
        for scope in SCOPES:
            made[scope], key = ApiKey.make(scope, scope, round(time.time() * 1000), None)
            store.add(key)
    yield made


def with_photos(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"api": settings.api.model_copy(update={"predict": True} | changes)})


def photo(width: int = 64, height: int = 48, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, kind)
    return out.getvalue()


def post(api: Running, body: bytes, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{api.url}/predict", content=body, headers=headers, timeout=20)


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]


def test_photos_are_off_unless_turned_on(settings: Settings, bus: Bus) -> None:
    with ready(settings) as api:
        answer = post(api, photo())
        assert problem(answer) == (409, "/problems/photos-off")
        assert "CROWDMOOD_API__PREDICT=true" in answer.json()["detail"]
        assert httpx.get(f"{api.url}/display").json()["photos"]["on"] is False
    assert not bus.connection.client.exists(bus.keys.stream("photos"))


def test_needs_a_scope_of_its_own(settings: Settings, keys: dict[str, str]) -> None:
    with running(with_photos(settings)) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200, keys["read"])
        assert problem(post(api, photo())) == (401, "/problems/unauthorized")
        for scope in ("read", "manage", "audit"):
            assert problem(post(api, photo(), keys[scope])) == (403, "/problems/forbidden")
        assert problem(post(api, photo(), keys["predict"])) == (503, "/problems/no-worker")  # allowed, and no worker
        for path in ("/mood", "/cameras", "/webhooks", "/keys"):
            assert api.get(path, keys["predict"]).status_code == 403, path


def test_each_client_has_a_quota(settings: Settings, keys: dict[str, str], bus_settings: BusSettings) -> None:
    with running(with_photos(settings, photos_per_minute=12)) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200, keys["read"])
        answers = [post(api, photo(), keys["predict"]) for _ in range(6)]
        assert [answer.status_code for answer in answers[:2]] == [503, 503]
        late = answers[-1]
        assert problem(late) == (429, "/problems/photo-quota")
        assert 1 <= int(late.headers["retry-after"]) <= 5
        assert api.get("/mood", keys["read"]).status_code == 200  # whose own limit is untouched


def test_takes_four_megapixels_at_most(settings: Settings) -> None:
    with ready(with_photos(settings)) as api:
        answer = post(api, photo(2001, 2000))
        assert problem(answer) == (413, "/problems/too-many-pixels")
        assert answer.json()["detail"] == "2001x2000; at most 4 megapixels"
        assert problem(post(api, photo(2000, 2000))) == (503, "/problems/no-worker")
    small = settings.ingest.model_copy(update={"max_frame_megapixels": 1.0})
    with ready(with_photos(settings.model_copy(update={"ingest": small}))) as api:
        assert post(api, photo(1001, 1000)).json()["detail"] == "1001x1000; at most 1 megapixels"


def test_a_photo_waits_until_no_camera_s_frame_does(settings: Settings, bus: Bus) -> None:
    out = io.BytesIO()
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(out, "JPEG")
    bus.publish([("frames", Frame(ref_of(PHOTO_CAMERA, 0), out.getvalue()))])
    bus.publish(("frames", Frame(ref_of("north", frame_id), out.getvalue())) for frame_id in range(5))
    worker = Worker(DetectorStage(load_finder(settings), {}), bus, settings.bus, "one", threading.Event())
    for done in range(5):
        assert (bus.backlog("faces"), bus.backlog("photo_faces"), bus.backlog("photos")) == (done, 0, 1)
        worker.poll(0)
    worker.poll(0)
    assert (bus.backlog("faces"), bus.backlog("photo_faces"), bus.backlog("photos")) == (5, 1, 0)


def test_a_photo_takes_no_room_from_a_live_camera(settings: Settings, bus: Bus) -> None:
    for stage in ("detector", "classifier"):
        bus.beat(stage, "one", 60)
    camera = CameraSettings(id="north", uri="rtsp://camera.example")  # type: ignore[arg-type]
    crowded = settings.bus.model_copy(update={"max_backlog": 1})
    publisher = LivePublisher(IngestRun(camera, "run"), bus, crowded, FrameCounts())
    with ready(with_photos(settings)) as api, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, api, photo())
        eventually(lambda: bus.backlog("photos"))
        publisher.publish(Frame(ref_of("north", 0), b"jpeg"))
        assert (bus.backlog("frames"), bus.backlog("control")) == (1, 0)
        assert asked.result().json()["detail"] == "no detector finished it within 5 s"
    assert bus.backlog("frames") == 1


def test_the_faces_of_a_photo_wait_as_well(settings: Settings, bus: Bus) -> None:
    inbox = Inbox(bus, ["faces"], "classifier", "one", settings.bus, background=["photo_faces"])
    bus.publish([("faces", no_faces(PHOTO_CAMERA))])
    bus.publish([("faces", no_faces("north"))])
    assert [entry.stream for entry in inbox.read(1, 0)] == ["faces"]
    assert [entry.stream for entry in inbox.read(1, 0)] == ["photo_faces"]
    assert inbox.read(1, 0) == []


class LateFrame(Inbox):
    """An inbox that sees the first frame only when it looks at both streams: both come in one reply."""

    looked = False

    def _read_new(self, keys: Iterable[bytes], count: int, block_ms: int) -> list[Entry]:
        if list(keys) == self._first and not self.looked:
            self.looked = True
            return []
        return super()._read_new(keys, count, block_ms)


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_photo_that_came_with_a_frame_is_postponed_and_left_when_it_was_withdrawn(
    settings: Settings, bus: Bus, *, withdrawn: bool
) -> None:
    inbox = LateFrame(bus, ["frames"], "detector", "one", settings.bus, background=["photos"])
    both = [Frame(ref_of(camera, 0), b"jpeg") for camera in (PHOTO_CAMERA, "north")]
    bus.publish(("frames", frame) for frame in both)
    assert [entry.stream for entry in inbox.read(1, 0)] == ["frames"]
    if withdrawn:
        bus.connection.client.xtrim(bus.keys.stream("photos"), maxlen=0)
    assert [entry.stream for entry in inbox.read(1, 0)] == ([] if withdrawn else ["photos"])
    pending = bus.connection.client.xpending(bus.keys.stream("photos"), "detector")["pending"]
    assert pending == (0 if withdrawn else 1)


def test_photos_and_what_comes_of_them_expire_although_no_worker_runs(settings: Settings, bus: Bus) -> None:
    for stage in ("detector", "classifier"):
        bus.beat(stage, "one", 60)
    asked = threading.Thread(target=lambda: post(api, photo()))
    with ready(with_photos(settings)) as api:
        asked.start()
        deadline = time.monotonic() + 10
        while not (left_ms := bus.connection.client.pttl(bus.keys.stream("photos"))) > 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert left_ms <= 10_000
        asked.join()
    bus.publish([("faces", no_faces(PHOTO_CAMERA))])
    assert 0 < bus.connection.client.pttl(bus.keys.stream("photo_faces")) <= 10_000


def test_workers_go_on_when_a_photo_s_stream_expires_under_them(settings: Settings, bus: Bus) -> None:
    inbox = Inbox(bus, ["frames"], "detector", "one", settings.bus, background=["photos"])
    assert inbox.read(1, 0) == []
    gone = threading.Timer(0.2, lambda: bus.connection.client.delete(bus.keys.stream("photos")))
    gone.start()
    inbox.read(1, 1000)  # the server ends the wait
    gone.join()
    bus.publish([("frames", Frame(ref_of("north", 0), b"jpeg"))])
    assert [entry.stream for entry in inbox.read(1, 1000)] == ["frames"]


def test_few_photos_are_in_hand_at_once(settings: Settings, bus: Bus) -> None:
    for stage in ("detector", "classifier"):
        bus.beat(stage, "one", 60)
    answers: list[httpx.Response] = []
    with ready(with_photos(settings)) as api:
        threads = [threading.Thread(target=lambda: answers.append(post(api, photo()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    details = sorted(answer.json()["detail"] for answer in answers)
    assert details == ["no detector finished it within 5 s"] * 2 + ["too many photos are in progress"] * 2


def test_the_smaller_bound_of_both_holds() -> None:
    assert PhotoDesk(None, 50, 30).max_megapixels == 4
    assert PhotoDesk(None, 2, 30).max_megapixels == 2


def ref_of(camera: str, frame_id: int) -> FrameRef:
    photo = uuid.uuid4().hex if camera == PHOTO_CAMERA else ""
    return FrameRef(camera, photo or "run", frame_id, 0, 64, 48, recorded=False, reply_to=photo)


def no_faces(camera: str) -> Faces:
    no_boxes = np.empty((0, 4), np.int32)
    return Faces(ref_of(camera, 0), no_boxes, np.empty(0, np.float32), np.empty((0, 48, 48), np.uint8), "haar")
