"""The truth file: shares sum to one, cameras to zones, and zones to the stadium."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from crowdmood.core.errors import DataError
from crowdmood.domain.labels import FER_LABELS, LABELS
from simulator.stand import VisiblePeople
from simulator.truth import CameraMoment, camera_moment, load_truth, moment


def seen(labels: list[int], unreadable: list[bool]) -> CameraMoment:
    count = len(labels)
    boxes = np.tile([10, 20, 40, 50], (count, 1))
    visibility = np.where(unreadable, 0.6, 0.95)
    return camera_moment(
        VisiblePeople(np.arange(count), boxes, np.array(labels, np.int64), visibility, ~np.array(unreadable, np.bool_))
    )


def test_shares_count_readable_people_in_the_order_of_labels_and_sum_to_one() -> None:
    camera = seen([3, 3, 6, 0], [False, False, False, True])

    assert (camera.people, camera.visible, camera.readable) == (4, 3, 3)
    assert camera.shares is not None
    assert tuple(camera.shares) == LABELS
    assert sum(camera.shares.values()) == pytest.approx(1, abs=1e-5)
    assert camera.shares["happy"] == pytest.approx(2 / 3, abs=1e-6)
    assert camera.shares["angry"] == 0


def test_person_is_occluded_when_more_than_a_tenth_of_the_face_is_hidden() -> None:
    visibility = np.array([1.0, 0.9, 0.899, 0.0])
    readable = np.array([True, True, True, False])
    camera = camera_moment(VisiblePeople(np.arange(4), np.zeros((4, 4), np.int64), np.full(4, 3), visibility, readable))

    assert camera.visibility == (1.0, 0.9, 0.899, 0.0)
    assert camera.occluded == (False, False, True, True)


def test_partly_hidden_person_counts_while_the_expression_can_be_read() -> None:
    readable = np.array([True, True, False])
    labels = np.array([LABELS.index(label) for label in ("cheering", "neutral", "neutral")])
    camera = camera_moment(
        VisiblePeople(np.arange(3), np.zeros((3, 4), np.int64), labels, np.array([0.7, 1.0, 0.3]), readable)
    )

    assert (camera.people, camera.visible, camera.readable) == (3, 1, 2)
    assert camera.unreadable == (False, False, True)
    assert camera.shares == {**dict.fromkeys(LABELS, 0.0), "cheering": 0.5, "neutral": 0.5}


def test_has_no_shares_without_readable_people() -> None:
    assert seen([], []).shares is None
    assert seen([3], [True]).shares is None


def test_shares_of_the_stadium_count_people_and_are_not_the_mean_of_cameras() -> None:
    cameras = {"a": seen([3] * 9, [False] * 9), "b": seen([6], [False]), "c": seen([6, 6], [False, True])}
    whole = moment(4, cameras, {"a": "home", "b": "home", "c": "away"})

    assert (whole.stadium.people, whole.stadium.visible, whole.stadium.readable) == (12, 11, 11)
    assert whole.stadium.shares is not None
    assert whole.stadium.shares["happy"] == pytest.approx(9 / 11, abs=1e-6)
    assert whole.zones["home"].people == 10
    assert whole.zones["away"].shares == {**dict.fromkeys(LABELS, 0.0), "neutral": 1.0}


def test_refuses_columns_of_different_length() -> None:
    good = seen([3, 6], [False, False]).model_dump()

    for column in ("persons", "boxes_xyxy", "labels", "visibility", "occluded", "unreadable"):
        with pytest.raises(ValidationError, match="must each have one entry"):
            CameraMoment.model_validate({**good, column: good[column][:1]})


def of_schema_1() -> dict[str, Any]:
    """Return a truth file of schema 1, without cheering and `readable`."""
    shares = {label: 1.0 if label == "happy" else 0.0 for label in FER_LABELS}
    crowd = {"people": 2, "visible": 1, "shares": shares}
    columns = {
        "persons": [0, 1],
        "boxes_xyxy": [[0, 0, 9, 9]] * 2,
        "labels": [3, 6],
        "visibility": [1, 0.5],
        "occluded": [False, True],
    }
    moment = {"at_s": 0, "stadium": crowd, "zones": {"north": crowd}, "cameras": {"north": {**crowd, **columns}}}
    return {
        "schema_version": 1,
        "seed": 1,
        "fps": 5,
        "width": 640,
        "height": 360,
        "duration_s": 1.0,
        "labels": FER_LABELS,
        "cameras": [{"id": "north", "zone": "north", "video": "north.mp4", "people": 2}],
        "events": [],
        "seconds": [moment],
    }


def test_loads_a_truth_file_of_schema_1_with_visible_people_as_readable(tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text(json.dumps(of_schema_1()))

    truth = load_truth(tmp_path)
    assert truth.labels == FER_LABELS
    (moment,) = truth.seconds
    assert moment.stadium.readable == moment.zones["north"].readable == moment.cameras["north"].readable == 1
    assert moment.cameras["north"].unreadable == (False, True)
    assert moment.stadium.shares is not None
    assert tuple(moment.stadium.shares) == FER_LABELS


@pytest.mark.parametrize(("text", "message"), [(None, "cannot be read"), ("{}", "seed: Field required"), ("x", "JSON")])
def test_refuses_a_missing_or_malformed_truth_file(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "truth.json").write_text(text)

    with pytest.raises(DataError, match=message):
        load_truth(tmp_path)
