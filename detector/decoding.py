"""From a frame's JPEG to the gray picture that the detector searches."""

from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg

from crowdmood.errors import UndecodableError


def decode_gray(jpeg: bytes, max_megapixels: float) -> npt.NDArray[np.uint8]:
    """Decode the luma of a JPEG; the colours are never computed.

    Args:
        jpeg: A whole JPEG file.
        max_megapixels: Larger pictures are refused by their header, before memory is taken for them.

    Returns:
        uint8 (height, width), gray, 0-255.

    Raises:
        UndecodableError: Not a JPEG, cut short, without pixels, or too large.
    """
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise UndecodableError(f"the frame is no JPEG: {error}") from None
    if not 0 < height * width <= max_megapixels * 1e6:
        raise UndecodableError(
            f"the frame has {width}x{height} pixels; at most {max_megapixels:g} megapixels are accepted "
            "(CROWDMOOD_INGEST__MAX_FRAME_MEGAPIXELS)",
            "frame_too_large",
        )
    try:
        gray: npt.NDArray[Any] = simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")
    except ValueError as error:
        raise UndecodableError(f"the frame's JPEG is damaged: {error}") from None
    return gray[:, :, 0]
