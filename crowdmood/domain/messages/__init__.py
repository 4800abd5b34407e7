"""The messages between the stages: frozen dataclasses that travel as raw bytes fields of a stream entry.

Every entry carries the schema's version and the message's kind. This package defines what a message holds and how it is
written; `crowdmood.bus` sends it.
"""

from crowdmood.domain.messages.cameras import CameraState, CameraStateName
from crowdmood.domain.messages.decoding import Message, decode
from crowdmood.domain.messages.faces import CROP_SIZE, Emotions, Faces
from crowdmood.domain.messages.frames import PHOTO_CAMERA, Frame, FrameRef, FramesLost, frame_identity
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
    "frame_identity",
]
