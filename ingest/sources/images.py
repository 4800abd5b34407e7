"""Recorded footage in a folder of images: one frame for each image, in the order of file names."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from crowdmood.core.errors import SourceError, UndecodableError
from crowdmood.core.settings import IngestSettings
from ingest.encoding import JpegImage, check_size
from ingest.sources.base import RecordedFrame
from ingest.sources.headers import declared_size, png_chunks_fit

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_EXIF_WITHIN_BYTES = 4096


class ImageFolder:
    """A folder of images, `1 / sample_fps` seconds apart in event time."""

    def __init__(self, path: Path, settings: IngestSettings) -> None:
        self._path = path
        self._settings = settings

    def check(self) -> int:
        """Check that the folder holds images, and return their number.

        Raises:
            SourceError: There is no image, or the folder cannot be read.
        """
        files = self._files()
        if not files:
            raise SourceError(f"{self._path} holds no image ({', '.join(SUFFIXES)})")
        return len(files)

    def frames(self) -> Iterator[RecordedFrame]:
        """Yield a frame for every image.

        Raises:
            SourceError: The folder cannot be read.
        """
        for number, file in enumerate(self._files()):
            yield RecordedFrame(round(number * 1000 / self._settings.sample_fps), partial(self._encode, file))

    def _files(self) -> list[Path]:
        try:
            return sorted(file for file in self._path.iterdir() if file.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}") from None

    def _encode(self, file: Path) -> JpegImage:
        try:
            return to_jpeg(file.read_bytes(), self._settings)
        except OSError as error:
            raise UndecodableError(f"{file}: {error.strerror}", "unreadable") from None
        except UndecodableError as error:
            raise UndecodableError(f"{file}: {error}", error.reason) from None


def to_jpeg(data: bytes, settings: IngestSettings) -> JpegImage:
    """Convert the content of an image file to JPEG. A JPEG that the detectors can read stays unchanged.

    Raises:
        UndecodableError: The data is no image or damaged (`unreadable`), or too large (`frame_too_large`).
    """
    if data.startswith(b"\xff\xd8"):
        width, height, unchanged = _check_jpeg(data, settings.max_frame_megapixels)
        if unchanged:
            return JpegImage(data, width, height)
    else:
        # OpenCV decodes more formats than these, and even data without a file header.
        declared = declared_size(data)
        if declared is None:
            raise UndecodableError("not an image that can be decoded", "unreadable")
        check_size(*declared, settings.max_frame_megapixels)
        if not png_chunks_fit(data):
            raise UndecodableError("not an image that can be decoded", "unreadable")
    # OpenCV prints warnings about damaged images to standard error; the exception reports them.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise UndecodableError("not an image that can be decoded", "unreadable")
    height, width = bgr.shape[:2]
    check_size(width, height, settings.max_frame_megapixels)
    return JpegImage(simplejpeg.encode_jpeg(bgr, settings.jpeg_quality, "BGR", "420"), width, height)


def _check_jpeg(data: bytes, max_megapixels: float) -> tuple[int, int, bool]:
    """Return width and height in pixels, and whether the JPEG can be published unchanged.

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
    # Exif may hold a rotation and the place where the image was taken: encode such an image again.
    return width, height, b"Exif\0" not in data[:_EXIF_WITHIN_BYTES]
