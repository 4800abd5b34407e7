"""Faces in answers and previews: their labels, what a network does not know, and those that cannot be read."""

import io

import numpy as np
import pytest
from PIL import Image

from api import models
from api.drawing import draw
from api.photos import answer
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
    assert [face.probabilities.cheering for face in faces] == cheering
    assert [face.probabilities.happy for face in faces] == [1, 0]


def test_a_face_below_half_readable_is_unreadable_whatever_its_likeliest_label() -> None:
    faces = models.Prediction.model_validate(answer(found(8))).faces
    assert [(face.label, face.readable) for face in faces] == [("happy", 0.5), ("unreadable", 0.25)]


@pytest.mark.parametrize("k", [7, 8])
def test_a_preview_frames_an_unreadable_face_in_white_and_others_in_the_colour_of_their_label(k: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (200, 100)).save(file, "JPEG")
    drawn = Image.open(io.BytesIO(draw(file.getvalue(), found(k), [Regions()], show_faces=True))).convert("RGB")
    edges = [np.asarray(drawn, np.int32)[45, left : left + 2].mean(axis=0) for left in (20, 120)]
    happy = [int(LABEL_COLOURS["happy"][at : at + 2], 16) for at in (1, 3, 5)]
    for edge, colour in zip(edges, (happy, [255] * 3), strict=True):
        assert np.abs(edge - colour).max() < 60  # JPEG blurs thin lines
