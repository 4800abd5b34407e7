"""YuNet's model file: which one it is, where it should lie, and what to say when it does not."""

import hashlib
from pathlib import Path
from typing import Final

SHA256: Final = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
SIZE_BYTES: Final = 232_589
URL: Final = (
    "https://github.com/opencv/opencv_zoo/raw/82b38c8f98e7b52aa171400f3e4c722352d0669f/models/face_detection_yunet/"
    "face_detection_yunet_2023mar.onnx"
)
"""OpenCV's model zoo, at the commit that brought the file."""


def missing(file: Path | None) -> str:
    """What to say when the model is not there."""
    return (
        f"YuNet's model is not there ({file}): fetch it with `crowdmood models pull yunet`, name another place with "
        "CROWDMOOD_DETECTOR__YUNET_MODEL, or set CROWDMOOD_DETECTOR__KIND=haar"
    )


def is_genuine(file: Path) -> bool:
    """Whether a file is the model that is pinned here, byte for byte."""
    return file.stat().st_size == SIZE_BYTES and hashlib.sha256(file.read_bytes()).hexdigest() == SHA256
