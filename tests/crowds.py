"""Crowds for tests: people in rows of seats, with the expressions that a test gives them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crowdmood.domain.labels import LABELS
from crowdmood.domain.messages import Emotions, FrameRef

SIDE_PX = 40
_ROW = 10


def seats(count: int, side_px: int = SIDE_PX) -> npt.NDArray[np.int32]:
    """Boxes of as many people in rows of ten, int32 (N, 4) xyxy."""
    number = np.arange(count)
    corners = np.stack([number % _ROW, number // _ROW], axis=1) * 2 * side_px
    return np.concatenate([corners, corners + side_px], axis=1).astype(np.int32)


def showing(labels: Sequence[str], known: Sequence[str] = LABELS) -> npt.NDArray[np.float16]:
    """Return the probabilities of a network without doubts that knows K labels, float16 (N, K)."""
    rows = [known.index(label) for label in labels]
    return np.eye(len(known), dtype=np.float16)[rows].reshape(len(labels), len(known))


def seen(
    camera: str,
    frame_id: int,
    labels: Sequence[str],
    *,
    every_ms: int = 200,
    recorded: bool = True,
    model: str = "conv4",
    side_px: int = SIDE_PX,
    quality: float = 1.0,
    readable: float | Sequence[float] = 1.0,
    known: Sequence[str] = LABELS,
    confusions: bytes = b"",
) -> Emotions:
    """Return the message about one frame of people with these labels, the first one in the first seat.

    Args:
        camera: The camera's name.
        frame_id: The frame's number.
        labels: The expression of each person.
        every_ms: Time between two frames in milliseconds.
        recorded: Whether the frame is from footage.
        model: The network's name.
        side_px: Side of a face in pixels.
        quality: Of every face.
        readable: Of every face, or of each.
        known: The labels of the network.
        confusions: As they travel.
    """
    return Emotions(
        FrameRef(camera, "run-1", frame_id, frame_id * every_ms, 1280, 720, recorded),
        seats(len(labels), side_px),
        showing(labels, known),
        np.full(len(labels), readable, np.float16),
        np.full(len(labels), quality, np.float16),
        model,
        "haar",
        confusions,
    )
