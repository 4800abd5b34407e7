"""Check synthetic faces: detectors must find them on a person, and networks must classify their expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from cv2.data import haarcascades

from classifier.engines import load_engine
from crowdmood.core.settings import ClassifierSettings
from crowdmood.domain.labels import LABELS
from simulator.people import draw_person, face_weight
from training.data import SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from classifier.engines import Engine
    from simulator.people import Look

Box = tuple[float, float, float, float]
"""Left, top, width, height in pixels."""
FACE_PX: Final = 64
_MARGIN_PX: Final = 64
_CASCADE: Final = "haarcascade_frontalface_default.xml"
_YUNET_SCORE: Final = 0.5
_BATCH: Final = 4
_MIN_OVERLAP: Final = 0.3
_NOISE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Checks:
    """Two detectors and one or more networks.

    Attributes:
        engines: Networks of `classifier`; all that have a label must agree with it.
        yunet: A `cv2.FaceDetectorYN`.
        haar: A `cv2.CascadeClassifier`.
    """

    engines: tuple[Engine, ...]
    yunet: Any
    haar: Any

    def know(self, label: int) -> bool:
        """Return whether at least one network has a label, a code 0-7."""
        return any(LABELS[label] in engine.labels for engine in self.engines)

    def sure(self, crops: Sequence[NDArray[np.uint8]], label: int) -> NDArray[np.float32]:
        """Return the lowest probability of a label among the networks that have it: `(N,)`.

        Args:
            crops: Square crops `(S, S) uint8` of any size.
            label: A code 0-7 that at least one network has.
        """
        small = _resized(crops)
        knowing = [engine for engine in self.engines if LABELS[label] in engine.labels]
        return np.asarray(np.min([engine.predict(small)[0][:, label] for engine in knowing], axis=0), dtype=np.float32)

    def agreed(self, crops: Sequence[NDArray[np.uint8]], labels: int | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the labels of crops are the likeliest of every network that has them: `(N,)`."""
        small = _resized(crops)
        agreed = np.ones(len(small), np.bool_)
        for engine in self.engines:
            likeliest = engine.predict(small)[0].argmax(axis=1)
            agreed &= (likeliest == labels) | (np.asarray(labels) >= len(engine.labels))
        return agreed

    def yunet_boxes(self, picture: NDArray[np.uint8]) -> list[Box]:
        """Return the faces that YuNet finds in an image `(H, W, 3) uint8`, BGR: xywh."""
        self.yunet.setInputSize((picture.shape[1], picture.shape[0]))
        _, faces = self.yunet.detect(picture)
        return [] if faces is None else [(x, y, w, h) for x, y, w, h in faces[:, :4].tolist()]

    def haar_boxes(self, gray: NDArray[np.uint8]) -> list[Box]:
        """Return the faces that the cascade finds in an image `(H, W) uint8`: xywh."""
        boxes = np.asarray(self.haar.detectMultiScale(gray, 1.1, 5, minSize=(24, 24))).reshape(-1, 4)
        return [(x, y, w, h) for x, y, w, h in boxes.tolist()]

    def found(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Return the face `(S, S) uint8` that both detectors find in an image of `worn`; None if one fails.

        The face is cut out along the cascade's box, as the pipeline does.
        """
        wanted = (_MARGIN_PX, _MARGIN_PX, FACE_PX, FACE_PX)
        if not any(overlap(box, wanted) >= _MIN_OVERLAP for box in self.yunet_boxes(picture)):
            return None
        gray = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        for box in self.haar_boxes(gray):
            if overlap(box, wanted) >= _MIN_OVERLAP:
                x, y, width, height = (round(value) for value in box)
                return gray[y : y + height, x : x + width]
        return None


def _resized(crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    small = [
        cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA if len(crop) > SIDE else cv2.INTER_LINEAR)
        for crop in crops
    ]
    return np.stack(small).astype(np.uint8)


def load_checks(models: Sequence[Path], yunet: Path) -> Checks:
    """Load model folders and YuNet's ONNX file.

    Raises:
        ModelError: A model folder cannot be used.
    """
    settings = ClassifierSettings(max_batch_size=_BATCH, threads=1, precision="f32")
    return Checks(
        engines=tuple(load_engine(model, settings) for model in models),
        yunet=cv2.FaceDetectorYN.create(str(yunet), "", (FACE_PX, FACE_PX), _YUNET_SCORE),
        haar=cv2.CascadeClassifier(haarcascades + _CASCADE),
    )


def worn(face: NDArray[np.uint8], look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a face `(64, 64) uint8` at 64 px on a person before some background: `(192, 192, 3) uint8`, BGR."""
    side = FACE_PX + 2 * _MARGIN_PX
    picture = np.full((side, side, 3), rng.uniform(30, 170, 3), np.uint8)
    person = draw_person(look, face, FACE_PX)
    top, left = _MARGIN_PX + person.top, _MARGIN_PX + person.left
    height = min(person.mask.shape[0], side - top)
    area = picture[top : top + height, left : left + person.mask.shape[1]]
    cv2.copyTo(person.bgr[:height], person.mask[:height], area)
    noise = rng.normal(0, _NOISE, (side, side, 1)).astype(np.float32)
    return np.asarray((cv2.GaussianBlur(picture, (0, 0), 0.6) + noise).clip(0, 255).astype(np.uint8))


def sketches(faces: NDArray[np.uint8], look: Look, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Draw faces `(N, 64, 64) uint8` on one person, quickly and roughly.

    Returns:
        For each face a gray square `(S, S) uint8`, cut out as inexactly as a detector does.
    """
    gray = cv2.cvtColor(worn(faces[0], look, rng), cv2.COLOR_BGR2GRAY)
    inside = slice(_MARGIN_PX, _MARGIN_PX + FACE_PX)
    weight = face_weight(FACE_PX)
    crops = []
    for face in faces:
        gray[inside, inside] = weight * face + (1 - weight) * gray[inside, inside]
        side = round(FACE_PX * rng.uniform(0.94, 1.12))
        left, top = (round(_MARGIN_PX + (FACE_PX - side) / 2 + rng.uniform(-0.04, 0.04) * FACE_PX) for _ in range(2))
        crops.append(np.array(gray[top : top + side, left : left + side], dtype=np.uint8))
    return crops


def overlap(box: Box, other: Box) -> float:
    """Return the intersection over union of two boxes xywh."""
    width = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    height = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return float(shared / (box[2] * box[3] + other[2] * other[3] - shared))
