"""Draws a preview of a camera's frame: a box around each face found, in an image in which no one can be recognised."""

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont, UnidentifiedImageError

from api.photos import UNREADABLE, shown_label
from crowdmood.core.errors import UndecodableError
from crowdmood.core.pixelation import block_px
from crowdmood.core.polygons import Polygon
from crowdmood.domain.messages import Emotions
from crowdmood.domain.palette import LABEL_COLOURS
from crowdmood.store.regions import Regions

_LONGEST_PX: Final = {True: 1600, False: 960}
"""Longest side of a preview, by `show_faces`."""
_COMMON_FACE: Final = 0.9
"""Quantile of the faces' sizes from which the size of blocks follows; larger faces get coarser blocks one by one."""
_NAMED_FROM_PX: Final = 36
"""Narrower boxes have a colour but no label."""
_COLOURS: Final = LABEL_COLOURS | {UNREADABLE: "#FFFFFF"}
_FOUND_COLOUR: Final = "#00FFFF"
"""Differs from the colour of every label."""


def draw(jpeg: bytes, found: Emotions, regions: Sequence[Regions], *, show_faces: bool, show_labels: bool) -> bytes:
    """Draw a frame with the faces that were found in it.

    Args:
        jpeg: The frame.
        found: Its faces and their expressions.
        regions: Faces are searched only where all of these regions allow it.
        show_faces: Keep the image clear instead of pixelating it.
        show_labels: Draw each box with the colour and the name of its face's expression.

    Returns:
        A JPEG file.

    Raises:
        UndecodableError: The frame cannot be decoded.
    """
    try:
        file = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
        longest = _LONGEST_PX[show_faces]
        file.draft("RGB", (longest, longest))  # decoding at a smaller size is faster
        image = file.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise UndecodableError(f"a frame cannot be decoded: {error}") from None
    image.thumbnail((longest, longest))
    boxes = found.boxes * (np.array([image.width, image.height] * 2) / ([found.ref.width, found.ref.height] * 2))
    if not show_faces:
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        common_px = float(np.quantile(sides, _COMMON_FACE)) if len(sides) else 0.0
        blocks_px = block_px(*image.size, [common_px])
        image = _hidden(image, blocks_px, regions)
        for box, side_px in zip(boxes, sides, strict=True):
            if block_px(0, 0, [side_px]) > blocks_px:
                _pixelate(image, box)
    brush = ImageDraw.Draw(image)
    font = ImageFont.load_default(14)
    for box, row, readable in zip(boxes, found.probabilities, found.readable, strict=True):
        label = shown_label(row, readable)
        colour = _COLOURS[label] if show_labels else _FOUND_COLOUR
        left, top, right, bottom = (round(side) for side in box.tolist())
        brush.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=2)
        if show_labels and right - left >= _NAMED_FROM_PX:
            place = brush.textbbox((left, top), label, font, "ls")
            brush.rectangle((place[0], place[1] - 2, place[2] + 4, place[3] + 2), fill=colour)
            brush.text((left + 2, top), label, "black", font, "ls")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def _hidden(image: Image.Image, side_px: int, regions: Sequence[Regions]) -> Image.Image:
    """Return the image in blocks; blocks are darker where faces are not searched."""
    outside = Image.new("1", image.size, 0)
    for one in regions:
        excluded = Image.new("1", image.size, bool(one.include))
        brush = ImageDraw.Draw(excluded)
        for fill, polygons in ((0, one.include), (1, one.mask)):
            for polygon in polygons:
                brush.polygon(_corners(polygon, image), fill=fill)
        outside = ImageChops.logical_or(outside, excluded)
    hidden = _blocks(image, side_px)
    hidden.paste(hidden.point(lambda value: value // 2), mask=outside)
    return hidden


def _blocks(image: Image.Image, side_px: int) -> Image.Image:
    few = image.resize((max(1, image.width // side_px), max(1, image.height // side_px)), Image.Resampling.BOX)
    return few.resize(image.size, Image.Resampling.NEAREST)


def _corners(polygon: Polygon, image: Image.Image) -> list[tuple[float, float]]:
    return [(x * (image.width - 1), y * (image.height - 1)) for x, y in polygon]


def _pixelate(image: Image.Image, box: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> None:
    left, top = np.maximum(np.floor(box[:2]), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(box[2:]), image.size).astype(int).tolist()
    if right > left and bottom > top:
        face = image.crop((left, top, right, bottom))
        # Pixelate the blocks, not the frame: a second grid over the frame would reveal more of it.
        image.paste(_blocks(face, block_px(0, 0, [max(face.size)])), (left, top))
