"""People are counted in scenes with known truth: they walk, rise and hide, and the camera pans, zooms and cuts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from aggregator.people import people
from aggregator.tracks import MOST
from aggregator.views import Links
from tests.scenes import (
    HEIGHT,
    WIDTH,
    Film,
    Person,
    Scene,
    View,
    crossing,
    pacing,
    sitting,
    stand,
    unless,
    waving,
)

SECONDS = 16


def counted(film: Film) -> list[tuple[int, int, int]]:
    """Return for every whole window how many people are counted, how many there are, and the most in one frame."""
    links, found = Links(), []
    for window in film.windows(2):
        found.append((len(people(film.frames[window], links)), film.truth(window), film.at_once(window)))
        links.end_window()
    return found


@pytest.mark.parametrize("speed", [50, 150, 300, 500])
@pytest.mark.parametrize("missed", [0.0, 0.1])
def test_one_person_who_walks_to_and_fro_is_one(speed: float, missed: float) -> None:
    film = Scene([Person(pacing(speed, 360), 100)], missed=missed).filmed(SECONDS)
    assert {count for count, _, _ in counted(film)} == {1}


@pytest.mark.parametrize("speed", [150, 300, 500])
def test_one_person_at_a_time_is_never_two_however_often_someone_crosses(speed: float) -> None:
    lap_s = (WIDTH + 100) / speed
    again = Person(lambda t: crossing(speed, 360)(t % lap_s), 100)
    for count, _, at_once in counted(Scene([again], missed=0.05).filmed(SECONDS)):
        assert (count, at_once) == (1, 1)


def eight(rng: np.random.Generator) -> list[Person]:
    return [
        Person(
            sitting(
                300 + 150 * (number % 4) + rng.uniform(-30, 30), 200 + 180 * (number // 4) + rng.uniform(-40, 40), 4
            ),
            70 * rng.uniform(0.9, 1.1),
        )
        for number in range(8)
    ]


def reframed(rng: np.random.Generator) -> list[View]:
    """Return views that all show the people of `eight`, each with another zoom and at another place."""
    views = []
    for zoom in rng.uniform(0.75, 1.6, SECONDS):
        left, top = max(840 - WIDTH / zoom, 210), max(480 - HEIGHT / zoom, 130)
        views.append(View(rng.uniform(min(left, 210), left), rng.uniform(min(top, 130), top), zoom))
    return [View(min(view.x, 210), min(view.y, 130), view.zoom) for view in views]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("missed", [0.0, 0.1])
def test_eight_people_before_a_camera_that_reframes_every_second_are_eight(seed: int, missed: float) -> None:
    rng = np.random.default_rng(seed)
    views = reframed(rng)
    film = Scene(eight(rng), lambda t: views[int(t)], missed=missed).filmed(SECONDS, seed)
    for count, truth, _ in counted(film):
        assert count == truth >= 7


def walkers(rng: np.random.Generator, every_s: float, speeds: tuple[float, float], width: float) -> list[Person]:
    return [
        Person(
            crossing(rng.uniform(*speeds) * rng.choice([-1, 1]), rng.uniform(100, HEIGHT - 100), start, width),
            rng.uniform(60, 100),
        )
        for start in np.arange(-8, SECONDS, every_s)
    ]


def in_blocks(people: Sequence[Person]) -> list[Person]:
    """Hide one block of ten after the other behind a flag, for two seconds each."""
    return [
        replace(person, path=unless(lambda t, block=number // 10: (int(t) + block) % 8 < 2, person.path))
        for number, person in enumerate(people)
    ]


def jumping(person: Person, phase: float) -> Person:
    """Let someone jump at the place, twice a second."""

    def path(t: float) -> tuple[float, float] | None:
        at = person.path(t)
        return None if at is None else (at[0], at[1] - 0.16 * person.side * abs(np.sin(6.5 * t + phase)))

    return Person(path, person.side)


FIXED = {
    "calm": lambda rng: Scene(stand(13, 7, 50, rng)),
    "a tenth is missed": lambda rng: Scene(stand(13, 7, 50, rng), missed=0.1),
    "three tenths are missed": lambda rng: Scene(stand(13, 7, 50, rng), missed=0.3),
    "false faces": lambda rng: Scene(stand(13, 7, 50, rng), missed=0.2, false=3),
    "frames without faces": lambda rng: Scene(stand(13, 7, 50, rng), missed=0.1, empty=frozenset({12, 30, 31, 55})),
    "a wave": lambda rng: Scene(waving(stand(13, 7, 50, rng), WIDTH, 5), missed=0.15, false=0.5),
    "flags": lambda rng: Scene(in_blocks(stand(13, 7, 50, rng)), missed=0.1),
    "walkers before a stand": lambda rng: Scene(
        stand(13, 7, 50, rng) + walkers(rng, 1.2, (150, 500), WIDTH), missed=0.15, false=0.5
    ),
    "all jump": lambda rng: Scene(
        [jumping(person, rng.uniform(0, 6)) for person in stand(13, 7, 50, rng)], missed=0.15
    ),
}
"""Scenes before a camera that stands still."""


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", FIXED)
def test_people_before_a_fixed_camera_are_counted_and_hardly_more_than_at_once(name: str, seed: int) -> None:
    film = FIXED[name](np.random.default_rng(seed)).filmed(SECONDS, seed)
    for count, truth, at_once in counted(film):
        assert count == pytest.approx(truth, rel=0.1)
        assert count <= MOST * at_once


@pytest.mark.parametrize(
    ("every_s", "speeds", "missed"), [(1.0, (100, 300), 0.1), (0.25, (80, 250), 0.1), (0.25, (80, 250), 0.3)]
)
def test_those_who_walk_by_are_no_more_than_there_are_or_hardly_more_than_at_once(
    every_s: float, speeds: tuple[float, float], missed: float
) -> None:
    rng = np.random.default_rng(0)
    film = Scene(walkers(rng, every_s, speeds, WIDTH), missed=missed).filmed(SECONDS)
    for count, truth, at_once in counted(film):
        # When most walk one way, it looks as if the camera turned the other way: then the bound is wider.
        assert at_once <= count <= max(MOST * at_once, 1.1 * truth)


def directed(t: float) -> View:
    """Pan, cut to a part of it with another zoom, cut and pan again."""
    if t % 9 < 5:
        return View(200 + 120 * (t % 9))
    return View(1700, 20, 1.3) if t % 9 < 7 else View(900 + 100 * (t % 9 - 7), 0, 1.1)


MOVING = {
    "a pan": lambda rng: Scene(stand(40, 8, 50, rng), lambda t: View(100 + 900 * (1 - np.cos(t / 3))), 0.15, 1),
    "a fast pan": lambda rng: Scene(stand(40, 8, 50, rng), lambda t: View(100 + 900 * (1 - np.cos(t))), 0.15, 1),
    "a zoom": lambda rng: Scene(
        stand(14, 8, 50, rng),
        lambda t: View(200 * (1 - np.cos(t)), 100 * (1 - np.cos(t)), 1 + 0.4 * (1 - np.cos(t))),
        0.15,
        1,
    ),
    "cuts between three parts": lambda rng: Scene(
        stand(40, 8, 50, rng), lambda t: (View(0), View(2200), View(1100, 0, 1.3))[int(t / 3) % 3], 0.15, 1
    ),
    "cuts to a part and back": lambda rng: Scene(
        stand(40, 8, 50, rng), lambda t: (View(0), View(300, 100, 1.8))[int(t / 2) % 2], 0.15, 1
    ),
    "a match": lambda rng: Scene(
        waving(stand(40, 8, 50, rng), 2800, 4, 8) + walkers(rng, 1.0, (150, 400), 2800), directed, 0.15, 1
    ),
}
"""Scenes before a camera that moves or cuts."""


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", MOVING)
def test_people_before_a_camera_that_moves_and_cuts_are_counted(name: str, seed: int) -> None:
    film = MOVING[name](np.random.default_rng(seed)).filmed(SECONDS, seed)
    for count, truth, _ in counted(film):
        assert count == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("name", ["a match", "cuts to a part and back"])
def test_the_same_people_whatever_was_seen_before(name: str) -> None:
    """A leader that starts with any window finds the same people as one that saw all windows before."""
    film = MOVING[name](np.random.default_rng(5)).filmed(SECONDS, 5)
    links = Links()
    for window in film.windows(3):
        used = people(film.frames[window], links)
        links.end_window()
        for one, other in zip(used.person, people(film.frames[window]).person, strict=True):
            assert one.tolist() == other.tolist()


def test_readable_people_at_once_are_those_of_one_frame() -> None:
    film = Scene([Person(pacing(300, 360), 100)]).filmed(10)
    assert people(film.frames).at_once == 1
    hidden = [replace(frame, readable=np.full_like(frame.readable, 0.3)) for frame in film.frames]
    assert people(hidden).at_once == 0
    # Half of them can be read in one frame, the others in the next: never more than half at once.
    both = Scene(stand(10, 4, 60, np.random.default_rng(0))).filmed(10)
    turns = [
        replace(frame, readable=np.where(np.arange(len(frame.boxes)) % 2 == number % 2, 0.9, 0.1).astype(np.float16))
        for number, frame in enumerate(both.frames)
    ]
    found = people(turns)
    assert (len(found), int(found.readable.sum()), found.at_once) == (40, 40, 20)
