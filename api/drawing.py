"""A camera's frame as its preview shows it: what was found is framed and named, and nobody can be recognised."""

import io
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from crowdmood import LABELS
from crowdmood.errors import UndecodableError
from crowdmood.messages import Emotions
from crowdmood.palette import LABEL_COLOURS
from crowdmood.polygons import Polygon
from crowdmood.streams.regions import Regions

_LONGEST_PX: Final = {True: 1600, False: 960}
"""Longest side of a preview: a face that the detector missed is made smaller as well, unless faces are shown."""
_BLOCKS_ACROSS_FACE: Final = 6
_BLOCK_PX: Final = 24
"""Side of the blocks that stand for where nobody is looked for: everybody there is hidden."""
_MARGIN: Final = 0.15
"""How far beyond its box a face is pixelated, as a share of the box: hair and ears tell a person too."""
_NAMED_FROM_PX: Final = 36
"""Narrower boxes have a colour only."""


def draw(jpeg: bytes, found: Emotions, regions: Regions, *, show_faces: bool) -> bytes:
    """Draw a frame with the faces that were found in it.

    Args:
        jpeg: The frame.
        found: Its faces, and what they express.
        regions: Where they were looked for.
        show_faces: Leave faces, and what is masked, as they are, instead of pixelated.

    Returns:
        A JPEG file.

    Raises:
        UndecodableError: The frame cannot be decoded.
    """
    try:
        file = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
        longest = _LONGEST_PX[show_faces]
        file.draft("RGB", (longest, longest))  # decoding small costs little
        image = file.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise UndecodableError(f"a frame cannot be decoded: {error}") from None
    image.thumbnail((longest, longest))
    boxes = found.boxes * (np.array([image.width, image.height] * 2) / ([found.ref.width, found.ref.height] * 2))
    if not show_faces:
        _hide_outside(image, regions)
        for box in boxes:
            _pixelate(image, box)
    brush = ImageDraw.Draw(image)
    font = ImageFont.load_default(14)
    for box, row in zip(boxes, found.probabilities, strict=True):
        label = LABELS[int(row.argmax())]
        left, top, right, bottom = (round(side) for side in box.tolist())
        brush.rectangle((left, top, max(left, right), max(top, bottom)), outline=LABEL_COLOURS[label], width=2)
        if right - left >= _NAMED_FROM_PX:
            place = brush.textbbox((left, top), label, font, "ls")
            brush.rectangle((place[0], place[1] - 2, place[2] + 4, place[3] + 2), fill=LABEL_COLOURS[label])
            brush.text((left + 2, top), label, "black", font, "ls")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def _hide_outside(image: Image.Image, regions: Regions) -> None:
    if not regions.include and not regions.mask:
        return
    outside = Image.new("1", image.size, bool(regions.include))
    brush = ImageDraw.Draw(outside)
    for fill, polygons in ((0, regions.include), (1, regions.mask)):
        for polygon in polygons:
            brush.polygon(_corners(polygon, image), fill=fill)
    few = image.resize((max(1, image.width // _BLOCK_PX), max(1, image.height // _BLOCK_PX)), Image.Resampling.BOX)
    blocks = few.resize(image.size, Image.Resampling.NEAREST).point(lambda value: value // 2)
    image.paste(blocks, mask=outside)


def _corners(polygon: Polygon, image: Image.Image) -> list[tuple[float, float]]:
    return [(x * (image.width - 1), y * (image.height - 1)) for x, y in polygon]


def _pixelate(image: Image.Image, box: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> None:
    margin = (box[2:] - box[:2]) * _MARGIN
    left, top = np.maximum(np.floor(box[:2] - margin), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(box[2:] + margin), image.size).astype(int).tolist()
    if right <= left or bottom <= top:
        return
    face = image.crop((left, top, right, bottom))
    few = face.resize(
        (min(_BLOCKS_ACROSS_FACE, face.width), min(_BLOCKS_ACROSS_FACE, face.height)), Image.Resampling.BOX
    )
    image.paste(few.resize(face.size, Image.Resampling.NEAREST), (left, top))
