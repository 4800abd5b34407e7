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
            UndecodableError: The message has another kind or version, or an array has the wrong size.
        """
        check_header(fields, cls.KIND)
        n = read_integer(fields, b"n")
        return cls(
            FrameRef.from_fields(fields),
            read_array(fields, b"boxes", "<i4", (n, 4)),
            read_array(fields, b"scores", "<f4", (n,)),
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
            UndecodableError: The message has another kind or version, an array has the wrong size, or the number of
                labels is unknown.
        """
        check_header(fields, cls.KIND)
        n, k = read_integer(fields, b"n"), read_integer(fields, b"k")
        if k not in _LABEL_COUNTS:
            raise UndecodableError(f"{k} labels a face, expected {' or '.join(map(str, _LABEL_COUNTS))}")
        return cls(
            FrameRef.from_fields(fields),
            read_array(fields, b"boxes", "<i4", (n, 4)),
            read_array(fields, b"probabilities", "<f2", (n, k)),
            read_array(fields, b"readable", "<f2", (n,)),
            read_array(fields, b"quality", "<f2", (n,)),
            read_text(fields, b"model_id"),
            read_text(fields, b"detector"),
            _confusions(fields, k),
        )


def _confusions(fields: Mapping[bytes, bytes], k: int) -> bytes:
    raw = read_bytes(fields, b"confusions")
    known = Confusions.from_bytes(raw)
    if known is not None and known.labels != k:
        raise UndecodableError(f"confusions of {known.labels} labels do not match probabilities of {k}")

    return raw
