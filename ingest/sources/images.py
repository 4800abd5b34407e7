"""Recorded footage as a folder of images: one frame each, in the order of their names."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from crowdmood.core.errors import SourceError, UndecodableError
from crowdmood.core.settings import IngestSettings
from ingest.encoding import Picture, check_size
from ingest.sources.base import Shot
from ingest.sources.headers import claimed_size, claims_no_more_than_it_holds

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_EXIF_WITHIN_BYTES = 4096


class ImageFolder:
    """A folder of images, `1 / sample_fps` seconds apart in event time."""

    def __init__(self, path: Path, settings: IngestSettings) -> None:
        self._path = path
        self._settings = settings

    def check(self) -> int:
        """Make sure that there are images.

        Returns:
            How many there are.

        Raises:
            SourceError: There is none, or the folder may not be read.
        """
        files = self._files()
        if not files:
            raise SourceError(f"{self._path} holds no image ({', '.join(SUFFIXES)})")
        return len(files)

    def shots(self) -> Iterator[Shot]:
        """Every image.

        Raises:
            SourceError: The folder may not be read.
        """
        for number, file in enumerate(self._files()):
            yield Shot(round(number * 1000 / self._settings.sample_fps), partial(self._picture, file))

    def _files(self) -> list[Path]:
        try:
            return sorted(file for file in self._path.iterdir() if file.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}") from None

    def _picture(self, file: Path) -> Picture:
        try:
            return to_picture(file.read_bytes(), self._settings)
        except OSError as error:
            raise UndecodableError(f"{file}: {error.strerror}", "unreadable") from None
        except UndecodableError as error:
            raise UndecodableError(f"{file}: {error}", error.reason) from None


def to_picture(data: bytes, settings: IngestSettings) -> Picture:
    """An image file's content as a picture for the bus; a JPEG that is fit as it is stays as it is.

    Raises:
        UndecodableError: It is no image or damaged (`unreadable`), or too large (`frame_too_large`).
    """
    if data.startswith(b"\xff\xd8"):
        width, height, fit = _check_jpeg(data, settings.max_frame_megapixels)
        if fit:
            return Picture(data, width, height)
    else:
        # OpenCV takes more for pictures than anybody has: bytes that begin as WebP's innermost part does, say.
        claimed = claimed_size(data)
        if claimed is None:
            raise UndecodableError("not an image that can be decoded", "unreadable")
        check_size(*claimed, settings.max_frame_megapixels)
        if not claims_no_more_than_it_holds(data):
            raise UndecodableError("not an image that can be decoded", "unreadable")
    # What OpenCV has to say about damaged images goes to standard error: we say it ourselves.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise UndecodableError("not an image that can be decoded", "unreadable")
    height, width = bgr.shape[:2]
    check_size(width, height, settings.max_frame_megapixels)
    return Picture(simplejpeg.encode_jpeg(bgr, settings.jpeg_quality, "BGR", "420"), width, height)


def _check_jpeg(data: bytes, max_megapixels: float) -> tuple[int, int, bool]:
    """Width and height in pixels, and whether the JPEG may go on the bus as it is.

    Raises:
        UndecodableError: It is damaged (`unreadable`) or too large (`frame_too_large`).
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        check_size(width, height, max_megapixels)
        if colours not in ("YCbCr", "Gray"):
            return width, height, False
        simplejpeg.decode_jpeg(data, "GRAY")
    except ValueError as error:
        raise UndecodableError(f"not a JPEG that can be decoded: {error}", "unreadable") from None
    # Exif may say that the picture is to be turned, and where it was taken: such a picture is encoded anew.
    return width, height, b"Exif\0" not in data[:_EXIF_WITHIN_BYTES]
