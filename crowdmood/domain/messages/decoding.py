"""Every kind of message, and how it is told from the others."""

from collections.abc import Mapping
from typing import TypeAlias

from crowdmood.core.errors import UndecodableError
from crowdmood.domain.messages.cameras import CameraState
from crowdmood.domain.messages.faces import Emotions, Faces
from crowdmood.domain.messages.frames import Frame, FramesLost

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
