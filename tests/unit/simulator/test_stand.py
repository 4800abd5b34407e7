"""The same seed gives the same frames, and the truth about a frame matches what it shows."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from crowdmood.core.errors import SettingsError
from crowdmood.domain.labels import LABELS
from simulator.bank import FaceBank
from simulator.camera import SimulatedCamera
from simulator.canvas import Sprite
from simulator.feelings import PersonStates, State
from simulator.hiding import Hiding
from simulator.people import Gesture, draw_person, random_look
from simulator.script import MatchEvent
from simulator.stand import Stand, VisiblePeople

SIZE = (480, 270)
BANK = FaceBank(tuple(np.full((3, 64, 64), 60 + 20 * label, np.uint8) for label in range(8)))
GOAL = (MatchEvent(at_s=2, event="goal"),)


def stand(seed: int = 1, people: int = 30, size: tuple[int, int] = SIZE) -> Stand:
    return Stand("stand-1", size, people, 100, GOAL, 10.0, BANK, (seed,))


def test_same_seed_gives_the_same_frames_in_any_order() -> None:
    one, other = stand(), stand()

    forwards = [one.render(frame, frame / 5) for frame in range(15)]
    backwards = [other.render(frame, frame / 5) for frame in reversed(range(15))][::-1]

    assert all(map(np.array_equal, forwards, backwards))


def test_frames_differ_with_the_seed_and_with_the_time() -> None:
    assert not np.array_equal(stand(1).render(0, 0.0), stand(2).render(0, 0.0))
    assert not np.array_equal(stand().render(0, 0.0), stand().render(1, 0.2))


def test_truth_lists_each_person_once_with_a_square_box_in_the_frame() -> None:
    seen = stand().visible_people(1.0)

    assert len(seen.persons) == len(set(seen.persons.tolist())) <= 30
    assert len(seen.persons) >= 25
    assert min(seen.persons) >= 100
    sides = seen.boxes[:, 2:] - seen.boxes[:, :2]
    assert abs(sides[:, 0] - sides[:, 1]).max() <= 1
    middles = (seen.boxes[:, :2] + seen.boxes[:, 2:]) / 2
    assert ((middles > 0) & (middles < SIZE)).all()


def test_box_follows_its_face_and_encloses_it() -> None:
    whole = stand(people=1, size=(640, 360))
    person = replace(whole.people[0], states=PersonStates((State(0.0, 6),)))
    for at_s in (0.0, 3.0, 9.0):
        whole.people = (person,)
        seen, with_person = whole.visible_people(at_s), whole.render(0, at_s)
        whole.people = ()
        changed = cv2.absdiff(with_person, whole.render(0, at_s)).max(axis=2) > 25
        x1, y1, x2, y2 = seen.boxes[0].tolist()
        assert changed[y1 + 4 : y2 - 2, x1 + 8 : x2 - 8].mean() > 0.95
        rows = np.flatnonzero(changed.any(axis=1))
        assert 0 < y1 - rows[0] < 0.6 * (y2 - y1)  # hair above


def test_person_behind_another_is_occluded_and_the_person_in_front_is_not() -> None:
    both = stand(people=2, size=(640, 360))
    behind, before = both.people
    both.people = (replace(behind, seat=before.seat), before)

    seen = both.visible_people(0.0)
    assert seen.visibility[0] < 0.2
    assert seen.visibility[1] > 0.98
    assert seen.occluded.tolist() == [True, False]


def test_head_over_half_of_a_face_leaves_about_half_of_it_visible() -> None:
    both = stand(people=2, size=(640, 360))
    behind, before = both.people
    beside = replace(before.seat, x=before.seat.x - 0.45 * before.seat.face_px)
    both.people = (replace(behind, seat=beside), before)

    assert both.visible_people(0.0).visibility[0] == pytest.approx(0.5, abs=0.2)


def test_face_is_readable_until_others_hide_more_than_half_of_it() -> None:
    both = stand(people=2, size=(640, 360))
    behind, before = both.people
    for down, readable in ((0.85, True), (0.45, False)):
        above = replace(before.seat, y=before.seat.y - down * before.seat.face_px)
        both.people = (replace(behind, seat=above), before)
        seen = both.visible_people(0.0)
        assert seen.occluded[0]
        assert (seen.visibility[0] >= 0.5) is np.bool_(readable)
        assert seen.readable.tolist() == [readable, True]


@pytest.mark.parametrize("hiding", [hiding for hiding in Hiding if hiding is not Hiding.NONE])
def test_person_who_hides_the_face_or_turns_away_is_unreadable(hiding: Hiding) -> None:
    alone = stand(people=1, size=(640, 360))
    (person,) = alone.people
    alone.people = (replace(person, states=PersonStates((State(0, 3), State(2, 3, hiding=hiding), State(4, 3)))),)

    #  free   hidden   free
    # 0-----2--------4------
    assert [alone.visible_people(at_s).readable.tolist() for at_s in (1, 2, 3, 4)] == [[True], [False], [False], [True]]
    assert alone.visible_people(1).visibility[0] == 1
    assert alone.visible_people(3).visibility[0] < 0.5
    assert alone.visible_people(3).labels.tolist() == [3]


@pytest.mark.parametrize("people", [80, 150])
def test_neighbours_hide_some_faces_and_more_with_raised_arms(people: int) -> None:
    crowds = [stand(seed, people, (640, 360)) for seed in range(3)]

    def seen(*moments: float) -> list[VisiblePeople]:
        return [crowd.visible_people(at_s) for crowd in crowds for at_s in moments]

    def occluded(*moments: float) -> float:
        return float(np.mean(np.concatenate([one.occluded for one in seen(*moments)])))

    def unreadable(*moments: float) -> float:
        return float(np.mean(~np.concatenate([one.readable for one in seen(*moments)])))

    #    goal
    # -1--2----4--5----
    assert 0.08 < occluded(0.5, 1.0) < 0.25
    assert occluded(4.0, 5.0) > occluded(0.5, 1.0) + 0.1
    assert 0.01 < unreadable(0.5, 1.0) < 0.08
    assert 0.15 < unreadable(4.0, 5.0) < 0.3


def test_people_who_cheer_move_more_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedCamera, "view", lambda *_: np.eye(2, 3))  # a camera that does not move
    alone = stand(people=1, size=(640, 360))
    (person,) = alone.people

    def way(label: str) -> int:
        alone.people = (replace(person, states=PersonStates((State(0, LABELS.index(label)),))),)
        return int(np.ptp([alone.visible_people(at_s).boxes[0, 0] for at_s in np.arange(0, 8, 0.25)]))

    assert way("cheering") > 1.5 * way("happy") > 0


def test_arms_reach_above_the_head_and_scarf_is_wider_than_the_shoulders() -> None:
    look = random_look(np.random.default_rng(0), 0)
    face = np.full((64, 64), 130, np.uint8)
    calm, arms, scarf = (draw_person(look, face, 60, gesture) for gesture in Gesture)

    assert arms.top < calm.top - 15
    assert scarf.mask.shape[1] > calm.mask.shape[1]
    assert 0.5 < (calm.mask > 0).mean() < 1


@pytest.mark.parametrize("hiding", [hiding for hiding in Hiding if hiding is not Hiding.NONE])
@pytest.mark.parametrize("hair_style", range(4))
def test_hidden_face_shows_no_eyes_and_no_mouth(hiding: Hiding, hair_style: int) -> None:
    # Eyes and mouth are the only black parts of this face.
    look = replace(random_look(np.random.default_rng(0), 0), hair_style=hair_style, jersey=(200.0, 200.0, 200.0))
    look = replace(look, hair=(150.0, 150.0, 150.0))
    face = np.full((64, 64), 150, np.uint8)
    for rows, columns in (
        (slice(20, 28), slice(14, 26)),
        (slice(20, 28), slice(38, 50)),
        (slice(45, 56), slice(22, 42)),
    ):
        face[rows, columns] = 0

    def dark(sprite: Sprite) -> int:
        return int(((cv2.cvtColor(sprite.bgr, cv2.COLOR_BGR2GRAY) < 40) & (sprite.mask > 0)).sum())

    free = draw_person(look, face, 64)
    hidden = draw_person(look, face, 64, hiding=hiding)
    assert dark(free) > 250
    assert dark(hidden) < 0.45 * dark(free)
    assert free.free == 1
    assert hidden.free < 0.5


def test_face_keeps_its_brightness() -> None:
    look = replace(random_look(np.random.default_rng(0), 0), skin=2, tilt_deg=0.0)
    sprite = draw_person(look, np.full((64, 64), 120, np.uint8), 64)
    gray = cv2.cvtColor(sprite.bgr, cv2.COLOR_BGR2GRAY)

    nose = gray[32 - sprite.top - 4 : 32 - sprite.top + 4, 32 - sprite.left - 4 : 32 - sprite.left + 4]
    assert nose.mean() == pytest.approx(120 * 0.95, abs=3)


def test_camera_shakes_more_with_excitement() -> None:
    camera = SimulatedCamera(SIZE, np.random.default_rng(0))
    moments = np.arange(0, 3, 0.04)

    def jitter(excitement: float) -> float:
        places = np.array([camera.view(at_s, excitement)[:, 2] for at_s in moments])
        return float(np.abs(np.diff(places, 2, axis=0)).mean())

    assert jitter(1.0) > 2 * jitter(0.0) > 0


def test_camera_pans_and_zooms_slowly() -> None:
    camera = SimulatedCamera(SIZE, np.random.default_rng(0))
    views = np.array([camera.view(at_s, 0.0) for at_s in np.arange(0, 90, 0.2)])
    zooms = np.sqrt(np.linalg.det(views[:, :, :2]))
    middles = views[:, :, :2] @ (SIZE[0] / 2, SIZE[1] / 2) + views[:, :, 2]

    assert np.ptp(zooms) > 0.05
    assert np.abs(np.diff(zooms)).max() < 0.002
    assert np.ptp(middles[:, 0]) > 0.04 * SIZE[0]
    assert np.abs(np.diff(middles[:, 0])).max() < 0.005 * SIZE[0]


def test_light_changes_slowly() -> None:
    camera = SimulatedCamera(SIZE, np.random.default_rng(0))
    gray = np.full((SIZE[1], SIZE[0], 3), 100, np.uint8)
    levels = [float(camera.expose(gray, frame, frame / 10).mean()) for frame in range(0, 600, 10)]

    assert max(levels) - min(levels) > 5
    assert np.abs(np.diff(levels)).max() < 6


def test_refuses_more_people_than_seats() -> None:
    with pytest.raises(SettingsError, match="more than the"):
        stand(people=2000)
