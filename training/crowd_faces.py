"""Labelled faces of real crowds: a folder of `images/` and `faces.csv` with the votes of several annotators."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from crowdmood.core.errors import DataError
from crowdmood.domain.framing import FRAMINGS, Framing, to_squares
from crowdmood.domain.labels import LABELS
from crowdmood.domain.messages import CROP_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FACES_FILE: Final = "faces.csv"
VOTE_COLUMNS: Final = (*LABELS, "unreadable")
UNREADABLE: Final = len(LABELS)
"""Code of the last column: most annotators could not read an expression."""
NO_LABEL: Final = -1
"""Code of faces on which no strict majority of annotators agrees."""
_COLUMNS: Final = ("file", "photo", "split", "how", "px", *VOTE_COLUMNS, "vocal")
_MOST_VOTES: Final = 255


@dataclass(frozen=True, slots=True, eq=False)
class CrowdFaces:
    """Faces of real crowds; the images stay in their folder until `crops` reads them.

    Attributes:
        folder: Where `images/` lies.
        files: Names of the images, one a face: a square of twice the box's longer side with the face in its middle.
        photos: The photo that each face comes from; the faces of one photo belong to one split.
        split: `train` or `validation`.
        how: `random`, or `mined` for rare labels: shares of labels are meaningful on `random` rows only.
        px: `(N,) int32`, the shorter side of the labelled box in the photo, pixels.
        votes: `(N, 9) uint8`, annotators who chose each of `VOTE_COLUMNS`.
        vocal: `(N,) uint8`, annotators who saw a mouth open to sing, shout or cheer, whatever the label.
    """

    folder: Path
    files: tuple[str, ...]
    photos: tuple[str, ...]
    split: tuple[str, ...]
    how: tuple[str, ...]
    px: NDArray[np.int32]
    votes: NDArray[np.uint8]
    vocal: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labels(self) -> NDArray[np.int64]:
        """`(N,) int64`: the column of `VOTE_COLUMNS` that more than half of the annotators chose, or `NO_LABEL`."""
        most = self.votes.argmax(axis=1)
        strict = self.votes.max(axis=1).astype(np.int64) * 2 > self.votes.sum(axis=1)
        return np.where(strict, most, NO_LABEL)

    @property
    def readable(self) -> NDArray[np.bool_]:
        """`(N,) bool`: more than half of the annotators chose an expression, even if not the same one."""
        expressions = self.votes[:, :UNREADABLE].sum(axis=1)
        return np.asarray(expressions * 2 > self.votes.sum(axis=1))

    def in_split(self, name: str) -> NDArray[np.bool_]:
        """Return which faces are of a split: `(N,) bool`."""
        return np.array([split == name for split in self.split], dtype=np.bool_)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> CrowdFaces:
        """Return the chosen rows, by mask or by index."""
        rows = np.arange(len(self))[chosen]
        return CrowdFaces(
            folder=self.folder,
            files=tuple(self.files[row] for row in rows),
            photos=tuple(self.photos[row] for row in rows),
            split=tuple(self.split[row] for row in rows),
            how=tuple(self.how[row] for row in rows),
            px=self.px[rows],
            votes=self.votes[rows],
            vocal=self.vocal[rows],
        )

    def crops(self, side_factor: float | None = None, size_px: int = CROP_SIZE) -> NDArray[np.uint8]:
        """Cut every face as the detector does: a square around the middle box, converted to gray, resized.

        Args:
            side_factor: Side of the square as a multiple of the box's longer side; None: YuNet's framing. The image
                ends at 2.
            size_px: Side of the crops.

        Returns:
            `(N, size_px, size_px) uint8`.

        Raises:
            DataError: An image is missing or cannot be read.
        """
        framing = FRAMINGS["yunet"] if side_factor is None else Framing(side=side_factor)
        crops = np.empty((len(self), size_px, size_px), np.uint8)
        for crop, name in zip(crops, self.files, strict=True):
            crop[:] = _crop(_read(self.folder / "images" / name), framing, size_px)
        return crops


def is_crowd_folder(path: Path) -> bool:
    """Return whether a folder holds labelled faces of crowds."""
    return (path / FACES_FILE).is_file()


def load_crowd_faces(folder: Path, split: str | None = None) -> CrowdFaces:
    """Read `folder/faces.csv`; other columns are ignored.

    Args:
        folder: Holds `faces.csv` and `images/`.
        split: Only the faces of this split; None: all.

    Raises:
        DataError: The table is missing, lacks a column, has no rows (of this split), or a row names no image in the
            folder or holds votes that are no numbers.
    """
    path = folder / FACES_FILE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: lacks the column {missing[0]!r}; the first line must be {','.join(_COLUMNS)}")
            rows = [(row, f"{path}, line {reader.line_num}") for row in reader]
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); write it as UTF-8 with commas") from error
    if split is not None:
        rows = [(row, where) for row, where in rows if row["split"] == split]
    if not rows:
        of_split = "" if split is None else f" of the split {split!r}"
        raise DataError(f"{path}: holds no rows{of_split}; add labelled faces")
    numbers = np.array([list(_numbers(row, where)) for row, where in rows])
    return CrowdFaces(
        folder=folder,
        files=tuple(_file(folder, row["file"], where) for row, where in rows),
        photos=tuple(row["photo"] or "" for row, _ in rows),
        split=tuple(row["split"] or "" for row, _ in rows),
        how=tuple(row["how"] or "" for row, _ in rows),
        px=numbers[:, 0].astype(np.int32),
        votes=numbers[:, 1:-1].astype(np.uint8),
        vocal=numbers[:, -1].astype(np.uint8),
    )


def _numbers(row: dict[str, str | None], where: str) -> Iterator[int]:
    """Yield `px`, the nine votes and `vocal`."""
    for name in ("px", *VOTE_COLUMNS, "vocal"):
        text = (row[name] or "").strip()
        most = 1_000_000 if name == "px" else _MOST_VOTES
        if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) <= most):
            raise DataError(f"{where}: {name} is {text!r}; write a whole number from 0 to {most}")
        yield int(text)
    if all(int(row[name] or 0) == 0 for name in VOTE_COLUMNS):
        raise DataError(f"{where}: has no votes; remove the row")


def _file(folder: Path, name: str | None, where: str) -> str:
    if not name or ".." in Path(name).parts or Path(name).is_absolute():
        raise DataError(f"{where}: file {name!r} is not inside images; correct the row")
    if not (folder / "images" / name).is_file():
        raise DataError(f"{where}: {folder / 'images' / name} does not exist; restore the image or remove the row")
    return name


def _read(path: Path) -> NDArray[np.uint8]:
    """Return an image in colour: `(H, W, 3) uint8`, BGR."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path}: is not a readable image; restore it or remove its row from {FACES_FILE}")
    return np.asarray(image, dtype=np.uint8)


def _crop(image: NDArray[np.uint8], framing: Framing, size_px: int) -> NDArray[np.uint8]:
    """Cut a square around the middle box, which has half of the image's side; resize as the detector does."""
    height, width = image.shape[:2]
    box = np.array([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]])
    ((left, top, right, bottom),) = to_squares(box, framing)
    face = cv2.cvtColor(image[max(top, 0) : bottom, max(left, 0) : right], cv2.COLOR_BGR2GRAY)
    method = cv2.INTER_AREA if min(face.shape) > size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(face, (size_px, size_px), interpolation=method), dtype=np.uint8)
