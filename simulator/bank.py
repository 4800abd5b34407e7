"""The faces of the people in the stand: the shipped bank, or a user's own images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from crowdmood.core.errors import DataError
from crowdmood.domain.labels import LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHIPPED_BANK: Final = Path(__file__).parent / "faces"
CARD_FILE: Final = "bank.json"
TILE_PX: Final = 64
SHEET_COLUMNS: Final = 16
_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".webp"})


@dataclass(frozen=True, slots=True)
class FaceBank:
    """Faces by expression, in FER2013's framing (from the forehead's edge to the chin).

    Attributes:
        faces: One array for each of `LABELS`, `(N, 64, 64) uint8`, gray; N >= 1 and may differ between labels. In the
            shipped bank, equal rows are the same person with eight expressions.
    """

    faces: tuple[NDArray[np.uint8], ...]

    def face(self, label: int, number: int) -> NDArray[np.uint8]:
        """Return the face `(64, 64) uint8` of person `number` (0 or more) for a label 0-7."""
        choice = self.faces[label]
        return np.asarray(choice[number % len(choice)], dtype=np.uint8)


def load_bank(folder: Path | None = None) -> FaceBank:
    """Load the shipped bank, or a user's folder with a folder of images for each label.

    Raises:
        DataError: The folder or an image cannot be read, or a label has no image.
    """
    return read_sheets(SHIPPED_BANK) if folder is None else FaceBank(_read_folders(folder))


def write_sheet(path: Path, faces: NDArray[np.uint8]) -> None:
    """Write faces `(N, 64, 64) uint8` row by row into one PNG of 16 columns; unused tiles are black."""
    rows = -(-len(faces) // SHEET_COLUMNS)
    tiles = np.zeros((rows * SHEET_COLUMNS, TILE_PX, TILE_PX), np.uint8)
    tiles[: len(faces)] = faces
    sheet = tiles.reshape(rows, SHEET_COLUMNS, TILE_PX, TILE_PX).swapaxes(1, 2)
    image = sheet.reshape(rows * TILE_PX, SHEET_COLUMNS * TILE_PX)
    _, encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    path.write_bytes(encoded.tobytes())


def read_sheets(folder: Path) -> FaceBank:
    """Read a bank of one sheet for each label, and a card with the number of faces in each.

    Raises:
        DataError: A sheet or the card is missing or damaged.
    """
    return FaceBank(tuple(read_sheet(folder, label) for label in LABELS))


def read_sheet(folder: Path, label: str) -> NDArray[np.uint8]:
    """Read the faces `(N, 64, 64) uint8` of a label from a bank of sheets.

    Raises:
        DataError: The sheet or the bank's card is missing or damaged.
    """
    try:
        count = int(json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))["faces_per_label"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder / CARD_FILE}: cannot be read ({error}); install CrowdMood again") from error
    sheet = _read_gray(folder / f"{label}.png")
    rows = sheet.shape[0] // TILE_PX
    if sheet.shape != (rows * TILE_PX, SHEET_COLUMNS * TILE_PX) or rows * SHEET_COLUMNS < count:
        raise DataError(f"{folder / label}.png: does not hold {count} faces; install CrowdMood again")
    tiles = sheet.reshape(rows, TILE_PX, SHEET_COLUMNS, TILE_PX).swapaxes(1, 2)
    return tiles.reshape(-1, TILE_PX, TILE_PX)[:count]


def _read_folders(folder: Path) -> tuple[NDArray[np.uint8], ...]:
    banks = []
    for label in LABELS:
        try:
            files = sorted(path for path in (folder / label).iterdir() if path.suffix.lower() in _SUFFIXES)
        except OSError as error:
            raise DataError(
                f"{folder / label}: cannot be read ({error.strerror}); --faces needs a folder of images for each "
                f"of {', '.join(LABELS)}"
            ) from error
        if not files:
            raise DataError(f"{folder / label}: holds no images; put at least one face there")
        banks.append(np.stack([_as_tile(_read_gray(file)) for file in files]))
    return tuple(banks)


def _read_gray(path: Path) -> NDArray[np.uint8]:
    # Decode from memory: OpenCV prints a warning about a file that it cannot open.
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore or remove it") from error
    image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if len(data) else None
    if image is None:
        raise DataError(f"{path}: is no readable image; restore or remove it")
    return np.asarray(image, dtype=np.uint8)


def _as_tile(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crop the central square and scale it to 64x64."""
    height, width = gray.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = gray[top : top + side, left : left + side]
    shrinks = side > TILE_PX
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (TILE_PX, TILE_PX), interpolation=method), dtype=np.uint8)
