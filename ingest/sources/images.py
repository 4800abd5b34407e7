"""Recorded footage in a folder of images: in the natural order of their names, timed by order, number or Exif."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image
from PIL.ExifTags import IFD, Base

from crowdmood.core.errors import SourceError, UndecodableError
from crowdmood.core.settings import IngestSettings
from ingest.encoding import JpegImage, check_size
from ingest.sources.base import RecordedFrame
from ingest.sources.headers import declared_size, png_chunks_fit
from ingest.timing import Sampler

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_EXIF_WITHIN_BYTES = 4096


class ImageFolder:
    """A folder of images.

    `CROWDMOOD_INGEST__IMAGE_CLOCK` sets their event time: `order` puts them `1 / sample_fps` seconds apart, `number`
    reads the last number of each name as a frame number at `image_fps`, and `exif` reads when each was taken.
    Names that begin with a dot are ignored: macOS adds such a file to each image.
    """

    def __init__(self, path: Path, settings: IngestSettings) -> None:
        self._path = path
        self._settings = settings

    def check(self) -> int:
        """Check that the folder holds images, and return their number.

        Raises:
            SourceError: There is no image, the folder cannot be read, or an image lacks the number or time that sets
                its place.
        """
        files = self._files()
        if not files:
            raise SourceError(f"{self._path} holds no image ({', '.join(SUFFIXES)})")
        return len(self._timed(files))

    def frames(self) -> Iterator[RecordedFrame]:
        """Yield a frame for every image.

        Raises:
            SourceError: The folder cannot be read.
        """
        for at_ms, file in self._timed(self._files()):
            yield RecordedFrame(at_ms, partial(self._encode, file))

    def _timed(self, files: list[Path]) -> list[tuple[int, Path]]:
        """Return the sampled images with their event times, in milliseconds since the first one."""
        if self._settings.image_clock == "order":
            return [(round(place * 1000 / self._settings.sample_fps), file) for place, file in enumerate(files)]
        times_ms = [self._time_ms(file) for file in files]
        timed = sorted(zip(times_ms, files, strict=True), key=lambda item: item[0])
        sampler = Sampler(self._settings.sample_fps)
        return [(at_ms - timed[0][0], file) for at_ms, file in timed if sampler.take(at_ms - timed[0][0])]

    def _time_ms(self, file: Path) -> int:
        if self._settings.image_clock == "number":
            numbers = re.findall(r"\d+", file.stem)
            if not numbers:
                raise SourceError(
                    f"{file} has no number in its name: rename it, or set CROWDMOOD_INGEST__IMAGE_CLOCK=order"
                )
            return round(int(numbers[-1]) * 1000 / self._settings.image_fps)
        at_ms = exif_time_ms(file)
        if at_ms is None:
            raise SourceError(f"{file} has no Exif time: set CROWDMOOD_INGEST__IMAGE_CLOCK to order or number")
        return at_ms

    def _files(self) -> list[Path]:
        try:
            files = [file for file in self._path.iterdir() if file.suffix.lower() in SUFFIXES]
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}") from None
        return sorted((file for file in files if not file.name.startswith(".")), key=natural_order)

    def _encode(self, file: Path) -> JpegImage:
        try:
            return to_jpeg(file.read_bytes(), self._settings)
        except OSError as error:
            raise UndecodableError(f"{file}: {error.strerror}", "unreadable") from None
        except UndecodableError as error:
            raise UndecodableError(f"{file}: {error}", error.reason) from None


def natural_order(file: Path) -> tuple[list[tuple[int, str]], str]:
    """Return the sort key that puts `2.jpg` before `10.jpg`."""
    parts = re.findall(r"\d+|\D+", file.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts], file.name


def exif_time_ms(file: Path) -> int | None:
    """Return the time at which an image was taken, in milliseconds by the camera's clock; None without one."""
    try:
        with Image.open(file) as image:
            exif = image.getexif().get_ifd(IFD.Exif)
        taken = datetime.strptime(str(exif[Base.DateTimeOriginal]), "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
        fraction = re.sub(r"\D", "", str(exif.get(Base.SubsecTimeOriginal, "0")))
    except (OSError, KeyError, ValueError, SyntaxError):
        return None
    return round((taken.timestamp() + float(f"0.{fraction or 0}")) * 1000)


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
