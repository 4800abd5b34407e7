"""What is published of a closed window, and what is withheld."""

import numpy as np

from aggregator.moods import moods_of
from aggregator.windows import ClosedWindow
from crowdmood import LABELS
from crowdmood.messages import Emotions, FrameRef
from crowdmood.settings import AggregatorSettings

SETTINGS = AggregatorSettings(min_faces=3, valid_for_s=5)


def seen(camera: str, frame_id: int, labels: list[str], model: str = "conv4") -> Emotions:
    n = len(labels)
    return Emotions(
        FrameRef(camera, "r", frame_id, frame_id * 200, 640, 480, True),
        np.zeros((n, 4), np.int32),
        np.eye(7, dtype=np.float16)[[LABELS.index(label) for label in labels]].reshape(n, 7),
        np.ones(n, np.float16),
        model,
        "haar",
    )


def window(**frames: list[Emotions]) -> ClosedWindow[Emotions]:
    return ClosedWindow(0, 10_000, frames, dict.fromkeys(frames, "live"))


def test_people_are_the_faces_of_each_cameras_last_frame() -> None:
    north = [seen("north", 0, ["sad"] * 9), seen("north", 1, ["happy"] * 3)]
    south = [seen("south", 0, ["neutral"])]
    stadium, of_north, of_south = moods_of(window(north=north, south=south), SETTINGS)
    assert (stadium.camera, stadium.people, stadium.dominant) == (None, 4, "happy")
    assert stadium.shares is not None
    assert (stadium.shares["happy"], stadium.shares["neutral"], stadium.shares["sad"]) == (0.75, 0.25, 0.0)
    assert (of_north.camera, of_north.people) == ("north", 3)
    assert (of_south.camera, of_south.status) == ("south", "insufficient")
    assert (stadium.as_of_ms, stadium.window_start_ms, stadium.valid_until_ms) == (10_000, 0, 15_000)


def test_too_few_people_and_nothing_but_the_status_is_told() -> None:
    (stadium, _) = moods_of(window(north=[seen("north", 0, ["happy", "happy"])]), SETTINGS)
    assert stadium.status == "insufficient"
    assert (stadium.people, stadium.shares, stadium.raw, stadium.dominant, stadium.valence) == (None,) * 5


def test_a_frame_without_faces_is_seen_and_counts_nobody() -> None:
    (stadium, north) = moods_of(window(north=[seen("north", 0, ["happy"] * 5), seen("north", 1, [])]), SETTINGS)
    assert stadium.status == "insufficient"
    assert north.cameras == {"north": "live"}


def test_a_mixed_fleet_of_models_shows() -> None:
    frames = window(north=[seen("north", 0, ["sad"] * 3, "new")], south=[seen("south", 0, ["sad"] * 3, "old")])
    assert moods_of(frames, SETTINGS)[0].model == "new+old"


def test_a_camera_in_trouble_is_named_in_the_mood() -> None:
    closed: ClosedWindow[Emotions] = ClosedWindow(0, 10_000, {}, {"a": "live", "b": "idle", "c": "ended"})
    stadium = moods_of(closed, SETTINGS, {"a": "frozen", "b": "down", "c": "down"})[0]
    assert stadium.cameras == {"a": "frozen", "b": "down", "c": "ended"}
