"""How coarse a frame must be shown so that no one can be recognised in it. Pure: it knows no image, only sizes.

People recognise a familiar face from about 15 blocks across it and hardly from fewer (Bachmann, "Identification of
spatially quantised tachistoscopic images of faces", 1991). No detector finds every face, so the whole frame is made of
blocks, whose least size rests on the frame alone: the larger a missed face could be, the larger they must be.
"""

from collections.abc import Iterable
from math import ceil
from typing import Final

_BLOCKS_ALONG_FRAME: Final = 12
"""Blocks along the shorter side of a frame, at most: a face that fits into the frame has no more."""
BLOCKS_ALONG_FACE: Final = 6
"""Blocks along the longer side of a face that was found, at most."""


def block_px(width: int, height: int, face_sides: Iterable[float] = ()) -> int:
    """Return the side of a block in pixels.

    Args:
        width: Width of the image that is shown, in pixels.
        height: Its height in pixels.
        face_sides: Longer sides of the faces that were found, in pixels of the same image.
    """
    of_faces = (side / BLOCKS_ALONG_FACE for side in face_sides)
    return max(1, ceil(min(width, height) / _BLOCKS_ALONG_FRAME), *map(ceil, of_faces))
