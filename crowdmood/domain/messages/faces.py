"""The messages about the faces of a frame and their expressions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.labels import FER_LABELS, LABELS
from crowdmood.domain.messages.frames import FrameRef
from crowdmood.domain.messages.wire import (
    Fields,
    check_header,
    check_range,
    header,
    pack,
    read_array,
    read_bytes,
    read_integer,
    read_text,
)

CROP_SIZE = 48
"""Side of a face crop in pixels, as in FER2013."""

_LABEL_COUNTS = (len(FER_LABELS), len(LABELS))

_SUM_TOLERANCE = 0.02
"""Rounding to float16 changes the sum of eight probabilities by less than 0.005."""

_LARGEST_SCORE = float(np.finfo(np.float32).max)

_FRAMES_AROUND = 2
"""Boxes reach at most so many frame sizes beyond the frame: detectors clip them to one, and sizes are rounded."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The faces found in one frame; N = 0 means that the frame shows no face.

    Attributes:
        ref: The frame's identity.
        boxes: int32 (N, 4), xyxy in pixels of the frame.
        scores: float32 (N,), the detector's confidence; the scale depends on the detector.
        crops: uint8 (N, 48, 48), gray, 0-255, in FER2013's framing.
        detector: Name of the detector.
    """

    KIND: ClassVar[bytes] = b"faces"
    ref: FrameRef
    boxes: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    crops: npt.NDArray[np.uint8]
    detector: str

    def to_fields(self) -> Fields:
        """Encode."""
        return (
            header(self.KIND)
            | self.ref.to_fields()
            | {
                b"n": b"%d" % len(self.boxes),
                b"boxes": pack(self.boxes, "<i4"),
                b"scores": pack(self.scores, "<f4"),
                b"crops": pack(self.crops, "u1"),
                b"detector": self.detector.encode(),
            }
        )

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: The message has another kind or version, an array has the wrong size, a box has its
                corners in another order or is far outside the frame, or a score is not finite.
        """
        check_header(fields, cls.KIND)
        n, ref = read_integer(fields, b"n"), FrameRef.from_fields(fields)
        scores = read_array(fields, b"scores", "<f4", (n,))
        check_range("scores", scores, -_LARGEST_SCORE, _LARGEST_SCORE)
        return cls(
            ref,
            _boxes(fields, ref, n),
            scores,
            read_array(fields, b"crops", "u1", (n, CROP_SIZE, CROP_SIZE)),
            read_text(fields, b"detector"),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Emotions:
    """The expressions of the faces of one frame.

    Attributes:
        ref: The frame's identity.
        boxes: int32 (N, 4), xyxy in pixels of the frame.
        probabilities: float16 (N, K), in the order of `LABELS`; K is 8, or 7 for a network without cheering.
        readable: float16 (N,), probability that an expression can be seen, 0-1.
        quality: float16 (N,), resolution and sharpness of the face, 0-1.
        model_id: The network and the engine that ran it: `crowdnet-1a2b3c4d/openvino-bf16`.
        detector: Name of the detector that found the faces.
        confusions: The network's confusions, encoded by `Confusions.to_bytes`; empty when unknown.
    """

    KIND: ClassVar[bytes] = b"emotions"
    ref: FrameRef
    boxes: npt.NDArray[np.int32]
    probabilities: npt.NDArray[np.float16]
    readable: npt.NDArray[np.float16]
    quality: npt.NDArray[np.float16]
    model_id: str
    detector: str
    confusions: bytes = b""

    def to_fields(self) -> Fields:
        """Encode."""
        return (
            header(self.KIND)
            | self.ref.to_fields()
            | {
                b"n": b"%d" % len(self.boxes),
                b"k": b"%d" % self.probabilities.shape[1],
                b"boxes": pack(self.boxes, "<i4"),
                b"probabilities": pack(self.probabilities, "<f2"),
                b"readable": pack(self.readable, "<f2"),
                b"quality": pack(self.quality, "<f2"),
                b"model_id": self.model_id.encode(),
                b"detector": self.detector.encode(),
                b"confusions": self.confusions,
            }
        )

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: The message has another kind or version, an array has the wrong size, the number of
                labels is unknown, probabilities are not finite, not from 0 to 1 or do not add up to 1, or a box has its
                corners in another order or is far outside the frame.
        """
        check_header(fields, cls.KIND)
        n, k = read_integer(fields, b"n"), read_integer(fields, b"k")
        if k not in _LABEL_COUNTS:
            raise UndecodableError(f"{k} labels a face, expected {' or '.join(map(str, _LABEL_COUNTS))}")
        ref = FrameRef.from_fields(fields)
        return cls(
            ref,
            _boxes(fields, ref, n),
            _probabilities(fields, n, k),
            _shares(fields, b"readable", (n,)),
            _shares(fields, b"quality", (n,)),
            read_text(fields, b"model_id"),
            read_text(fields, b"detector"),
            _confusions(fields, k),
        )


def _boxes(fields: Mapping[bytes, bytes], ref: FrameRef, n: int) -> npt.NDArray[np.int32]:
    boxes = read_array(fields, b"boxes", "<i4", (n, 4))
    for columns, side in ((boxes[:, 0::2], ref.width), (boxes[:, 1::2], ref.height)):
        check_range("boxes", columns, -_FRAMES_AROUND * side, (1 + _FRAMES_AROUND) * side)
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise UndecodableError("field 'boxes' has boxes that end before they begin", "out_of_range")
    return boxes


def _probabilities(fields: Mapping[bytes, bytes], n: int, k: int) -> npt.NDArray[np.float16]:
    rows = _shares(fields, b"probabilities", (n, k))
    sums = rows.sum(axis=1, dtype=np.float64)
    if (np.abs(sums - 1) > _SUM_TOLERANCE).any():
        raise UndecodableError("field 'probabilities' has rows that do not add up to 1", "out_of_range")
    return rows


def _shares(fields: Mapping[bytes, bytes], name: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.float16]:
    values = read_array(fields, name, "<f2", shape)
    check_range(name.decode(), values, 0, 1)
    return values


def _confusions(fields: Mapping[bytes, bytes], k: int) -> bytes:
    raw = read_bytes(fields, b"confusions")
    known = Confusions.from_bytes(raw)
    if known is not None and known.labels != k:
        raise UndecodableError(f"confusions of {known.labels} labels do not match probabilities of {k}")

    return raw
