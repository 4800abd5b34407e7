"""Single photos, classified over a real bus by the cameras' workers; nothing of them is kept."""

import io
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

from aggregator import service as aggregator
from api import models, photos
from api.pictures import to_picture
from classifier import DEFAULT_MODEL
from classifier.engines import load_engine
from classifier.model_swap import ModelSwap
from classifier.service import ClassifierStage
from crowdmood.bus.inbox import Inbox
from crowdmood.bus.streams import Bus, DeadLetter
from crowdmood.bus.worker import Stage, Worker
from crowdmood.core.settings import BusSettings, CameraSettings, Settings, load, required_url
from crowdmood.domain.labels import LABELS
from crowdmood.domain.messages import PHOTO_CAMERA, CameraState, Faces, Frame, FrameRef
from crowdmood.store.model_choices import ModelChoices
from crowdmood.store.moods import MoodStore
from detector.finder import load_finder
from detector.regions import Region
from detector.service import DetectorStage
from tests.serving import Running, running
from tests.waiting import eventually

PHOTOS: dict[str, object] = {"port": 0, "predict": True, "photos_per_minute": 100_000}


@pytest.fixture(scope="module")
def settings(server_url: str) -> Settings:
    bus = BusSettings(key_prefix=f"photo-{uuid.uuid4().hex[:12]}")
    return load(bus_url=server_url, state_url=server_url, bus=bus.model_dump(), api=PHOTOS)


@contextmanager
def working(settings: Settings, *stages: Stage[object]) -> Iterator[None]:
    """Workers in threads, ready when this begins."""
    stop = threading.Event()
    watching = Bus(required_url(settings.bus_url, "bus"), settings.bus)
    with ThreadPoolExecutor(len(stages)) as pool:
        for stage in stages:
            bus = Bus(required_url(settings.bus_url, "bus"), settings.bus, stop)
            pool.submit(Worker(stage, bus, settings.bus, "one", stop).run)
        try:
            eventually(lambda: all(watching.healthy_workers(stage.name) for stage in stages), 60)
            yield
        finally:
            stop.set()
    watching.close()


@contextmanager
def patient() -> Iterator[None]:
    """Let photos wait longer for their answers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "ANSWER_WITHIN_S", 9.0)  # less than the time-out of the API's connection
        yield


def detector(settings: Settings) -> DetectorStage:
    return DetectorStage(load_finder(settings), {})


def classifier(settings: Settings) -> ClassifierStage:
    choices = ModelChoices(required_url(settings.state_url, "state"), settings.bus.key_prefix, settings.run_id)
    return ClassifierStage(ModelSwap(settings.classifier, choices, lambda: settings.classifier))


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[Running]:
    """The API and one worker of each stage, all of them real, which may be slow."""
    with (
        patient(),
        working(settings, detector(settings), classifier(settings)),
        running(settings) as api,
    ):
        yield api


@pytest.fixture(scope="module")
def terrace(assets: Path) -> Image.Image:
    footage = cv2.VideoCapture(str(assets / "footage" / "terrace-north.mp4"))
    read, frame = footage.read()
    footage.release()
    assert read
    return Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


@pytest.fixture
def bus(settings: Settings) -> Iterator[Bus]:
    bus = Bus(required_url(settings.bus_url, "bus"), settings.bus)
    yield bus
    bus.close()


def file(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **({"lossless": True} if kind == "WEBP" else {"quality": 95}))
    return out.getvalue()


def post(api: Running, body: bytes) -> httpx.Response:
    return httpx.post(api.url + "/predict", content=body, timeout=60)


def keys(bus: Bus) -> list[str]:
    return sorted(key.decode() for key in bus.connection.client.scan_iter(match=f"{bus.keys.prefix}:*"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_faces_of_a_picture_are_those_that_a_camera_would_show(
    api: Running, settings: Settings, terrace: Image.Image, kind: str
) -> None:
    response = post(api, body := file(terrace, kind))
    assert response.status_code == 200, response.text
    prediction = models.Prediction.model_validate_json(response.content, strict=True, extra="forbid")
    found = load_finder(settings).find(to_picture(body, 50).jpeg, Region())
    engine = load_engine(DEFAULT_MODEL, settings.classifier)
    expected, readable = engine.predict(found.crops)
    assert len(prediction.faces) == len(found.boxes) >= 10
    assert [face.box for face in prediction.faces] == [tuple(box) for box in found.boxes.tolist()]
    assert (prediction.width, prediction.height) == terrace.size
    rows = np.array([[face.probabilities[label] for label in engine.labels] for face in prediction.faces])
    np.testing.assert_allclose(rows, expected, atol=0.02)  # rounded, and in another batch
    np.testing.assert_allclose([face.readable for face in prediction.faces], readable, atol=0.02)
    assert {face.label for face in prediction.faces} <= {*(LABELS[row.argmax()] for row in rows), "unreadable"}


def test_a_picture_without_faces_is_an_answer(api: Running) -> None:
    answer = post(api, file(Image.new("RGB", (64, 48)), "PNG"))
    assert (answer.status_code, answer.json()["faces"]) == (200, [])
    assert post(api, file(Image.new("RGB", (1, 1)), "PNG")).json()["faces"] == []


def test_what_is_no_picture_is_415_and_never_reaches_the_bus(api: Running, bus: Bus) -> None:
    answer = post(api, b"GIF89a")
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/no-picture")
    assert bus.backlog("dead") == 0


def test_nothing_of_a_picture_is_kept_and_the_aggregator_never_hears_of_it(
    api: Running, bus: Bus, terrace: Image.Image
) -> None:
    for _ in range(3):
        assert post(api, file(terrace, "JPEG")).status_code == 200
    client = bus.connection.client
    for stream in ("photos", "photo_faces"):
        assert bus.backlog(stream) == 0  # type: ignore[arg-type]
    for stream in ("emotions", "control", "dead"):  # not one entry, ever: classifiers make the group of `emotions`
        key = bus.keys.stream(stream)  # type: ignore[arg-type]
        assert not client.exists(key) or client.xinfo_stream(key)["entries-added"] == 0
    assert not [key for key in keys(bus) if "reply" in key]
    assert all(PHOTO_CAMERA not in str(client.dump(key)) for key in keys(bus))


def test_pictures_beside_each_other_get_their_own_answers(api: Running, terrace: Image.Image) -> None:
    left = terrace.crop((0, 0, terrace.width // 2, terrace.height))
    bodies = [file(left, "JPEG"), file(Image.new("RGB", (50, 40)), "JPEG")]
    with ThreadPoolExecutor(2) as pool:
        answers = [answer.json() for answer in pool.map(lambda body: post(api, body), bodies)]
    assert [answer["width"] for answer in answers] == [left.width, 50]
    assert [bool(answer["faces"]) for answer in answers] == [True, False]


@pytest.fixture
def alone(settings: Settings, bus_settings: BusSettings) -> Settings:
    """The same, where no worker runs yet."""
    return settings.model_copy(update={"bus": bus_settings})


@pytest.fixture
def lonely_bus(alone: Settings) -> Iterator[Bus]:
    bus = Bus(required_url(alone.bus_url, "bus"), alone.bus)
    yield bus
    bus.close()


def refused(api: Running) -> str:
    """Return why a photo gets no answer."""
    answer = post(api, file(Image.new("RGB", (64, 48)), "PNG"))
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/no-worker"), answer.text
    assert int(answer.headers["retry-after"]) >= 1
    detail: str = answer.json()["detail"]
    return detail


def test_without_workers_it_is_503_at_once_and_says_who_is_missing(alone: Settings, lonely_bus: Bus) -> None:
    with running(alone) as api:
        assert refused(api) == "no detector is ready"
        lonely_bus.beat("detector", "one", 60)
        assert refused(api) == "no classifier is ready"
    assert not lonely_bus.connection.client.exists(lonely_bus.keys.stream("photos"))


def test_workers_that_do_not_answer_within_five_seconds_are_503_and_nothing_stays_on_the_bus_for_long(
    alone: Settings, lonely_bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "ANSWER_WITHIN_S", 5.0)  # the module's own API is patient
    for stage in ("detector", "classifier"):
        lonely_bus.beat(stage, "one", 600)
    with running(alone) as api:
        started_s = time.monotonic()
        eventually(lambda: refused(api), until=lambda why: why == "no detector finished it within 5 s")
        assert time.monotonic() - started_s >= photos.ANSWER_WITHIN_S
        assert lonely_bus.backlog("photos") == 0
        with working(alone, detector(alone)):
            late = "no classifier finished it within 5 s"
            eventually(lambda: refused(api), until=lambda why: why == late)  # a slow detector takes longer
    # Its faces are for classifiers alone to read: the API may not look for them, and they expire by themselves.
    assert 0 < lonely_bus.connection.client.pttl(lonely_bus.keys.stream("photo_faces")) <= 10_000
    assert not [key for key in keys(lonely_bus) if "reply" in key]


def test_a_picture_that_workers_give_up_is_503_with_their_reason_and_changes_no_mood(
    alone: Settings, lonely_bus: Bus
) -> None:
    for stage in ("detector", "classifier"):
        lonely_bus.beat(stage, "one", 600)
    inbox = Inbox(lonely_bus, ["photos"], "detector", "one", alone.bus)
    with patient(), running(alone) as api, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(refused, api)
        (entry,) = eventually(lambda: inbox.read(1, 100))
        lonely_bus.publish(dead=[DeadLetter(entry, "max_deliveries", "no worker finished it")], group="detector")
        assert asked.result() == "the workers gave it up: max_deliveries"
    assert lonely_bus.backlog("control") == 0
    ((_, letter),) = lonely_bus.connection.client.xrange(lonely_bus.keys.stream("dead"))
    assert b"jpeg" not in letter


def test_an_answer_that_comes_too_late_is_forgotten_by_itself(lonely_bus: Bus) -> None:
    ref = FrameRef(PHOTO_CAMERA, "late", 0, 0, 64, 48, recorded=False, reply_to="late")
    no_boxes = np.empty((0, 4), np.int32)
    faces = Faces(ref, no_boxes, np.empty(0, np.float32), np.empty((0, 48, 48), np.uint8), "haar")
    lonely_bus.publish([("faces", faces)])
    (entry,) = Inbox(lonely_bus, ["photo_faces"], "classifier", "one", BusSettings()).read(1, 100)
    lonely_bus.publish(dead=[DeadLetter(entry, "not_finite", "no numbers")], group="classifier")
    assert 0 < lonely_bus.connection.client.pttl(lonely_bus.keys.reply("late")) <= 10_000


def test_an_api_without_a_bus_says_so(alone: Settings) -> None:
    with running(alone.model_copy(update={"bus_url": None})) as api:
        assert refused(api) == "this API has no bus: set CROWDMOOD_BUS_URL"


def test_no_camera_can_be_called_as_pictures_are() -> None:
    with pytest.raises(ValueError, match="pattern"):
        CameraSettings(id=PHOTO_CAMERA, uri="x.mp4")  # type: ignore[arg-type]


def moods_of(settings: Settings, bus: Bus, terrace: Image.Image, *, photos: bool) -> list[str]:
    """What the real stages make of four frames of a camera, with photos between them or without."""
    jpeg = file(terrace, "JPEG")
    size = terrace.size
    bus.publish([("control", CameraState("north", "run-1", "opening", True, "north.mp4", "", 4, 0))])
    for frame_id in range(4):
        bus.publish([("frames", Frame(FrameRef("north", "run-1", frame_id, frame_id * 1_000, *size, True), jpeg))])
        if photos:
            ref = FrameRef(PHOTO_CAMERA, uuid.uuid4().hex, 0, round(time.time() * 1000), *size, recorded=False)
            bus.publish([("frames", Frame(ref, jpeg))])
    bus.publish([("control", CameraState("north", "run-1", "ended", True, "north.mp4", "", 4, 0))])
    for stage in (detector(settings), classifier(settings)):
        Worker(stage, bus, settings.bus, "one", threading.Event()).run(drain=True)
    aggregator.run(settings, threading.Event(), "one", drain=True)
    store = MoodStore(required_url(settings.state_url, "state"), settings.bus.key_prefix)
    try:
        assert list(store.cameras()) == ["north"]
        return [mood.to_json() for _, mood in store.since(b"0-0")[1]]
    finally:
        store.close()


def test_moods_are_the_same_bytes_with_pictures_between_the_frames_and_without(
    settings: Settings, terrace: Image.Image
) -> None:
    made = []
    for with_photos in (False, True):
        alone = settings.model_copy(update={"bus": BusSettings(key_prefix=f"test-{uuid.uuid4().hex[:12]}")})
        bus = Bus(required_url(alone.bus_url, "bus"), alone.bus)
        made.append(moods_of(alone, bus, terrace, photos=with_photos))
        replies = list(bus.connection.client.scan_iter(match=bus.keys.reply("*")))
        assert len(replies) == (4 if with_photos else 0)  # their answers, and no moods
        bus.close()
    assert made[0] == made[1]
    assert any('"status":"ok"' in mood for mood in made[0])
