"""Cuts faces out in FER2013's framing: 48x48 gray, from the forehead's edge to the chin.

Measured on the terrace footage, whose seats show whole FER2013 pictures: a Haar box is as wide as the picture
(mean ratio 1.00) and centred on it (mean offset -3 % and +2 % of the side), so it is taken as it is.
"""

import cv2
import numpy as np
import numpy.typing as npt

from crowdmood.messages import CROP_SIZE


def crop_faces(gray: npt.NDArray[np.uint8], boxes: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Cut out and resize faces.

    Args:
        gray: uint8 (height, width), 0-255.
        boxes: int32 (N, 4), xyxy in pixels; what lies outside the frame is left out.

    Returns:
        uint8 (N, 48, 48), gray, 0-255.
    """
    height, width = gray.shape
    crops = np.zeros((len(boxes), CROP_SIZE, CROP_SIZE), np.uint8)
    for crop, (left, top, right, bottom) in zip(crops, boxes, strict=True):
        face = gray[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        if face.size:
            shrinking = min(face.shape) > CROP_SIZE
            method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
            crop[:] = cv2.resize(face, (CROP_SIZE, CROP_SIZE), interpolation=method)
    return crops
