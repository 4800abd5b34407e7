"""Measure a bank of faces under the conditions of a pipeline: worn by people in a stand, lit, shaken and noisy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from crowdmood.domain.labels import LABELS
from facebank.checks import overlap
from simulator.feelings import PersonStates, State
from simulator.stand import Stand

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.checks import Checks
    from simulator.bank import FaceBank

_SIZE: Final = (1280, 720)
_PEOPLE: Final = 70
_FACES_PX: Final = (56, 72)
_MIN_OVERLAP: Final = 0.3
_SEED: Final = 90210
_PICTURES: Final = 12
_WHOLLY_VISIBLE: Final = 0.99


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a bank whose faces are worn, about 64 px large and not hidden.

    Attributes:
        faces: How many were measured, of all labels.
        haar: Share of them that OpenCV's frontal cascade (1.1, 5) finds.
        yunet: Share of them that YuNet finds with a score of 0.5.
        agreement: Share of the faces, of labels that a network has, whose intended label is the likeliest of every such
            network; faces are cut by the cascade's box where there is one, by the true one elsewhere.
        agreement_by_label: The same for each label that a network has.
    """

    faces: int
    haar: float
    yunet: float
    agreement: float
    agreement_by_label: dict[str, float]


def measure(bank: FaceBank, checks: Checks) -> Figures:
    """Fill stands with people of all labels, new ones for each image, and run detectors and networks on them.

    Faces whose label no network has are used for the detectors only.
    """
    found_by_haar: list[bool] = []
    found_by_yunet: list[bool] = []
    crops: list[NDArray[np.uint8]] = []
    intended: list[int] = []
    for number in range(_PICTURES):
        stand = Stand("stand", _SIZE, _PEOPLE, 0, (), 60.0, bank, (_SEED, number))
        stand.people = tuple(
            replace(person, states=PersonStates((State(0.0, (index + number) % len(LABELS)),)))
            for index, person in enumerate(stand.people)
        )
        at_s = 7.0 * number
        picture, seen = stand.render(number, at_s), stand.visible_people(at_s)
        gray = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        by_haar = checks.haar_boxes(gray)
        by_yunet = checks.yunet_boxes(picture)
        sides = seen.boxes[:, 2] - seen.boxes[:, 0]
        chosen = (seen.visibility >= _WHOLLY_VISIBLE) & (sides >= _FACES_PX[0]) & (sides <= _FACES_PX[1])
        for row in np.flatnonzero(chosen):
            x1, y1, x2, y2 = seen.boxes[row].tolist()
            true = (x1, y1, x2 - x1, y2 - y1)
            hits = [box for box in by_haar if overlap(box, true) >= _MIN_OVERLAP]
            found_by_haar.append(bool(hits))
            found_by_yunet.append(any(overlap(box, true) >= _MIN_OVERLAP for box in by_yunet))
            x, y, width, height = (round(value) for value in (hits[0] if hits else true))
            crops.append(gray[max(y, 0) : y + height, max(x, 0) : x + width])
            intended.append(int(seen.labels[row]))
    labels = np.array(intended)
    known = [code for code in range(len(LABELS)) if checks.know(code)]
    agreed = checks.agreed(crops, labels)
    return Figures(
        faces=len(labels),
        haar=_share(found_by_haar),
        yunet=_share(found_by_yunet),
        agreement=_share(agreed[np.isin(labels, known)]),
        agreement_by_label={LABELS[code]: _share(agreed[labels == code]) for code in known},
    )


def _share(chosen: list[bool] | NDArray[np.bool_]) -> float:
    return round(float(np.mean(chosen)), 4)
