"""The messages between the stages: frozen dataclasses that travel as raw bytes fields of a stream entry.

Every entry carries the schema's version and the message's kind. This package says what is told and how it is written;
where it goes, and when, is not its business (`crowdmood.streams`).
"""

from crowdmood.messages.cameras import CameraState, CameraStateName
from crowdmood.messages.decoding import Message, decode
from crowdmood.messages.faces import CROP_SIZE, Emotions, Faces
from crowdmood.messages.frames import PHOTO_CAMERA, Frame, FrameRef, FramesLost, frame_identity
from crowdmood.messages.wire import Fields

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
