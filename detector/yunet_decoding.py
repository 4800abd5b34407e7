"""Decodes YuNet's twelve outputs: anchor-free cells at strides of 8, 16 and 32 pixels.

It follows OpenCV's `FaceDetectorYN` (modules/objdetect/src/face_detect.cpp); a test compares the results.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.boxes import Boxes, Scores

STRIDES: Final = (8, 16, 32)
OUTPUTS: Final = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)


@dataclass(frozen=True, slots=True, eq=False)
class RawFaces:
    """Faces in the network's outputs, before suppression.

    Attributes:
        boxes: float32 (N, 4), xyxy in pixels of the network's input.
        scores: float32 (N,), 0-1.
        points: float32 (N, 5, 2), xy in pixels of the input: right eye, left eye, tip of the nose, right and left
            corner of the mouth.
    """

    boxes: Boxes
    scores: Scores
    points: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """The outputs of the network.

    Attributes:
        arrays: Arrays by name, float32 (1, height * width / stride², channels), cells row by row.
        width: Width of the input in pixels, a multiple of 32.
    """

    arrays: Mapping[str, npt.NDArray[np.float32]]
    width: int


def decode(outputs: Outputs, min_score: float) -> RawFaces:
    """Return the faces in the outputs; only cells with a sufficient score are computed.

    Args:
        outputs: The outputs of the network.
        min_score: Lowest score of a face, 0-1.
    """
    levels = [_level(outputs, stride, min_score) for stride in STRIDES]
    return RawFaces(
        np.concatenate([level.boxes for level in levels]),
        np.concatenate([level.scores for level in levels]),
        np.concatenate([level.points for level in levels]),
    )


def _level(outputs: Outputs, stride: int, min_score: float) -> RawFaces:
    class_, object_, bbox, kps = (outputs.arrays[f"{name}_{stride}"][0] for name in ("cls", "obj", "bbox", "kps"))
    # The score is the geometric mean of the class score and the objectness.
    scores = np.sqrt(np.clip(class_[:, 0], 0, 1) * np.clip(object_[:, 0], 0, 1))
    cells = np.flatnonzero(scores >= min_score)
    columns = outputs.width // stride
    corners = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
    middles = (corners + bbox[cells, :2]) * stride
    # Limit the exponent: no face is wider than the input, and larger values would overflow.
    halves = np.exp(np.minimum(bbox[cells, 2:], 20)) * (stride / 2)
    points = (corners[:, None] + kps[cells].reshape(-1, 5, 2)) * stride
    return RawFaces(np.concatenate([middles - halves, middles + halves], axis=1), scores[cells], points)
