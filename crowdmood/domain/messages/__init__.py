"""The messages between the stages: frozen dataclasses, each stored as the raw bytes fields of a stream entry.

Every entry has the version of the schema and the kind of the message. This package defines the content of messages and
their encoding; `crowdmood.bus` sends them.
"""

from collections.abc import Mapping
from typing import TypeAlias

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.messages.cameras import CameraState, CameraStateName
from crowdmood.domain.messages.faces import CROP_SIZE, Emotions, Faces
from crowdmood.domain.messages.frames import PHOTO_CAMERA, Frame, FrameRef, FramesLost
from crowdmood.domain.messages.wire import Fields

__all__ = [
    "CROP_SIZE",
    "PHOTO_CAMERA",
    "CameraState",
    "CameraStateName",
    "Emotions",
    "Faces",
    "Fields",
    "Frame",
    "FrameRef",
    "FramesLost",
    "Message",
    "decode",
]

Message: TypeAlias = Frame | Faces | Emotions | FramesLost | CameraState
_KINDS: dict[bytes, type[Message]] = {kind.KIND: kind for kind in (Frame, Faces, Emotions, FramesLost, CameraState)}


def decode(fields: Mapping[bytes, bytes]) -> Message:
    """Return the message in the fields of a stream entry.

    Raises:
        UndecodableError: The kind or the version is unknown, or a field is missing or damaged.
    """
    kind = fields.get(b"kind", b"")
    if kind not in _KINDS:
        raise UndecodableError(f"unknown message kind {kind[:40]!r}")
    return _KINDS[kind].from_fields(fields)
