"""People in stretches: a person who changes their expression counts for each by its time, and counts as one."""

import numpy as np
import numpy.typing as npt
import pytest

from aggregator.crowd import Crowd, crowd_of
from aggregator.estimate import Method, estimate
from tests.networks import Network, shares_of

HAPPY, NEUTRAL = np.eye(8)[3], np.eye(8)[6]


def samples(*people: list[npt.NDArray[np.float64]], every_ms: int = 500) -> Crowd:
    """Return people each of whom shows one row after the other."""
    who = np.repeat(np.arange(len(people), dtype=np.int32), [len(rows) for rows in people])
    at_ms = np.concatenate([np.arange(len(rows)) * every_ms for rows in people])
    return crowd_of(np.concatenate(people), np.ones(len(who)), at_ms, who, len(people))


def test_a_person_who_keeps_an_expression_is_one_stretch_without_noise() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.dirichlet(40 * (0.6 * HAPPY + 0.4 / 8), 20)
    crowd = samples(list(noisy))
    assert (len(crowd), crowd.weights.tolist()) == (1, [1.0])
    assert crowd.posteriors[0] == pytest.approx(noisy.mean(axis=0))
    # The confidence of the mean would be lower than the faces' own.
    assert crowd.confidence == pytest.approx([noisy.max(axis=1).mean()])
    assert crowd.features.shape == (1, 9)


def test_a_person_who_changes_counts_for_each_expression_by_its_time() -> None:
    crowd = samples([NEUTRAL] * 6 + [HAPPY] * 4)
    assert len(crowd) == 1
    assert crowd.posteriors.tolist() == [NEUTRAL.tolist(), HAPPY.tolist()]
    assert crowd.weights == pytest.approx([0.6, 0.4])
    assert crowd.by_person(crowd.posteriors)[0] == pytest.approx(0.6 * NEUTRAL + 0.4 * HAPPY)


def test_a_person_who_changes_back_is_in_a_third_stretch() -> None:
    crowd = samples([NEUTRAL] * 4 + [HAPPY] * 4 + [NEUTRAL] * 2)
    assert crowd.weights == pytest.approx([0.4, 0.4, 0.2])


def test_a_person_who_was_seen_seldom_counts_as_much_as_one_who_was_seen_always() -> None:
    crowd = samples([HAPPY] * 10, [NEUTRAL])
    assert (len(crowd), crowd.person.tolist(), crowd.weights.tolist()) == (2, [0, 1], [1.0, 1.0])


def test_a_face_without_weight_is_no_sample() -> None:
    rows = np.stack([HAPPY, NEUTRAL, NEUTRAL])
    at_ms, who = np.array([0, 4000, 8000]), np.zeros(3, np.int32)
    crowd = crowd_of(rows, np.array([1.0, 0.0, 0.0]), at_ms, who, 1)
    assert crowd.posteriors.tolist() == [HAPPY.tolist()]


def test_no_one_is_an_empty_crowd() -> None:
    crowd = crowd_of(np.empty((0, 8)), np.empty(0), np.empty(0, np.int64), np.empty(0, np.int32), 0)
    assert (len(crowd), crowd.by_person(crowd.posteriors).shape) == (0, (0, 8))


def test_some_of_the_people_and_several_crowds_keep_their_stretches_apart() -> None:
    crowd = samples([HAPPY] * 2, [NEUTRAL] * 4 + [HAPPY] * 4, [NEUTRAL] * 2)
    some = crowd.only(np.array([False, True, True]))
    assert len(some) == 2
    assert some.by_person(some.posteriors).tolist() == [(0.5 * HAPPY + 0.5 * NEUTRAL).tolist(), NEUTRAL.tolist()]
    both = Crowd.joined([some, crowd])
    assert len(both) == 5
    assert both.by_person(both.posteriors)[2:].tolist() == crowd.by_person(crowd.posteriors).tolist()


def test_lately_each_person_counts_once_with_what_they_showed_last() -> None:
    wavering = [NEUTRAL] * 2 + [HAPPY] * 2 + [NEUTRAL, HAPPY]
    crowd = samples([HAPPY] * 2, wavering, [HAPPY] * 4 + [NEUTRAL] * 4, every_ms=1000)
    lately = crowd.lately()
    assert lately.posteriors.tolist() == [row.tolist() for row in (HAPPY, HAPPY, NEUTRAL)]
    assert lately.person.tolist() == [0, 1, 2]
    assert lately.weights.tolist() == pytest.approx([1.0, 1.0, 1.0])
    both = Crowd.joined([crowd.only(np.array([False, True, True])), crowd]).lately()
    assert both.posteriors.tolist() == [row.tolist() for row in (HAPPY, NEUTRAL, HAPPY, HAPPY, NEUTRAL)]


def test_crowds_of_several_cameras_are_several_scenes() -> None:
    north, south = samples(*[[HAPPY]] * 6), samples(*[[NEUTRAL]] * 2)
    both = Crowd.joined([north, south])
    assert both.scenes.tolist() == [0] * 6 + [1] * 2
    assert north.scene_weight == 1
    assert both.scene_weight == pytest.approx(0.75**2 + 0.25**2)
    assert both.only(np.arange(8) >= 4).scenes.tolist() == [0, 0, 1, 1]
    assert Crowd.joined([both, north]).scene_weight == pytest.approx((6 / 14) ** 2 + (2 / 14) ** 2 + (6 / 14) ** 2)
    assert both.lately().scenes.tolist() == both.scenes.tolist()


@pytest.mark.parametrize("method", ["gls", "raw"])
def test_a_crowd_that_cheers_in_the_middle_of_a_window_is_counted_by_time(method: Method) -> None:
    # Nine of ten are calm for the first 6 s and happy for the next 4: the shares are what was shown, by time.
    rng = np.random.default_rng(1)
    network = Network(np.full(8, 1 / 8), apart=2.5)
    known = network.crowd_confusions(rng)
    later = np.where(np.arange(200) < 180, 3, 6)
    calm, happy = network.in_one_scene(rng, np.full(200, 6)), network.in_one_scene(rng, later)
    people = [[first] * 6 + [second] * 4 for first, second in zip(calm, happy, strict=True)]
    found = estimate(samples(*people), method, known)
    assert found.people == 200
    true = 0.6 * np.eye(8)[6] + 0.4 * shares_of(later)
    if method == "gls":
        assert found.shares == pytest.approx(true, abs=0.05)
        assert found.low[3] - 0.02 < true[3] < found.high[3] + 0.02
    else:
        averaged = estimate(Crowd.of(np.stack([np.mean(one, axis=0) for one in people])), "raw", known)
        assert abs(found.shares[3] - true[3]) < 0.6 * abs(averaged.shares[3] - true[3])
