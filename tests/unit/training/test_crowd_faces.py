"""Labelled faces of crowds: a table of votes, and crops as the detector cuts them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from crowdmood.core.errors import DataError
from crowdmood.domain.framing import FRAMINGS, to_squares
from crowdmood.domain.labels import LABELS
from crowdmood.domain.messages import CROP_SIZE
from detector.images import crop_faces
from tests.faces_of_crowds import HEADER, draw_face, faces_of, row, write_folder
from training.crowd_faces import NO_LABEL, UNREADABLE, load_crowd_faces

HAPPY = LABELS.index("happy")


def test_a_folder_loads_with_every_column(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "faces",
        [
            row("a.png", ["happy", "happy", "neutral"], photo="one.jpg", px=25, vocal=2),
            row("b.png", ["unreadable", "unreadable"], photo="two.jpg", split="train", how="mined"),
        ],
    )

    faces = load_crowd_faces(folder)

    assert len(faces) == 2
    assert (faces.files, faces.photos) == (("a.png", "b.png"), ("one.jpg", "two.jpg"))
    assert (faces.split, faces.how) == (("validation", "train"), ("random", "mined"))
    assert (faces.px.dtype, faces.px.tolist()) == (np.int32, [25, 40])
    assert (faces.votes.dtype, faces.votes.shape) == (np.uint8, (2, 9))
    assert faces.votes.tolist() == [[0, 0, 0, 2, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 2]]
    assert (faces.vocal.dtype, faces.vocal.tolist()) == (np.uint8, [2, 0])


def test_a_split_is_loaded_alone(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "faces", [row("a.png", ["sad"]), row("b.png", ["sad"], split="train")])

    assert load_crowd_faces(folder, "train").files == ("b.png",)
    assert load_crowd_faces(folder, "validation").files == ("a.png",)


@pytest.mark.parametrize(
    ("chosen", "label", "readable"),
    [
        (["happy", "happy", "happy"], HAPPY, True),
        (["happy", "happy", "unreadable"], HAPPY, True),
        (["happy", "neutral"], NO_LABEL, True),  # readable, and no strict majority
        (["happy", "neutral", "cheering"], NO_LABEL, True),
        (["happy", "neutral", "unreadable"], NO_LABEL, True),
        (["cheering", "cheering"], LABELS.index("cheering"), True),
        (["unreadable", "unreadable", "happy"], UNREADABLE, False),
        (["unreadable", "happy"], NO_LABEL, False),  # neither
    ],
)
def test_a_label_needs_more_than_half_of_the_annotators(chosen: list[str], label: int, readable: bool) -> None:
    faces = faces_of([chosen])

    assert faces.labels.tolist() == [label]
    assert faces.readable.tolist() == [readable]


def test_chosen_rows_keep_their_values_together() -> None:
    faces = faces_of([["sad"], ["happy"], ["fear"]], px=[30, 40, 50])

    by_mask, by_index = faces.select(np.array([True, False, True])), faces.select(np.array([2, 0]))

    assert (by_mask.files, by_mask.px.tolist()) == (("0.png", "2.png"), [30, 50])
    assert (by_index.files, by_index.labels.tolist()) == (
        ("2.png", "0.png"),
        [LABELS.index("fear"), LABELS.index("sad")],
    )


@pytest.mark.parametrize("px", [12, 20, 21, 37, 53, 54, 96])
def test_crops_are_those_of_the_detector(tmp_path: Path, px: int) -> None:
    faces = load_crowd_faces(write_folder(tmp_path / "faces", [row("a.png", ["happy"], px=px)]))
    box = np.array([[px / 2, px / 2, px * 1.5, px * 1.5]])  # the middle half of the image

    (crop,) = faces.crops()

    (as_detected,) = crop_faces(draw_face(2 * px), to_squares(box, FRAMINGS["yunet"]))
    assert crop.shape == (CROP_SIZE, CROP_SIZE)
    assert np.array_equal(crop, as_detected)


def test_a_side_of_two_gives_the_whole_image_in_the_size_asked_for(tmp_path: Path) -> None:
    faces = load_crowd_faces(write_folder(tmp_path / "faces", [row("a.png", ["happy"], px=64)]))

    crops = faces.crops(side_factor=2.0, size_px=64)

    whole = cv2.resize(cv2.cvtColor(draw_face(128), cv2.COLOR_BGR2GRAY), (64, 64), interpolation=cv2.INTER_AREA)
    assert np.array_equal(crops, whole[None])


def test_no_faces_have_no_crops() -> None:
    assert faces_of([]).crops().shape == (0, CROP_SIZE, CROP_SIZE)


@pytest.mark.parametrize("column", HEADER)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    folder = write_folder(tmp_path / "faces", [row("a.png", ["sad"])], [name for name in HEADER if name != column])

    with pytest.raises(DataError, match=f"faces.csv: lacks the column '{column}'"):
        load_crowd_faces(folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"happy": "two"}, "line 3: happy is 'two'; write a whole number"),
        ({"unreadable": ""}, "line 3: unreadable is ''"),
        ({"vocal": "-1"}, "line 3: vocal is '-1'"),
        ({"sad": "1.5"}, "line 3: sad is '1.5'"),
        ({"sad": "256"}, "line 3: sad is '256'"),
        ({"px": "wide"}, "line 3: px is 'wide'"),
        ({"happy": 0}, "line 3: has no votes"),
    ],
)
def test_numbers_that_are_none_are_named_with_their_line(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    folder = write_folder(tmp_path / "faces", [row("a.png", ["sad"]), row("b.png", ["happy"], **fields)])

    with pytest.raises(DataError, match=message):
        load_crowd_faces(folder)


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", ""])
def test_a_file_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "faces", [row("a.png", ["sad"])])
    text = (folder / "faces.csv").read_text().replace("a.png,", f"{name},", 1)
    (folder / "faces.csv").write_text(text)

    with pytest.raises(DataError, match=r"line 2: file .* is not inside images"):
        load_crowd_faces(folder)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "faces", [row("a.png", ["sad"])])
    (folder / "images" / "a.png").unlink()

    with pytest.raises(DataError, match=r"line 2: .*a\.png does not exist"):
        load_crowd_faces(folder)


def test_a_file_that_is_no_image_is_named_when_it_is_cut(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "faces", [row("a.png", ["sad"])])
    (folder / "images" / "a.png").write_text("not an image")

    with pytest.raises(DataError, match=r"a\.png: is not a readable image"):
        load_crowd_faces(folder).crops()


def test_a_folder_without_rows_or_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"faces\.csv: cannot be read as a table"):
        load_crowd_faces(tmp_path)
    with pytest.raises(DataError, match=r"faces\.csv: holds no rows; add"):
        load_crowd_faces(write_folder(tmp_path / "empty", []))
    with pytest.raises(DataError, match="holds no rows of the split 'train'"):
        load_crowd_faces(write_folder(tmp_path / "one", [row("a.png", ["sad"])]), "train")


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_bytes(b"\xff\xfe\x00\x81")

    with pytest.raises(DataError, match="cannot be read as a table"):
        load_crowd_faces(tmp_path)


def test_real_faces_load_and_no_photograph_is_on_both_sides(assets: Path) -> None:
    faces = load_crowd_faces(assets / "crowd_faces")

    sides = {
        split: {p for p, s in zip(faces.photos, faces.split, strict=True) if s == split} for split in set(faces.split)
    }
    assert sides.keys() == {"train", "validation"}
    assert not sides["train"] & sides["validation"]
    assert (faces.split.count("train"), faces.split.count("validation")) == (5391, 1008)
    assert set(faces.how) == {"random", "mined"}


def test_crops_of_real_faces_fill_the_range_of_gray(assets: Path) -> None:
    faces = load_crowd_faces(assets / "crowd_faces", "validation")

    crops = faces.select(np.arange(0, len(faces), 20)).crops()

    assert crops.shape == (51, CROP_SIZE, CROP_SIZE)
    assert crops.min() < 20
    assert crops.max() > 235
    assert (crops.std(axis=(1, 2)) > 5).mean() > 0.9
