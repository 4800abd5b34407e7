"""Which faces are the same person's, when the camera stands, pans, zooms, cuts, and when faces are missed."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from aggregator.association import link
from aggregator.people import People, people
from aggregator.views import Links
from crowdmood.domain.messages import Emotions, FrameRef

WIDTH, HEIGHT = 1280, 720


def frame(
    frame_id: int, boxes: npt.ArrayLike, rows: npt.ArrayLike | None = None, quality: float = 1.0, readable: float = 1.0
) -> Emotions:
    """A frame of a camera at 5 frames a second; without rows, everybody is of one mind."""
    xyxy = np.rint(np.asarray(boxes, np.float64).reshape(-1, 4)).astype(np.int32)
    n = len(xyxy)
    given = np.full((n, 7), 1 / 7) if rows is None else np.asarray(rows)
    ref = FrameRef("north", "r", frame_id, frame_id * 200, WIDTH, HEIGHT, True)
    posteriors, weights = given.astype(np.float16).reshape(n, 7), np.full((2, n), [[readable], [quality]], np.float16)
    return Emotions(ref, xyxy, posteriors, *weights, "m", "yunet")


def seats(columns: int = 10, rows: int = 6, pitch: int = 115, side: int = 60) -> npt.NDArray[np.float64]:
    x, y = np.meshgrid(40 + pitch * np.arange(columns), 40 + pitch * np.arange(rows))
    return np.stack([x, y, x + side, y + side], axis=-1).reshape(-1, 4).astype(np.float64)


def scattered(rng: np.random.Generator, count: int, side: tuple[int, int] = (24, 60)) -> npt.NDArray[np.float64]:
    """Faces of several sizes that do not overlap."""
    found: list[list[float]] = []
    while len(found) < count:
        x, y, s = rng.uniform(0, WIDTH - 60), rng.uniform(0, HEIGHT - 60), rng.uniform(*side)
        if all(abs(x - a[0]) > 60 or abs(y - a[1]) > 60 for a in found):
            found.append([x, y, x + s, y + 1.2 * s])
    return np.array(found)


def moved(boxes: npt.NDArray[np.float64], dx: float, dy: float, zoom: float = 1) -> npt.NDArray[np.float64]:
    return zoom * boxes + np.array([dx, dy, dx, dy])


def inside(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    inner: npt.NDArray[np.bool_] = (boxes.min(axis=1) >= 0) & (boxes[:, 2] <= WIDTH) & (boxes[:, 3] <= HEIGHT)
    return inner


def with_seven(labels: Sequence[int]) -> npt.NDArray[np.float64]:
    return np.eye(7)[list(labels)]


def means(found: People) -> npt.NDArray[np.float64]:
    """What everybody shows over the whole window, float64 (P, 7)."""
    return found.crowd.by_person(found.crowd.posteriors)


def test_no_faces_are_no_people() -> None:
    for frames in ([], [frame(0, [])], [frame(0, []), frame(1, [])]):
        found = people(frames)
        assert len(found) == 0
        assert len(found.crowd) == 0
        assert [len(of_frame) for of_frame in found.person] == [0] * len(frames)


def test_one_frame_is_counted_face_by_face() -> None:
    found = people([frame(0, seats())])
    assert len(found) == 60
    assert sorted(found.person[0]) == list(range(60))


def test_a_single_face_in_a_window_is_one_person() -> None:
    found = people([frame(0, []), frame(1, [[600, 300, 680, 390]], with_seven([3])), frame(2, [])])
    assert len(found) == 1
    assert means(found).tolist() == [[0, 0, 0, 1, 0, 0, 0]]
    assert (found.side_px.tolist(), found.faces.tolist()) == ([80], [1])


def test_a_person_who_stays_is_one_person_whose_faces_are_averaged_by_quality() -> None:
    box = [600, 300, 680, 390]
    frames = [
        frame(0, [box], with_seven([3]), quality=0.75),
        frame(1, [[604, 302, 690, 400]], with_seven([6]), quality=0.25),
        frame(2, [box], with_seven([0]), quality=0),
    ]
    found = people(frames)
    assert means(found).tolist() == [[0, 0, 0, 0.75, 0, 0, 0.25]]
    assert found.quality.tolist() == [0.75]
    assert (found.side_px.tolist(), found.faces.tolist()) == ([86], [3])


def test_who_has_only_faces_of_no_quality_is_their_plain_mean() -> None:
    frames = [frame(k, [[600, 300, 680, 390]], with_seven([label]), quality=0) for k, label in enumerate((3, 6))]
    found = people(frames)
    assert means(found).tolist() == [[0, 0, 0, 0.5, 0, 0, 0.5]]
    assert found.quality.tolist() == [0]


def window_with_everything(seed: int) -> list[Emotions]:
    """A panning camera, jitter, missed faces, false ones, an empty frame and a cut."""
    rng = np.random.default_rng(seed)
    one, other = scattered(rng, 40), scattered(rng, 25)
    frames = []
    for k in range(40):
        boxes = moved(one, 6 * k, 2 * k, 1.002**k) if k < 25 else moved(other, -5 * k, 0)
        boxes = boxes + rng.normal(0, 1.5, boxes.shape)
        boxes = boxes[inside(boxes) & (rng.random(len(boxes)) < 0.75) & (k != 7)]
        boxes = np.concatenate([boxes, scattered(rng, 1)])
        frames.append(frame(k, boxes, rng.dirichlet(np.ones(7), len(boxes)), quality=0.5))
    return frames


@pytest.mark.parametrize("seed", range(3))
def test_two_faces_of_one_frame_are_never_one_person(seed: int) -> None:
    for numbers in people(window_with_everything(seed)).person:
        counted = numbers[numbers >= 0]
        assert len(set(counted.tolist())) == len(counted)


def shuffled(one: Emotions, rng: np.random.Generator) -> tuple[Emotions, npt.NDArray[np.intp]]:
    order = rng.permutation(len(one.boxes))
    parts = (one.boxes[order], one.probabilities[order], one.readable[order], one.quality[order])
    return Emotions(one.ref, *parts, one.model_id, one.detector), order


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_faces_within_a_frame_does_not_matter(seed: int) -> None:
    frames = window_with_everything(seed)
    rng = np.random.default_rng(seed)
    other, orders = zip(*(shuffled(one, rng) for one in frames), strict=True)
    expected, found = people(frames), people(other)
    assert means(found).tobytes() == means(expected).tobytes()
    for numbers, same, order in zip(found.person, expected.person, orders, strict=True):
        assert numbers.tolist() == same[order].tolist()


def test_similar_boxes_are_distinguished_by_their_history_in_any_order() -> None:
    boxes, rows = [[600, 300, 680, 390]] * 3, with_seven([3, 6, 0])
    frames = [frame(0, boxes, rows), frame(1, boxes, rows[[2, 0, 1]])]
    found = people(frames)
    assert found.person[0].tolist() == found.person[1][[1, 2, 0]].tolist()
    assert sorted(means(found).tolist()) == sorted(rows.tolist())


def same(one: People, other: People) -> bool:
    arrays = (
        (means(one), means(other)),
        (one.quality, other.quality),
        *zip(one.person, other.person, strict=True),
    )
    return all(a.tobytes() == b.tobytes() for a, b in arrays)


def test_remembered_links_change_nothing_and_are_bounded_by_the_window() -> None:
    frames = window_with_everything(5)
    links = Links()
    held = []
    for end in range(1, len(frames) + 1):
        window = frames[max(0, end - 15) : end]
        assert same(people(window, links), people(window))
        links.end_window()
        held.append(len(links))
    assert max(held) <= 15 * 10
    links.end_window()
    assert len(links) == 0


@pytest.mark.parametrize("missed", [0.0, 0.3])
def test_where_seats_repeat_no_one_moves_by_a_seat(missed: float) -> None:
    rng = np.random.default_rng(1)
    frames = []
    for k in range(50):
        boxes = seats() + rng.normal(0, 2, (60, 4))
        frames.append(frame(k, boxes[rng.random(60) >= missed]))
    found = people(frames)
    assert len(found) == 60
    assert found.faces.sum() == sum(len(one.boxes) for one in frames)


@pytest.mark.parametrize(
    ("dx", "dy", "zoom"),
    [
        (0, 0, 1),
        (9, -4, 1),  # a slow pan
        (0, 0, 1.03),  # a zoom
        (70, 30, 1.01),  # more than a face
        (400, 0, 1),  # a third of the picture
        (-310, 150, 1.01),
    ],
)
def test_the_cameras_motion_is_found_whatever_its_size(dx: float, dy: float, zoom: float) -> None:
    rng = np.random.default_rng(3)
    boxes = scattered(rng, 45)
    after = moved(boxes, dx, dy, zoom) + rng.normal(0, 1, boxes.shape)
    still_there = np.flatnonzero(inside(after))
    frames = [frame(0, boxes), frame(1, after[still_there])]
    found = link(*frames)
    assert found.fits
    assert abs(found.turn - zoom) < 0.005
    first, second = people(frames).person
    assert np.mean(second == first[still_there]) > 0.97


def test_a_cut_to_another_picture_joins_no_one() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = link(frame(0, scattered(rng, 40)), frame(1, scattered(rng, 15 + seed)))
        assert not found.fits


def test_a_camera_that_cuts_away_and_back_sees_the_same_people_again() -> None:
    rng = np.random.default_rng(4)
    one, other = scattered(rng, 40), scattered(rng, 25)
    shown = [one] * 10 + [other] * 10 + [one] * 10
    assert len(people([frame(k, boxes) for k, boxes in enumerate(shown)])) == 65


def test_who_leaves_the_picture_in_a_pan_and_comes_back_is_the_same() -> None:
    boxes = scattered(np.random.default_rng(2), 30)
    frames = []
    for k in range(41):
        at = moved(boxes, 25 * min(k, 40 - k), 0)
        frames.append(frame(k, at[inside(at)]))
    assert min(len(one.boxes) for one in frames) < 24
    assert len(people(frames)) == 30


def test_who_is_missed_for_seconds_is_found_again_at_the_same_place() -> None:
    boxes = seats(4, 3)
    frames = [frame(k, boxes if k < 10 or k > 30 else boxes[1:]) for k in range(50)]
    assert len(people(frames)) == 12


def test_a_single_detection_is_no_face_where_others_repeat() -> None:
    flag = np.array([[1000.0, 640, 1050, 690]])
    frames = [frame(k, np.concatenate([seats(4, 3), flag]) if k == 5 else seats(4, 3)) for k in range(20)]
    found = people(frames)
    assert len(found) == 12
    assert found.person[5].tolist() == [*found.person[4], -1]


def test_who_passes_the_edge_of_a_pan_is_counted_in_the_few_frames_that_show_them() -> None:
    boxes = np.concatenate([seats(5, 5), [[1210.0, 300, 1270, 360]]])
    frames = []
    for k in range(20):
        at = moved(boxes, 8 * k, 0)
        frames.append(frame(k, at[inside(at)]))
    assert sum(len(one.boxes) == 26 for one in frames) == 2
    assert len(people(frames)) == 26


def test_thousands_of_faces_are_linked() -> None:
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(30 * np.arange(125) + 40, 65 * np.arange(32) + 40)
    places = np.stack([x, y], axis=-1).reshape(-1, 2) + rng.uniform(-4, 4, (4000, 2))
    boxes = np.concatenate([places, places + rng.uniform(16, 24, (4000, 1))], axis=1)
    order = rng.permutation(4000)
    first, second = people([frame(0, boxes), frame(1, moved(boxes, 3, 1)[order])]).person
    assert np.mean(second == first[order]) > 0.99


def test_a_wild_detectors_boxes_do_no_harm() -> None:
    wild = [[0, 0, 0, 0], [50, 50, 10, 10], [-1280, -720, 2560, 1440], [2_000_000_000, 0, 2_000_000_001, 1]]
    found = people([frame(k, wild) for k in range(3)])
    assert np.isfinite(found.crowd.posteriors).all()
    many = people([frame(k, [[5, 5, 40, 40]] * 2000) for k in range(2)])
    assert len(many) <= 4000
