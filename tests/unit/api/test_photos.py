"""Faces in answers and previews: their labels, what a network does not know, and that no one is recognisable."""

import io

import numpy as np
import pytest
from PIL import Image

from api import models
from api.drawing import draw
from api.photos import answer
from crowdmood.core.pixelation import block_px
from crowdmood.domain.messages import PHOTO_CAMERA, Emotions, FrameRef
from crowdmood.domain.palette import LABEL_COLOURS
from crowdmood.store.regions import Regions

HAPPY, LAST = 3, -1


def found(k: int) -> Emotions:
    """Two faces by a network of K labels: a happy one that is just readable, and one that is not."""
    ref = FrameRef(PHOTO_CAMERA, "one", 0, 0, 200, 100, recorded=False)
    boxes = np.array([[20, 30, 50, 60], [120, 30, 150, 60]], np.int32)
    rows, readable = np.eye(k, dtype=np.float16)[[HAPPY, LAST]], np.array([0.5, 0.25], np.float16)
    return Emotions(ref, boxes, rows, readable, np.ones(2, np.float16), "net", "haar")


@pytest.mark.parametrize(("k", "cheering"), [(7, [None, None]), (8, [0, 1])])
def test_a_label_that_the_network_does_not_know_has_no_probability(k: int, cheering: list[float | None]) -> None:
    faces = models.Prediction.model_validate(answer(found(k))).faces
    assert [face.probabilities["cheering"] for face in faces] == cheering
    assert [face.probabilities["happy"] for face in faces] == [1, 0]


def test_a_face_below_half_readable_is_unreadable_whatever_its_likeliest_label() -> None:
    faces = models.Prediction.model_validate(answer(found(8))).faces
    assert [(face.label, face.readable) for face in faces] == [("happy", 0.5), ("unreadable", 0.25)]


@pytest.mark.parametrize("k", [7, 8])
def test_a_preview_frames_an_unreadable_face_in_white_and_others_in_the_colour_of_their_label(k: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (200, 100)).save(file, "JPEG")
    drawn = Image.open(
        io.BytesIO(draw(file.getvalue(), found(k), [Regions()], show_faces=True, show_labels=True))
    ).convert("RGB")
    edges = [np.asarray(drawn, np.int32)[45, left : left + 2].mean(axis=0) for left in (20, 120)]
    happy = [int(LABEL_COLOURS["happy"][at : at + 2], 16) for at in (1, 3, 5)]
    for edge, colour in zip(edges, (happy, [255] * 3), strict=True):
        assert np.abs(edge - colour).max() < 60  # JPEG blurs thin lines


SIZE = (1920, 1080)
MISSED = (660, 240, 1260, 840)
"""A face of 600 px that the detector missed."""


def faces(*boxes: tuple[int, int, int, int]) -> Emotions:
    """Happy faces at these places of a frame of 1920x1080."""
    count = len(boxes)
    ref = FrameRef("north", "live", 0, 0, *SIZE, recorded=False)
    one_hot, ones = np.eye(8, dtype=np.float16)[[HAPPY] * count], np.ones(count, np.float16)
    return Emotions(ref, np.array(boxes, np.int32).reshape(-1, 4), one_hot, ones, ones, "net", "haar")


def preview_of(found: Emotions, **shown: bool) -> Image.Image:
    """The preview of a frame whose brightness grows from one side of the missed face to the other."""
    row = np.interp(np.arange(SIZE[0]), (MISSED[0], MISSED[2]), (0, 255)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.tile(row, (SIZE[1], 1))).convert("RGB").save(file, "JPEG", quality=95)
    drawn = draw(file.getvalue(), found, [Regions()], **{"show_faces": False, "show_labels": False} | shown)
    return Image.open(io.BytesIO(drawn)).convert("RGB")


@pytest.mark.parametrize(
    "found",
    [
        faces(),
        faces((10, 10, 22, 24)),
        faces(*[(10 + 30 * n, 900, 30 + 30 * n, 925) for n in range(40)]),
        faces(MISSED),
        faces(MISSED, *[(10 + 30 * n, 900, 30 + 30 * n, 925) for n in range(40)]),
    ],
    ids=["none", "one tiny face", "a stand of small faces", "the face itself", "the face among small ones"],
)
def test_a_face_is_shown_in_few_blocks_whatever_was_found(found: Emotions) -> None:
    image = preview_of(found)
    scale = image.width / SIZE[0]
    middle = round((MISSED[1] + MISSED[3]) / 2 * scale) + 7
    left, right = round(MISSED[0] * scale) + 4, round(MISSED[2] * scale) - 4
    row = np.asarray(image.convert("L"), np.int32)[middle, left:right]
    assert len(np.unique(row // 8)) <= 12  # one level a block, and what JPEG adds; 32 levels where 60 blocks were


@pytest.mark.parametrize("size", [(1920, 1080), (640, 480), (64, 48), (1080, 1920), (4, 3)])
def test_no_face_that_fits_into_a_frame_has_more_than_a_dozen_blocks(size: tuple[int, int]) -> None:
    assert min(size) / block_px(*size) <= 12
    assert min(size) / block_px(*size, [5.0]) <= 12
    assert 300 / block_px(*size, [300.0]) <= 6


def test_a_preview_labels_seats_only_on_request() -> None:
    found, happy = faces((200, 200, 400, 420)), [int(LABEL_COLOURS["happy"][at : at + 2], 16) for at in (1, 3, 5)]
    for labels, near in ((False, False), (True, True)):
        image = np.asarray(preview_of(found, show_labels=labels), np.int32)
        edge = image[150, 99:103].reshape(-1, 3)  # the left side of the box
        assert bool(np.abs(edge - happy).sum(axis=1).min() < 120) is near
        above = image[85:99, 102:140].reshape(-1, 3)  # where its name would be
        assert bool(np.abs(above - happy).sum(axis=1).min() < 60) is near
