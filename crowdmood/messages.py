"""The messages between the stages: frozen dataclasses that travel as raw bytes fields of a stream entry.

No pickle, no base64: arrays are little-endian bytes of a stated dtype and shape. Every entry carries the schema's
version and the message's kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from crowdmood.confusions import Confusions
from crowdmood.errors import UndecodableError

SCHEMA_VERSION = 2

CROP_SIZE = 48
"""Side of a face crop in pixels: FER2013's."""

PHOTO_CAMERA = "@photo"
"""Stands for the camera of a single picture that somebody asks about: no camera can be called so, and no mood counts
it. Its run is the question."""

Fields: TypeAlias = dict[bytes, bytes]
CameraStateName: TypeAlias = Literal["opening", "live", "frozen", "down", "ended"]


@dataclass(frozen=True, slots=True)
class FrameRef:
    """What identifies a sampled frame from its capture to the mood that counts it.

    Attributes:
        camera_id: The camera's name.
        run_id: One uninterrupted numbering of this camera's frames.
        frame_id: 0, 1, 2, … without gaps within a camera's run.
        captured_at_ms: Event time in milliseconds since 1970-01-01 UTC; for footage, since the footage's start.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        recorded: Whether the frame is from recorded footage, which is never dropped.
    """

    camera_id: str
    run_id: str
    frame_id: int
    captured_at_ms: int
    width: int
    height: int
    recorded: bool

    def to_fields(self) -> Fields:
        """The fields that identify a frame in every message about it."""
        return {
            b"camera_id": self.camera_id.encode(),
            b"run_id": self.run_id.encode(),
            b"frame_id": b"%d" % self.frame_id,
            b"captured_at_ms": b"%d" % self.captured_at_ms,
            b"width": b"%d" % self.width,
            b"height": b"%d" % self.height,
            b"recorded": b"%d" % self.recorded,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Read the identity of a frame.

        Raises:
            UndecodableError: A field is missing, no number, or out of range.
        """
        camera_id, run_id, frame_id = frame_identity(fields)
        frame = cls(
            camera_id=camera_id,
            run_id=run_id,
            frame_id=frame_id,
            captured_at_ms=_integer(fields, b"captured_at_ms"),
            width=_integer(fields, b"width"),
            height=_integer(fields, b"height"),
            recorded=bool(_integer(fields, b"recorded")),
        )
        if frame.width <= 0 or frame.height <= 0:
            raise UndecodableError(f"frame {frame.frame_id} of {frame.width}x{frame.height} pixels cannot exist")
        return frame


def frame_identity(fields: Mapping[bytes, bytes]) -> tuple[str, str, int]:
    """Which frame a message is about, camera, run and number, even when nothing else of it can be read.

    Raises:
        UndecodableError: It does not say.
    """
    frame_id = _integer(fields, b"frame_id")
    if frame_id < 0:
        raise UndecodableError(f"frame {frame_id} cannot exist")
    return _text(fields, b"camera_id"), _text(fields, b"run_id"), frame_id


@dataclass(frozen=True, slots=True)
class Frame:
    """A sampled frame on its way to a detector.

    Attributes:
        ref: The frame's identity.
        jpeg: The picture, JPEG-coded.
    """

    KIND: ClassVar[bytes] = b"frame"
    ref: FrameRef
    jpeg: bytes

    def to_fields(self) -> Fields:
        """Encode."""
        return _header(self.KIND) | self.ref.to_fields() | {b"jpeg": self.jpeg}

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: Not a message of this kind and version.
        """
        _check_header(fields, cls.KIND)
        return cls(FrameRef.from_fields(fields), _bytes(fields, b"jpeg"))


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The faces found in one frame; with N = 0 it says that the camera looked and saw nobody.

    Attributes:
        ref: The frame's identity.
        boxes: int32 (N, 4), xyxy in pixels of the frame.
        scores: float32 (N,), the detector's confidence; its scale is the detector's own.
        crops: uint8 (N, 48, 48), gray, 0-255, in FER2013's framing.
        detector: Which detector found them.
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
            _header(self.KIND)
            | self.ref.to_fields()
            | {
                b"n": b"%d" % len(self.boxes),
                b"boxes": _pack(self.boxes, "<i4"),
                b"scores": _pack(self.scores, "<f4"),
                b"crops": _pack(self.crops, "u1"),
                b"detector": self.detector.encode(),
            }
        )

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: Not a message of this kind and version, or an array of the wrong size.
        """
        _check_header(fields, cls.KIND)
        n = _integer(fields, b"n")
        return cls(
            FrameRef.from_fields(fields),
            _unpack(fields, b"boxes", "<i4", (n, 4)),
            _unpack(fields, b"scores", "<f4", (n,)),
            _unpack(fields, b"crops", "u1", (n, CROP_SIZE, CROP_SIZE)),
            _text(fields, b"detector"),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Emotions:
    """What the faces of one frame express.

    Attributes:
        ref: The frame's identity.
        boxes: int32 (N, 4), xyxy in pixels of the frame.
        probabilities: float16 (N, 7), in the order of `crowdmood.LABELS`.
        quality: float16 (N,), how far a face may be trusted, 0-1.
        model_id: Which network judged, and what ran it: `crowdnet-1a2b3c4d/openvino-bf16`.
        detector: Which detector found the faces.
        confusions: What held-out faces say about the network, as `Confusions.to_bytes` wrote it; empty when unknown.
    """

    KIND: ClassVar[bytes] = b"emotions"
    ref: FrameRef
    boxes: npt.NDArray[np.int32]
    probabilities: npt.NDArray[np.float16]
    quality: npt.NDArray[np.float16]
    model_id: str
    detector: str
    confusions: bytes = b""

    def to_fields(self) -> Fields:
        """Encode."""
        return (
            _header(self.KIND)
            | self.ref.to_fields()
            | {
                b"n": b"%d" % len(self.boxes),
                b"boxes": _pack(self.boxes, "<i4"),
                b"probabilities": _pack(self.probabilities, "<f2"),
                b"quality": _pack(self.quality, "<f2"),
                b"model_id": self.model_id.encode(),
                b"detector": self.detector.encode(),
                b"confusions": self.confusions,
            }
        )

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: Not a message of this kind and version, or an array of the wrong size.
        """
        _check_header(fields, cls.KIND)
        n = _integer(fields, b"n")
        return cls(
            FrameRef.from_fields(fields),
            _unpack(fields, b"boxes", "<i4", (n, 4)),
            _unpack(fields, b"probabilities", "<f2", (n, 7)),
            _unpack(fields, b"quality", "<f2", (n,)),
            _text(fields, b"model_id"),
            _text(fields, b"detector"),
            _confusions(fields),
        )


@dataclass(frozen=True, slots=True)
class FramesLost:
    """Frames that will never arrive, so that nobody waits for them.

    Attributes:
        camera_id: The camera's name.
        run_id: The camera's run.
        first_frame_id: First lost frame.
        last_frame_id: Last lost frame, inclusive.
        reason: Why, as a short, bounded word: `overload`, `unreadable`, or the reason of a dead letter.
    """

    KIND: ClassVar[bytes] = b"frames_lost"
    camera_id: str
    run_id: str
    first_frame_id: int
    last_frame_id: int
    reason: str

    def to_fields(self) -> Fields:
        """Encode."""
        return _header(self.KIND) | {
            b"camera_id": self.camera_id.encode(),
            b"run_id": self.run_id.encode(),
            b"first_frame_id": b"%d" % self.first_frame_id,
            b"last_frame_id": b"%d" % self.last_frame_id,
            b"reason": self.reason.encode(),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: Not a message of this kind and version.
        """
        _check_header(fields, cls.KIND)
        return cls(
            _text(fields, b"camera_id"),
            _text(fields, b"run_id"),
            _integer(fields, b"first_frame_id"),
            _integer(fields, b"last_frame_id"),
            _text(fields, b"reason"),
        )


@dataclass(frozen=True, slots=True)
class CameraState:
    """What a camera is doing, told by ingest on every change.

    Attributes:
        camera_id: The camera's name.
        run_id: The camera's run.
        state: `opening`, `live` (frames come), `frozen` (the same frame again and again), `down` or `ended`.
        recorded: Whether this is recorded footage.
        source: Where the frames come from, without credentials.
        detail: Why, for people; empty when there is nothing to say.
        frame_count: With `ended`: how many frames there were in all; before, how many are expected, 0 if unknown.
        at_ms: Wall-clock time of the change in milliseconds since 1970-01-01 UTC.
    """

    KIND: ClassVar[bytes] = b"camera_state"
    camera_id: str
    run_id: str
    state: CameraStateName
    recorded: bool
    source: str
    detail: str
    frame_count: int
    at_ms: int

    def to_fields(self) -> Fields:
        """Encode."""
        return _header(self.KIND) | {
            b"camera_id": self.camera_id.encode(),
            b"run_id": self.run_id.encode(),
            b"state": self.state.encode(),
            b"recorded": b"%d" % self.recorded,
            b"source": self.source.encode(),
            b"detail": self.detail.encode(),
            b"frame_count": b"%d" % self.frame_count,
            b"at_ms": b"%d" % self.at_ms,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Decode.

        Raises:
            UndecodableError: Not a message of this kind and version, or an unknown state.
        """
        _check_header(fields, cls.KIND)
        state = _text(fields, b"state")
        match state:
            case "opening" | "live" | "frozen" | "down" | "ended":
                return cls(
                    _text(fields, b"camera_id"),
                    _text(fields, b"run_id"),
                    state,
                    bool(_integer(fields, b"recorded")),
                    _text(fields, b"source"),
                    _text(fields, b"detail"),
                    _integer(fields, b"frame_count"),
                    _integer(fields, b"at_ms"),
                )
            case _:
                raise UndecodableError(f"unknown camera state {state!r}")


Message: TypeAlias = Frame | Faces | Emotions | FramesLost | CameraState
_KINDS: dict[bytes, type[Message]] = {kind.KIND: kind for kind in (Frame, Faces, Emotions, FramesLost, CameraState)}


def decode(fields: Mapping[bytes, bytes]) -> Message:
    """Read whichever message a stream entry holds.

    Raises:
        UndecodableError: The entry is of no known kind or version, or damaged.
    """
    kind = fields.get(b"kind", b"")
    if kind not in _KINDS:
        raise UndecodableError(f"unknown message kind {kind[:40]!r}")
    return _KINDS[kind].from_fields(fields)


def _header(kind: bytes) -> Fields:
    return {b"v": b"%d" % SCHEMA_VERSION, b"kind": kind}


def _check_header(fields: Mapping[bytes, bytes], kind: bytes) -> None:
    if fields.get(b"kind") != kind:
        raise UndecodableError(f"expected a {kind.decode()!r} message, got {fields.get(b'kind', b'')[:40]!r}")
    version = _integer(fields, b"v")
    if version != SCHEMA_VERSION:
        raise UndecodableError(f"message schema {version} is not {SCHEMA_VERSION}: update all stages together")


def _bytes(fields: Mapping[bytes, bytes], name: bytes) -> bytes:
    try:
        return fields[name]
    except KeyError:
        raise UndecodableError(f"field {name.decode()!r} is missing") from None


def _confusions(fields: Mapping[bytes, bytes]) -> bytes:
    raw = _bytes(fields, b"confusions")
    Confusions.from_bytes(raw)
    return raw


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str:
    try:
        return _bytes(fields, name).decode()
    except UnicodeDecodeError:
        raise UndecodableError(f"field {name.decode()!r} is not UTF-8") from None


def _integer(fields: Mapping[bytes, bytes], name: bytes) -> int:
    raw = _bytes(fields, name)
    digits = raw[1:] if raw[:1] == b"-" else raw
    if not digits.isdigit() or len(digits) > 18:
        raise UndecodableError(f"field {name.decode()!r} is not a whole number of up to 18 digits")
    return int(raw)


def _pack(array: npt.NDArray[Any], dtype: str) -> bytes:
    return np.ascontiguousarray(array, dtype).tobytes()


def _unpack(fields: Mapping[bytes, bytes], name: bytes, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    raw = _bytes(fields, name)
    size = np.dtype(dtype).itemsize
    for side in shape:
        size *= side
    if min(shape) < 0 or len(raw) != size:
        raise UndecodableError(
            f"field {name.decode()!r} has {len(raw)} bytes where shape {shape} of {dtype} needs {size}"
        )
    return np.frombuffer(raw, dtype).reshape(shape)
