"""Cuts faces out as the network wants them, 48x48 gray, and tells how sharp they are."""

import cv2
import numpy as np
import numpy.typing as npt

from crowdmood.messages import CROP_SIZE
from detector.base import Image
from detector.decoding import as_colour


def crop_faces(image: Image, squares: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Cut out and resize faces; of a colour picture only the faces become gray.

    Args:
        image: uint8 (height, width), gray, or (height, width, 3), BGR; 0-255.
        squares: int32 (N, 4), xyxy in pixels; what lies outside the picture is left out.

    Returns:
        uint8 (N, 48, 48), gray, 0-255.
    """
    height, width = image.shape[:2]
    crops = np.zeros((len(squares), CROP_SIZE, CROP_SIZE), np.uint8)
    for crop, (left, top, right, bottom) in zip(crops, squares, strict=True):
        face = image[max(top, 0) : max(min(bottom, height), 0), max(left, 0) : max(min(right, width), 0)]
        if face.size:
            shrinking = min(face.shape[:2]) > CROP_SIZE
            method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
            crop[:] = cv2.resize(as_colour(face, "gray"), (CROP_SIZE, CROP_SIZE), interpolation=method)
    return crops


def sharpness(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """How sharp faces are: the variance of the Laplacian over that of the brightness.

    After Pech-Pacheco et al. (ICPR 2000); the division makes it independent of contrast. A face of fewer pixels than
    the crop has counts as blurred, as it is.

    Args:
        crops: uint8 (N, 48, 48), gray, 0-255.

    Returns:
        float32 (N,), from 0 (nothing to be seen) upwards; noise has more than 10.
    """
    values = np.zeros(len(crops), np.float32)
    for number, crop in enumerate(crops):
        contrast = float(crop.var())
        if contrast > 0:
            values[number] = cv2.Laplacian(crop, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE).var() / contrast
    return values
