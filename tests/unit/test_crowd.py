"""People in stretches: who changes their expression counts for each by its time, and everybody counts as one."""

import numpy as np
import numpy.typing as npt
import pytest

from aggregator.crowd import Crowd, crowd_of
from aggregator.estimate import Method, estimate
from crowdmood.confusions import Confusions

HAPPY, NEUTRAL = np.eye(7)[3], np.eye(7)[6]


def looks(*people: list[npt.NDArray[np.float64]], every_ms: int = 500) -> Crowd:
    """People of whom each shows one row after the other."""
    who = np.repeat(np.arange(len(people), dtype=np.int32), [len(rows) for rows in people])
    at_ms = np.concatenate([np.arange(len(rows)) * every_ms for rows in people])
    return crowd_of(np.concatenate(people), np.ones(len(who)), at_ms, who, len(people))


def test_who_keeps_an_expression_is_one_stretch_whose_noise_is_averaged() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.dirichlet(40 * (0.6 * HAPPY + 0.4 / 7), 20)
    crowd = looks(list(noisy))
    assert (len(crowd), crowd.weights.tolist()) == (1, [1.0])
    assert crowd.posteriors[0] == pytest.approx(noisy.mean(axis=0))


def test_who_changes_counts_for_each_expression_by_its_time() -> None:
    crowd = looks([NEUTRAL] * 6 + [HAPPY] * 4)
    assert len(crowd) == 1
    assert crowd.posteriors.tolist() == [NEUTRAL.tolist(), HAPPY.tolist()]
    assert crowd.weights == pytest.approx([0.6, 0.4])
    assert crowd.by_person(crowd.posteriors)[0] == pytest.approx(0.6 * NEUTRAL + 0.4 * HAPPY)


def test_who_changes_back_is_in_a_third_stretch() -> None:
    crowd = looks([NEUTRAL] * 4 + [HAPPY] * 4 + [NEUTRAL] * 2)
    assert crowd.weights == pytest.approx([0.4, 0.4, 0.2])


def test_who_was_seen_seldom_counts_as_much_as_who_was_seen_always() -> None:
    crowd = looks([HAPPY] * 10, [NEUTRAL])
    assert (len(crowd), crowd.person.tolist(), crowd.weights.tolist()) == (2, [0, 1], [1.0, 1.0])


def test_what_says_nothing_is_no_look() -> None:
    rows = np.stack([HAPPY, NEUTRAL, NEUTRAL])
    at_ms, who = np.array([0, 4000, 8000]), np.zeros(3, np.int32)
    crowd = crowd_of(rows, np.array([1.0, 0.0, 0.0]), at_ms, who, 1)
    assert crowd.posteriors.tolist() == [HAPPY.tolist()]


def test_nobody_is_an_empty_crowd() -> None:
    crowd = crowd_of(np.empty((0, 7)), np.empty(0), np.empty(0, np.int64), np.empty(0, np.int32), 0)
    assert (len(crowd), crowd.by_person(crowd.posteriors).shape) == (0, (0, 7))


def test_some_of_the_people_and_several_crowds_keep_their_stretches_apart() -> None:
    crowd = looks([HAPPY] * 2, [NEUTRAL] * 4 + [HAPPY] * 4, [NEUTRAL] * 2)
    some = crowd.only(np.array([False, True, True]))
    assert len(some) == 2
    assert some.by_person(some.posteriors).tolist() == [(0.5 * HAPPY + 0.5 * NEUTRAL).tolist(), NEUTRAL.tolist()]
    both = Crowd.joined([some, crowd])
    assert len(both) == 5
    assert both.by_person(both.posteriors)[2:].tolist() == crowd.by_person(crowd.posteriors).tolist()


def test_lately_everybody_counts_once_with_what_they_showed_last() -> None:
    wavering = [NEUTRAL] * 2 + [HAPPY] * 2 + [NEUTRAL, HAPPY]
    crowd = looks([HAPPY] * 2, wavering, [HAPPY] * 4 + [NEUTRAL] * 4, every_ms=1000)
    lately = crowd.lately()
    assert lately.posteriors.tolist() == [row.tolist() for row in (HAPPY, HAPPY, NEUTRAL)]
    assert (lately.person.tolist(), lately.weights.tolist()) == ([0, 1, 2], [1.0, 1.0, 1.0])
    assert (crowd.is_constant(), lately.is_constant()) == (False, True)
    both = Crowd.joined([crowd.only(np.array([False, True, True])), crowd]).lately()
    assert both.posteriors.tolist() == [row.tolist() for row in (HAPPY, NEUTRAL, HAPPY, HAPPY, NEUTRAL)]


def network(rng: np.random.Generator, labels: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Calibrated posteriors of a network that mistakes one label in three."""
    evidence = np.exp(2.2 * np.eye(7)[labels] + rng.normal(0, 1.0, (len(labels), 7)))
    rows: npt.NDArray[np.float64] = evidence / evidence.sum(axis=1, keepdims=True)
    return rows


@pytest.mark.parametrize("method", ["sld", "raw"])
def test_a_crowd_that_cheers_in_the_middle_of_a_window_is_counted_by_time(method: Method) -> None:
    # Nine of ten are calm for the first 6 s and cheer for the next 4: the shares are what was shown, by time.
    rng = np.random.default_rng(1)
    held = rng.integers(0, 7, 7000)
    rows = network(rng, held)
    means = np.stack([rows[held == label].mean(axis=0) for label in range(7)])
    covariances = np.stack([np.cov(rows[held == label].T) for label in range(7)])
    known = Confusions(7000, np.zeros(7), np.full(7, 1 / 7), means, covariances)
    calm = network(rng, np.full(200, 6))
    cheering = network(rng, np.where(np.arange(200) < 180, 3, 6))
    people = [[first] * 6 + [second] * 4 for first, second in zip(calm, cheering, strict=True)]
    found = estimate(looks(*people), method, known)
    assert found.people == 200
    if method == "sld":
        assert found.shares[[3, 6]] == pytest.approx([0.36, 0.64], abs=0.05)
        assert found.low[3] < 0.36 < found.high[3]
    else:
        averaged = estimate(Crowd.of(np.stack([np.mean(one, axis=0) for one in people])), "raw", known)
        assert abs(found.shares[3] - 0.36) < 0.6 * abs(averaged.shares[3] - 0.36)
