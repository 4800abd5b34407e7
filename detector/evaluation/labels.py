"""Reads labelled images: a folder with `images` and `boxes.json`, or WIDER FACE in its published layout."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crowdmood.core.errors import DataError

_WIDER_COLUMNS = 10
_WIDER_INVALID = 7
"""Column of WIDER FACE's text files that marks a face as invalid."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """An image and its faces.

    Attributes:
        file: The image file.
        boxes: float32 (N, 4), xyxy in pixels.
        invalid: bool (N,), faces that do not count, whether found or missed.
    """

    file: Path
    boxes: npt.NDArray[np.float32]
    invalid: npt.NDArray[np.bool_]


def labelled_images(folder: Path) -> list[LabelledImage]:
    """Return the labelled images of a folder, in the order of their names.

    Args:
        folder: Holds `boxes.json` and `images/`, or WIDER FACE's `wider_face_split/*_bbx_gt.txt` and `WIDER_*/images/`.

    Raises:
        DataError: There are no labels, they are damaged, or an image is missing.
    """
    labels = folder / "boxes.json"
    lists = sorted(folder.glob("**/wider_face_*_bbx_gt.txt"))
    try:
        if labels.is_file():
            found = list(_from_json(json.loads(labels.read_text()), folder / "images"))
        elif lists:
            found = [image for text in lists for image in _from_wider(text, folder)]
        else:
            raise DataError(f"{folder} holds neither boxes.json nor WIDER FACE's wider_face_*_bbx_gt.txt")
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise DataError(f"the labels in {folder} are damaged: {error!r}") from None
    for image in found:
        if ".." in image.file.parts[len(folder.parts) :] or not image.file.is_relative_to(folder):
            raise DataError(f"{image.file} has labels but is outside {folder}")
        if not image.file.is_file():
            raise DataError(f"{image.file} has labels but does not exist")
    if not found:
        raise DataError(f"the labels in {folder} name no image")
    return sorted(found, key=lambda image: image.file)


def _from_json(labels: dict[str, Any], images: Path) -> Iterator[LabelledImage]:
    for name, entry in labels.items():
        boxes = _boxes(entry["boxes_xywh"])
        yield LabelledImage(images / name, boxes, np.array(entry.get("invalid", [0] * len(boxes)), np.bool_))


def _from_wider(text: Path, folder: Path) -> Iterator[LabelledImage]:
    split = text.name.removeprefix("wider_face_").removesuffix("_bbx_gt.txt")
    images = folder / f"WIDER_{split}" / "images"
    lines = iter(text.read_text().splitlines())
    for name in lines:
        count = int(next(lines))
        # An image without faces has one line of zeros.
        rows = [[int(value) for value in next(lines).split()] for _ in range(max(count, 1))]
        table = np.array(rows[:count], np.int64).reshape(-1, _WIDER_COLUMNS)
        yield LabelledImage(images / name, _boxes(table[:, :4]), table[:, _WIDER_INVALID].astype(np.bool_))


def _boxes(xywh: npt.ArrayLike) -> npt.NDArray[np.float32]:
    boxes = np.array(xywh, np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
