"""Crowds for tests: people who sit in rows and show what they are told to show."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crowdmood import LABELS
from crowdmood.messages import Emotions, FrameRef

SIDE_PX = 40
_ROW = 10


def seats(count: int, side_px: int = SIDE_PX) -> npt.NDArray[np.int32]:
    """Boxes of as many people in rows of ten, int32 (N, 4) xyxy."""
    number = np.arange(count)
    corners = np.stack([number % _ROW, number // _ROW], axis=1) * 2 * side_px
    return np.concatenate([corners, corners + side_px], axis=1).astype(np.int32)


def showing(labels: Sequence[str]) -> npt.NDArray[np.float16]:
    """Probabilities of people of whom the network has no doubt, float16 (N, 7)."""
    rows = [LABELS.index(label) for label in labels]
    return np.eye(len(LABELS), dtype=np.float16)[rows].reshape(len(labels), len(LABELS))


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
    confusions: bytes = b"",
) -> Emotions:
    """What one frame tells of people who show these labels, the first one in the first seat."""
    return Emotions(
        FrameRef(camera, "run-1", frame_id, frame_id * every_ms, 1280, 720, recorded),
        seats(len(labels), side_px),
        showing(labels),
        np.full(len(labels), quality, np.float16),
        model,
        "haar",
        confusions,
    )
