"""Nothing that can be computed from published figures is about few people."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.disclosure import publishable

FEW = 20


def published(people: dict[str, int], *zones: str) -> set[str]:
    """Return which of the stadium (`*`), zones (words of cameras' letters) and cameras are published."""
    names = ["*", *zones, *people]
    scopes = [frozenset(people) if name == "*" else frozenset(name) for name in names]
    return set(itertools.compress(names, publishable(scopes, people, FEW)))


@pytest.mark.parametrize(
    ("people", "zones", "expected"),
    [
        pytest.param({}, [], set(), id="no camera"),
        pytest.param({"a": 19}, [], set(), id="too few in all"),
        pytest.param({"a": 20}, [], {"*", "a"}, id="just enough"),
        pytest.param({"a": 20, "b": 0}, ["ab"], {"*", "ab", "a"}, id="a camera without people hides no one"),
        pytest.param({"a": 50, "b": 60, "c": 70}, ["ab", "bc"], {"*", "ab", "bc", "a", "b", "c"}, id="enough all over"),
        pytest.param({"a": 50, "b": 5}, [], {"*"}, id="the stadium less a camera"),
        pytest.param({"a": 50, "b": 50, "c": 5}, [], {"*", "b"}, id="the stadium less two cameras"),
        pytest.param({"a": 50, "b": 60, "c": 5}, [], {"*", "b"}, id="the smaller one is withheld as well"),
        pytest.param({"a": 50, "b": 12, "c": 12}, [], {"*", "a"}, id="two of few people hide each other"),
        pytest.param({"a": 50, "b": 50, "c": 5}, ["ab", "c"], {"*", "b"}, id="the stadium less a zone"),
        pytest.param({"a": 50, "b": 30, "c": 5}, ["ac"], {"*", "ac", "b"}, id="the neighbour in a zone joins"),
        pytest.param({"a": 50, "b": 30, "c": 40, "d": 5}, ["ab", "cd"], {"*", "ab", "cd", "a", "b"}, id="zones stay"),
        # ab + bc - ac is twice b.
        pytest.param({"a": 12, "b": 12, "c": 12}, ["ab", "bc", "ac"], {"*"}, id="zones that overlap"),
        pytest.param({"a": 30, "b": 5, "c": 30}, ["ab", "bc", "ac"], {"*", "ab", "c"}, id="one of three zones"),
    ],
)
def test_table_of_published_scopes(people: dict[str, int], zones: list[str], expected: set[str]) -> None:
    assert published(people, *zones) == expected


@st.composite
def stadiums(draw: st.DrawFn) -> tuple[dict[str, int], list[frozenset[str]]]:
    cameras = "abcdef"[: draw(st.integers(1, 6))]
    people = {camera: draw(st.one_of(st.integers(0, 25), st.just(100))) for camera in cameras}
    zones = draw(st.lists(st.frozensets(st.sampled_from(cameras), min_size=1), max_size=6))
    return people, [frozenset(cameras), *zones, *(frozenset([camera]) for camera in cameras)]


@given(stadiums())
def test_no_sums_or_differences_are_about_few_people(stadium: tuple[dict[str, int], list[frozenset[str]]]) -> None:
    """No weighted sum of published scopes singles out a set of cameras with few people."""
    people, scopes = stadium
    allowed = publishable(scopes, people, FEW)
    seen = [camera for camera in people if people[camera]]
    # A first row of zeros, so that there is one.
    rows = np.array(
        [[0.0] * len(seen)]
        + [[float(camera in scope) for camera in seen] for scope in itertools.compress(scopes, allowed)]
    )
    rank = np.linalg.matrix_rank(rows) if seen else 0
    for size in range(1, len(seen) + 1):
        for cameras in itertools.combinations(seen, size):
            if sum(people[camera] for camera in cameras) < FEW:
                singled_out = [float(camera in cameras) for camera in seen]
                assert np.linalg.matrix_rank(np.vstack([rows, singled_out])) == rank + 1
    # The stadium is published with enough people, and every scope when no camera has few.
    assert allowed[0] == (sum(people.values()) >= FEW)
    if not any(0 < count < FEW for count in people.values()):
        assert allowed == [any(people[camera] for camera in scope) for scope in scopes]


def test_many_cameras_take_no_time() -> None:
    people = {f"camera-{number}": number % 25 for number in range(200)}
    names = sorted(people)
    scopes = [frozenset(people), *(frozenset(names[i : i + 20]) for i in range(0, 200, 10))]
    scopes += [frozenset([name]) for name in names]
    started_s = time.process_time()
    allowed = publishable(scopes, people, FEW)
    assert time.process_time() - started_s < 1
    assert allowed[0]
    assert any(allowed[1:])
