"""Read labelled faces from `fer2013.csv`, from class folders, or from an `.npz`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from crowdmood.core.errors import DataError
from crowdmood.domain.labels import FER_LABELS
from training.data import PRIVATE_TEST, PUBLIC_TEST, SIDE, TRAINING, USAGES, FaceData

if TYPE_CHECKING:
    from zipfile import ZipFile

    from numpy.typing import NDArray

_CSV_COLUMNS: Final = ("emotion", "pixels", "Usage")
_NPZ_ARRAYS: Final = ("images", "labels", "usage")
_SMALL_BYTES: Final = 100_000_000
_MOST_UNPACKED: Final = 100
"""An archive that unpacks to more than this multiple of its size is refused as a decompression bomb."""
_SPLIT_FOLDERS: Final = {"train": TRAINING, "validation": PUBLIC_TEST, "test": PRIVATE_TEST}
_PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".webp"})


def load_faces(path: Path) -> FaceData:
    """Load faces from a folder, a `.csv` or an `.npz`.

    Raises:
        DataError: The path does not exist, is of another kind, or its content is malformed.
    """
    if path.is_dir():
        return load_folders(path)
    if not path.exists():
        raise DataError(f"{path}: does not exist; give fer2013.csv, an .npz or a folder of train/validation/test")
    if path.suffix == ".csv":
        return load_csv(path)
    if path.suffix == ".npz":
        return load_npz(path)
    raise DataError(f"{path}: is neither .csv nor .npz nor a folder; convert it to one of them")


def load_npz(path: Path) -> FaceData:
    """Load `images (N, 48, 48) uint8`, `labels`, `usage` and optionally `ferplus_votes (N, 10)`.

    Raises:
        DataError: The file is no archive, lacks an array, or holds arrays of a wrong shape or label.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            _check_unpacked_size(path, archive.zip)
            arrays = {name: archive[name] for name in archive.files}
    except DataError:
        raise
    except Exception as error:  # a damaged archive fails in zipfile, in zlib, in NumPy or in the tokenizer that it uses
        raise DataError(f"{path}: cannot be read as .npz ({error}); write it with numpy.savez") from error
    arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    missing = [name for name in _NPZ_ARRAYS if name not in arrays]
    if missing:
        raise DataError(f"{path}: lacks the array {missing[0]!r}; it needs {', '.join(_NPZ_ARRAYS)}")
    images, labels, usage = (arrays[name] for name in _NPZ_ARRAYS)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{path}: images are {images.dtype} {images.shape}; they must be uint8 (N, {SIDE}, {SIDE})")
    votes = arrays.get("ferplus_votes")
    if votes is not None and votes.shape != (len(images), 10):
        raise DataError(f"{path}: ferplus_votes are {votes.shape}; they must be ({len(images)}, 10)")
    _check_codes(path, "labels", labels, len(images), len(FER_LABELS))
    _check_codes(path, "usage", usage, len(images), len(USAGES))
    return FaceData(images, labels.astype(np.uint8), usage.astype(np.uint8), votes, path.name)


def _check_unpacked_size(path: Path, archive: ZipFile) -> None:
    packed = path.stat().st_size
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > _SMALL_BYTES and unpacked > _MOST_UNPACKED * packed:
        raise DataError(
            f"{path}: unpacks from {packed} to {unpacked} bytes, more than any faces; check where it is from"
        )


def _check_codes(path: Path, name: str, codes: NDArray[np.generic], count: int, below: int) -> None:
    if codes.shape != (count,):
        raise DataError(f"{path}: {name} are {codes.shape} where there are {count} images; give one for each")
    if not np.isin(codes, np.arange(below)).all():
        raise DataError(f"{path}: {name} hold codes outside 0-{below - 1}; correct them")


def load_csv(path: Path) -> FaceData:
    """Load FER2013's own table: `emotion` 0-6, `pixels` (2,304 numbers), `Usage`.

    Raises:
        DataError: It is no table, a column is missing, or a row has an unknown label or usage or a wrong number of
            pixels.
    """
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    usage: list[int] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _CSV_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path}: lacks the column {missing[0]!r}; the first line must be {','.join(_CSV_COLUMNS)}"
                )
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if row["emotion"] not in {str(code) for code in range(len(FER_LABELS))}:
                    raise DataError(f"{where}: label {row['emotion']!r} is unknown; use 0-{len(FER_LABELS) - 1}")
                if row["Usage"] not in USAGES:
                    raise DataError(f"{where}: Usage {row['Usage']!r} is unknown; use one of {', '.join(USAGES)}")
                images.append(_parse_pixels(row["pixels"] or "", where))
                labels.append(int(row["emotion"]))
                usage.append(USAGES.index(row["Usage"]))
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); write it as UTF-8 with commas") from error
    if not images:
        raise DataError(f"{path}: holds no rows; give the whole table")
    return FaceData(
        np.stack(images), np.array(labels, dtype=np.uint8), np.array(usage, dtype=np.uint8), None, path.name
    )


def _parse_pixels(text: str, where: str) -> NDArray[np.uint8]:
    try:
        values = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}: pixels are not whole numbers ({error}); correct the row") from error
    if len(values) != SIDE * SIDE:
        raise DataError(f"{where}: {len(values)} pixels where {SIDE * SIDE} are needed; correct the row")
    if values.min() < 0 or values.max() > 255:
        raise DataError(f"{where}: pixels outside 0-255; correct the row")
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def load_folders(folder: Path) -> FaceData:
    """Load `train`, `validation` and `test` with one folder of images a label, of any size and colour.

    Images are converted to gray and scaled to 48x48. `validation` counts as PublicTest; without it `test` does.

    Raises:
        DataError: There is no `train` folder, a folder is named like no label, or an image cannot be read.
    """
    if not (folder / "train").is_dir():
        raise DataError(f"{folder}: has no folder 'train'; arrange images as train/happy/1.png")
    usages = dict(_SPLIT_FOLDERS)
    if not (folder / "validation").is_dir():
        usages["test"] = PUBLIC_TEST
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    usage: list[int] = []
    for split, code in usages.items():
        for label_folder in sorted(path for path in (folder / split).glob("*") if path.is_dir()):
            if label_folder.name not in FER_LABELS:
                raise DataError(f"{label_folder}: is no label; name folders {', '.join(FER_LABELS)}")
            for picture in sorted(label_folder.iterdir()):
                if picture.suffix.lower() in _PICTURES:
                    images.append(_read_picture(picture))
                    labels.append(FER_LABELS.index(label_folder.name))
                    usage.append(code)
    if not images:
        raise DataError(f"{folder}: holds no images; lay them out as train/happy/1.png")
    return FaceData(
        np.stack(images), np.array(labels, dtype=np.uint8), np.array(usage, dtype=np.uint8), None, folder.name
    )


def _read_picture(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise DataError(f"{path}: is no readable image; restore or remove it")
    shrinks = min(picture.shape) > SIDE
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=interpolation), dtype=np.uint8)
