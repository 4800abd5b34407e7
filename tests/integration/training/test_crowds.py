"""Crowd photographs that cannot be used for training or evaluation are named in one line."""

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("keras")

from crowdmood.core.errors import DataError
from training.consistency import views
from training.crowds import load_crowds

FACE = {"boxes_xywh": [[10, 10, 60, 60]], "invalid": [0], "occlusion": [0]}


def photographs(folder: Path, labelled: list[dict[str, Any]]) -> Path:
    (folder / "images").mkdir()
    for number in range(len(labelled)):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), np.full((200, 200), 90, np.uint8))
    (folder / "boxes.json").write_text(json.dumps({f"{n}.png": boxes for n, boxes in enumerate(labelled)}))
    return folder


def test_every_fifth_photograph_is_held_back(tmp_path: Path) -> None:
    folder = photographs(tmp_path, [FACE] * 6)
    assert len(load_crowds(folder, held_back=True).faces) == 2
    assert len(load_crowds(folder, held_back=False).faces) == 4
    assert {view.shape for view in views(folder).values()} == {(6, 48, 48)}


@pytest.mark.parametrize(
    ("labelled", "held_back", "says"),
    [
        ([], True, "every fifth photo shows no clear face of at least 16 pixels"),
        ([FACE], False, "all but every fifth photo shows no clear face"),
        ([FACE | {"invalid": [1]}], True, "shows no clear face"),
        ([FACE | {"occlusion": [2]}], True, "shows no clear face"),
        ([FACE | {"boxes_xywh": [[10, 10, 60, 9]]}], True, "shows no clear face"),
        ([FACE | {"boxes_xywh": [[0, 0, 200, 200]]}], True, "shows no background beside the faces"),
        ([{"boxes_xywh": [[10, 10, 60, 60]]}], True, "0.png cannot be used (KeyError('invalid'))"),
        ([FACE | {"invalid": [0, 0]}], True, "0.png cannot be used"),
        ([FACE | {"boxes_xywh": "here"}], True, "0.png cannot be used"),
    ],
)
def test_photographs_that_do_not_do_are_refused_in_one_line(
    tmp_path: Path, labelled: list[dict[str, Any]], held_back: bool, says: str
) -> None:
    folder = photographs(tmp_path, labelled)
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        load_crowds(folder, held_back)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "{", "7", '["0.png"]'])
def test_a_table_of_boxes_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(DataError, match=r"boxes\.json: .*give the folder of crowds"):
        load_crowds(tmp_path, held_back=True)


@pytest.mark.parametrize("labelled", [[], [FACE | {"boxes_xywh": [[10, 10, 60, 39]]}]])
def test_consistency_is_not_measured_without_a_face(tmp_path: Path, labelled: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="shows no clear face of at least 40 pixels"):
        views(photographs(tmp_path, labelled))
