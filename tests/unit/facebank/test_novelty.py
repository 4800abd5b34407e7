"""How far pictures are apart, and aligned faces: pure functions on small made-up pictures."""

import cv2
import numpy as np
import pytest

from crowdmood.core.errors import DataError
from facebank.alignment import TILE, align, flatten
from facebank.novelty import closest_allowed, measure_novelty, nearest

RNG = np.random.default_rng(0)
EYES_NOSE_MOUTH = np.array([[15.4, 17.6], [32.6, 17.6], [24.0, 28.2], [17.0, 36.8], [31.0, 36.8]])


def noise(count: int) -> np.ndarray:
    return RNG.integers(0, 255, (count, 48, 48), np.uint8)


def test_the_same_picture_is_at_distance_zero_whatever_its_brightness_and_contrast() -> None:
    pictures = noise(5)
    darker = (pictures * 0.5 + 20).astype(np.uint8)

    assert nearest(flatten(darker), flatten(pictures)) == pytest.approx(np.zeros(5), abs=0.02)


def test_unrelated_pictures_are_about_the_root_of_two_apart() -> None:
    assert nearest(flatten(noise(5)), flatten(noise(1))) == pytest.approx(np.full(5, np.sqrt(2)), abs=0.1)


def test_copies_among_the_photographs_do_not_lower_what_is_allowed() -> None:
    pictures = noise(60)
    copies = pictures.clip(0, 250) + RNG.integers(0, 3, pictures.shape, np.uint8)
    rows = flatten(np.concatenate([pictures, copies]))
    mirrored = flatten(noise(1))

    assert closest_allowed(rows, mirrored, np.arange(60)) > 1.0
    assert nearest(rows[:60], rows[60:]).max() < 0.1


def test_a_mirrored_copy_counts_as_the_same_photograph() -> None:
    pictures = noise(60)
    rows, mirrored = flatten(pictures), flatten(pictures[:, :, ::-1])

    assert closest_allowed(np.concatenate([rows, mirrored]), np.concatenate([mirrored, rows]), np.arange(60)) > 1.0


def test_a_copy_among_new_faces_is_the_closest_and_lies_below_what_is_allowed() -> None:
    pictures, new = noise(60), noise(4)
    enlarged = [cv2.resize(face, (64, 64), interpolation=cv2.INTER_CUBIC) for face in (*new, pictures[7, :, ::-1])]

    without, within = (measure_novelty(np.stack(faces), pictures) for faces in (enlarged[:4], enlarged))
    assert without.closest > 1.0
    assert within.closest < 0.5 < 1.0 < within.allowed == without.allowed
    assert within.percentile == 0
    assert within.photographs == 60
    assert within.median > 1.0


def dotted(points: np.ndarray) -> np.ndarray:
    image = np.full((48, 48), 20, np.uint8)
    for x, y in points:
        cv2.circle(image, (round(x * 16), round(y * 16)), 24, 250, -1, cv2.LINE_AA, 4)
    return image


@pytest.mark.parametrize(
    ("turn_deg", "scale", "shift"), [(0, 1.0, (0, 0)), (12, 0.9, (3, -2)), (-10, 1.1, (-2, 1)), (0, 0.75, (4, 4))]
)
def test_an_aligned_face_has_its_landmarks_on_the_usual_places(
    turn_deg: float, scale: float, shift: tuple[float, float]
) -> None:
    moved = cv2.getRotationMatrix2D((24, 24), turn_deg, scale)
    points = EYES_NOSE_MOUTH @ moved[:, :2].T + moved[:, 2] + shift
    tiles, rows = align(dotted(points)[None], points[None])

    assert rows.tolist() == [0]
    for x, y in (EYES_NOSE_MOUTH + 0.5) * TILE / 48 - 0.5:
        assert tiles[0, round(y), round(x)] > 180


def test_turned_heads_repetitions_and_faces_without_landmarks_are_left_out() -> None:
    turned = EYES_NOSE_MOUTH + np.array([[0, 0], [0, 0], [5, 0], [0, 0], [0, 0]])
    unknown = np.full((5, 2), np.nan)
    points = np.stack([EYES_NOSE_MOUTH, turned, unknown, EYES_NOSE_MOUTH, EYES_NOSE_MOUTH])
    images = np.stack([dotted(EYES_NOSE_MOUTH), dotted(turned), noise(1)[0], dotted(EYES_NOSE_MOUTH), noise(1)[0]])

    assert align(images, points)[1].tolist() == [0, 4]
    with pytest.raises(DataError, match="none of the training faces is frontal enough"):
        align(images[1:3], points[1:3])
