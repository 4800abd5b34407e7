"""Folders of labelled faces of crowds for tests: drawn faces, and the votes that a test gives them."""

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from training.crowd_faces import VOTE_COLUMNS, CrowdFaces

HEADER = ("file", "photo", "split", "how", "px", *VOTE_COLUMNS, "vocal")


def votes(*names: str) -> list[int]:
    """Return how many annotators chose each column, one name an annotator."""
    return [names.count(column) for column in VOTE_COLUMNS]


def draw_face(side_px: int, seed: int = 0) -> np.ndarray:
    """Return a coloured face in the middle of other colours: uint8 (side, side, 3), BGR."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), (side_px, side_px))
    middle = (side_px // 2, side_px // 2)
    cv2.circle(image, middle, side_px // 4, (150, 180, 220), -1)
    cv2.ellipse(image, (middle[0], round(side_px * 0.6)), (side_px // 10, side_px // 16), 0, 0, 180, (40, 40, 160), -1)
    for x in (0.42, 0.58):
        cv2.circle(image, (round(side_px * x), round(side_px * 0.45)), max(side_px // 40, 1), (30, 20, 10), -1)
    return np.asarray(image, np.uint8)


def row(file: str, chosen: Sequence[str], **fields: object) -> dict[str, object]:
    """Return a row of the table: the votes of annotators, and what a test wants different."""
    made: dict[str, object] = {
        "file": file,
        "photo": file,
        "split": "validation",
        "how": "random",
        "px": 40,
        "vocal": 0,
    }
    return made | dict(zip(VOTE_COLUMNS, votes(*chosen), strict=True)) | fields


def write_folder(folder: Path, rows: Sequence[dict[str, object]], header: Sequence[str] = HEADER) -> Path:
    """Write `faces.csv` and an image for every row, of twice its `px` where that is a number."""
    (folder / "images").mkdir(parents=True)
    with (folder / "faces.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, header, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    for seed, each in enumerate(rows):
        px = each["px"]
        side = min(2 * px, 192) if isinstance(px, int) else 80
        cv2.imwrite(str(folder / "images" / str(each["file"])), draw_face(side, seed))
    return folder


def faces_of(
    chosen: Sequence[Sequence[str]],
    photos: Sequence[str] | None = None,
    px: Sequence[int] | int = 40,
    how: Sequence[str] | str = "random",
) -> CrowdFaces:
    """Return faces with these votes and without images, each in its own photograph unless `photos` says otherwise."""
    count = len(chosen)
    files = tuple(f"{number}.png" for number in range(count))
    return CrowdFaces(
        folder=Path("nowhere"),
        files=files,
        photos=tuple(photos or files),
        split=("validation",) * count,
        how=(how,) * count if isinstance(how, str) else tuple(how),
        px=np.broadcast_to(np.array(px, np.int32), count).copy(),
        votes=np.array([votes(*names) for names in chosen], np.uint8).reshape(count, len(VOTE_COLUMNS)),
        vocal=np.zeros(count, np.uint8),
    )
