"""Seats fill the view and are smaller with distance; more people than seats are refused."""

import numpy as np
import pytest

from crowdmood.core.errors import SettingsError
from simulator.seats import lay_out, occupy

SIZE = (1280, 720)


@pytest.mark.parametrize("people", [1, 50, 100, 300, 800])
def test_every_person_has_a_seat_within_the_view(people: int) -> None:
    seats = lay_out(*SIZE, people)

    assert len(seats) >= people
    for seat in seats:
        assert seat.x >= 0
        assert seat.x + seat.face_px <= SIZE[0]
        assert seat.y >= 0
        assert seat.y + seat.face_px <= SIZE[1]


def test_faces_are_larger_in_rows_nearer_to_the_camera() -> None:
    seats = lay_out(*SIZE, 100)
    rows = {seat.row: seat.face_px for seat in seats}

    assert [seat.row for seat in seats] == sorted(seat.row for seat in seats)
    assert list(rows.values()) == sorted(set(rows.values()))
    assert rows[0] < 0.8 * rows[max(rows)]


def test_fewer_people_sit_nearer_and_some_seats_are_empty() -> None:
    few, many = lay_out(*SIZE, 60), lay_out(*SIZE, 240)

    assert few[-1].face_px > 1.4 * many[-1].face_px
    assert len(few) > 60


def test_refuses_more_people_than_seats_and_names_the_number_of_seats() -> None:
    with pytest.raises(SettingsError, match=r"5000 people before one camera are more than the \d+ seats"):
        lay_out(*SIZE, 5000)


def test_people_have_different_seats_that_depend_on_the_seed_only() -> None:
    seats = lay_out(*SIZE, 90)
    taken = occupy(seats, 90, np.random.default_rng(1))

    assert len(taken) == 90
    assert len({(seat.row, round(seat.x / seat.face_px, 1)) for seat in taken}) == 90
    assert taken == occupy(seats, 90, np.random.default_rng(1))
    assert taken != occupy(seats, 90, np.random.default_rng(2))
