"""The truth adds up: shares to one, cameras to zones, zones to the stadium."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from crowdmood import LABELS
from crowdmood.errors import DataError
from simulator.stand import Seen
from simulator.truth import CameraMoment, camera_moment, load_truth, moment


def seen(labels: list[int], occluded: list[bool]) -> CameraMoment:
    count = len(labels)
    boxes = np.tile([10, 20, 40, 50], (count, 1))
    visibility = np.where(occluded, 0.6, 0.95)
    return camera_moment(Seen(np.arange(count), boxes, np.array(labels, np.int64), visibility))


def test_shares_count_who_is_visible_in_the_order_of_labels_and_sum_to_one() -> None:
    camera = seen([3, 3, 6, 0], [False, False, False, True])

    assert (camera.people, camera.visible) == (4, 3)
    assert camera.shares is not None
    assert tuple(camera.shares) == LABELS
    assert sum(camera.shares.values()) == pytest.approx(1, abs=1e-5)
    assert camera.shares["happy"] == pytest.approx(2 / 3, abs=1e-6)
    assert camera.shares["angry"] == 0


def test_who_is_hidden_by_more_than_a_tenth_is_occluded() -> None:
    visibility = np.array([1.0, 0.9, 0.899, 0.0])
    camera = camera_moment(Seen(np.arange(4), np.zeros((4, 4), np.int64), np.full(4, 3), visibility))

    assert camera.visibility == (1.0, 0.9, 0.899, 0.0)
    assert camera.occluded == (False, False, True, True)


def test_nobody_visible_has_no_shares() -> None:
    assert seen([], []).shares is None
    assert seen([3], [True]).shares is None


def test_the_stadium_is_the_people_of_its_cameras_not_the_mean_of_their_shares() -> None:
    cameras = {"a": seen([3] * 9, [False] * 9), "b": seen([6], [False]), "c": seen([6, 6], [False, True])}
    whole = moment(4, cameras, {"a": "home", "b": "home", "c": "away"})

    assert (whole.stadium.people, whole.stadium.visible) == (12, 11)
    assert whole.stadium.shares is not None
    assert whole.stadium.shares["happy"] == pytest.approx(9 / 11, abs=1e-6)
    assert whole.zones["home"].people == 10
    assert whole.zones["away"].shares == {**dict.fromkeys(LABELS, 0.0), "neutral": 1.0}


def test_columns_of_different_length_are_refused() -> None:
    good = seen([3, 6], [False, False]).model_dump()

    for column in ("persons", "boxes_xyxy", "labels", "visibility", "occluded"):
        with pytest.raises(ValidationError, match="must each have one entry"):
            CameraMoment.model_validate({**good, column: good[column][:1]})


@pytest.mark.parametrize(("text", "message"), [(None, "cannot be read"), ("{}", "seed: Field required"), ("x", "JSON")])
def test_a_truth_file_that_is_none_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "truth.json").write_text(text)

    with pytest.raises(DataError, match=message):
        load_truth(tmp_path)
