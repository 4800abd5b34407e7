"""The default method: close to the truth, in intervals that hold it, and careful with crowds it does not know."""

from dataclasses import replace

import numpy as np
import pytest

from aggregator.crowd import Crowd
from aggregator.estimate import Estimate, estimate
from crowdmood.domain.labels import LABELS
from tests.networks import CROWD, Network, shares_of

SCENES = Network(CROWD, scene=0.35)
SAD, HAPPY, NEUTRAL, CHEERING = (LABELS.index(label) for label in ("sad", "happy", "neutral", "cheering"))
SINGING = np.array([0, 0, 0, 0.15, 0, 0.01, 0.24, 0.6])


def held(found: Estimate, true: np.ndarray) -> np.ndarray:
    """Return which true shares lie in their intervals."""
    inside: np.ndarray = (found.low - 1e-9 <= true) & (true <= found.high + 1e-9)
    return inside


@pytest.mark.parametrize("photographs", [1, 4, 25], ids=lambda count: f"{count} photographs")
def test_intervals_hold_what_they_say_on_photographs_that_were_held_back(photographs: int) -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(12):
        known = SCENES.crowd_confusions(rng)
        for _ in range(8):
            scenes = np.sort(rng.integers(0, photographs, 200))
            labels = rng.choice(len(LABELS), 200, p=rng.dirichlet(10 * CROWD + 0.01))
            crowd = Crowd.of(SCENES.answers(rng, labels, scenes), scenes)
            inside.append(held(estimate(crowd, "gls", known), shares_of(labels)))
    assert 0.85 <= np.mean(inside) <= 0.97


def test_without_the_variance_between_scenes_intervals_hold_too_little() -> None:
    rng = np.random.default_rng(1)
    common = [HAPPY, NEUTRAL, CHEERING]
    inside: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for _ in range(10):
        known = SCENES.crowd_confusions(rng)
        blind = replace(known, scene=np.zeros_like(known.scene))
        for _ in range(6):
            labels = rng.choice(len(LABELS), 200, p=CROWD)
            crowd = Crowd.of(SCENES.in_one_scene(rng, labels))
            for knows, confusions in ((True, known), (False, blind)):
                inside[knows].append(held(estimate(crowd, "gls", confusions), shares_of(labels))[common])
    assert np.mean(inside[True]) >= 0.8
    assert np.mean(inside[False]) < 0.65


@pytest.mark.parametrize(
    ("mix", "most"), [pytest.param(CROWD, 1.3, id="usual"), pytest.param(SINGING, 0.6, id="singing")]
)
def test_shares_of_an_unusual_crowd_are_far_closer_to_the_truth_than_counts(mix: np.ndarray, most: float) -> None:
    rng = np.random.default_rng(2)
    network = Network(CROWD, apart=2.2, scene=0.1)
    errors: dict[str, list[float]] = {"gls": [], "raw": []}
    for _ in range(5):
        known = network.crowd_confusions(rng)
        for _ in range(6):
            labels = rng.choice(len(LABELS), 200, p=mix)
            crowd = Crowd.of(network.in_one_scene(rng, labels))
            for name, found in (("gls", estimate(crowd, "gls", known)), ("raw", estimate(crowd, "raw", known))):
                errors[name].append(float(np.abs(found.shares - shares_of(labels)).mean()))
    # Counts of the usual mix are right by chance: the network was calibrated under it.
    assert np.mean(errors["gls"]) < most * np.mean(errors["raw"])


def test_a_calm_crowd_has_no_anger() -> None:
    rng = np.random.default_rng(3)
    known = SCENES.crowd_confusions(rng)
    calm = np.array([0, 0, 0, 0.2, 0, 0, 0.8, 0])
    negative = []
    for _ in range(20):
        crowd = Crowd.of(SCENES.in_one_scene(rng, rng.choice(len(LABELS), 200, p=calm)))
        negative.append(float(estimate(crowd, "gls", known).shares[[0, 1, 2, SAD]].sum()))
    assert np.mean(negative) < 0.03
    assert max(negative) < 0.06


def test_a_crowd_of_known_faces_fits() -> None:
    rng = np.random.default_rng(4)
    known = SCENES.crowd_confusions(rng)
    for mix in (CROWD, SINGING, np.full(8, 1 / 8)):
        labels = rng.choice(len(LABELS), 200, p=mix)
        assert estimate(Crowd.of(SCENES.in_one_scene(rng, labels)), "gls", known).fit == pytest.approx(1, abs=0.05)


def test_a_misfit_shrinks_towards_counting_and_lowers_fit_and_widens_the_intervals() -> None:
    rng = np.random.default_rng(5)
    network = Network(CROWD)
    known = network.crowd_confusions(rng)
    labels = rng.choice(len(LABELS), 300, p=CROWD)
    usual = network.in_one_scene(rng, labels)
    # Another kind of camera: the network finds the same labels and is far less sure of each.
    blurred = usual**0.3
    blurred /= blurred.sum(axis=1, keepdims=True)
    clear, unsure = (estimate(Crowd.of(rows), "gls", known) for rows in (usual, blurred))
    assert clear.fit is not None and unsure.fit is not None
    assert unsure.fit < 0.3 < clear.fit
    trusting = estimate(Crowd.of(blurred, np.arange(300)), "pacc", known)
    counted = estimate(Crowd.of(blurred), "raw", known)
    assert np.abs(unsure.shares - counted.shares).mean() < 0.3 * np.abs(trusting.shares - counted.shares).mean()
    assert (unsure.high - unsure.low).mean() > 2 * (clear.high - clear.low).mean()
    assert held(unsure, shares_of(labels)).all()


def test_in_a_new_domain_shares_are_hardly_worse_than_counts() -> None:
    rng = np.random.default_rng(6)
    network = Network(CROWD)
    known = network.crowd_confusions(rng)
    errors: dict[str, list[float]] = {"gls": [], "raw": []}
    for _ in range(20):
        labels = rng.choice(len(LABELS), 200, p=rng.dirichlet(10 * CROWD + 0.01))
        rows = network.in_one_scene(rng, labels) ** rng.uniform(0.2, 0.5)
        crowd = Crowd.of(rows / rows.sum(axis=1, keepdims=True))
        for name, found in (("gls", estimate(crowd, "gls", known)), ("raw", estimate(crowd, "raw", known))):
            errors[name].append(float(np.abs(found.shares - shares_of(labels)).mean()))
    assert np.mean(errors["gls"]) < np.mean(errors["raw"]) + 0.01


def test_windows_of_one_scene_are_compared_with_narrower_intervals_of_the_same_shares() -> None:
    rng = np.random.default_rng(7)
    known = SCENES.crowd_confusions(rng)
    crowd = Crowd.of(SCENES.in_one_scene(rng, rng.choice(len(LABELS), 200, p=CROWD)))
    mood, lately = estimate(crowd, "gls", known), estimate(crowd, "gls", known, within_scene=True)
    assert lately.shares.tolist() == mood.shares.tolist()
    assert lately.fit == mood.fit
    common = [HAPPY, NEUTRAL, CHEERING]
    assert ((lately.high - lately.low)[common] < 0.7 * (mood.high - mood.low)[common]).all()
    # They still hold the difference of two windows in which the same shares are drawn again.
    apart = []
    for _ in range(40):
        shift = rng.normal(0, SCENES.scene, 8)
        pair = []
        for _ in range(2):
            labels = rng.choice(len(LABELS), 200, p=CROWD)
            rows = _shifted(rng, labels, shift)
            pair.append((estimate(Crowd.of(rows), "gls", known, within_scene=True), shares_of(labels)))
        (one, first), (two, second) = pair
        error = (one.shares - two.shares) - (first - second)
        apart.append(np.abs(error) <= 1.6449 * np.sqrt(np.diag(one.covariance + two.covariance)) + 1e-9)
    assert np.mean(np.stack(apart)[:, common]) >= 0.8


def _shifted(rng: np.random.Generator, labels: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return the answers of a scene with a given shift."""
    middles = SCENES.apart * np.eye(8)
    seen = rng.normal(size=(len(labels), 8)) + middles[labels] + shift
    joint = np.exp(-0.5 * np.square(seen[:, None, :] - middles).sum(axis=2)) * CROWD
    rows: np.ndarray = joint / joint.sum(axis=1, keepdims=True)
    return rows


def test_one_person_has_shares() -> None:
    known = SCENES.crowd_confusions(np.random.default_rng(8))
    found = estimate(Crowd.of(np.eye(8)[[HAPPY]]), "gls", known)
    assert found.shares.sum() == pytest.approx(1)
    assert np.isfinite(found.covariance).all()
    assert found.shares.argmax() == HAPPY


def test_confusable_labels_have_wide_intervals() -> None:
    rng = np.random.default_rng(9)
    blind = Network(CROWD, apart=0.3)
    known = blind.crowd_confusions(rng)
    labels = rng.choice(len(LABELS), 300, p=SINGING)
    found = estimate(Crowd.of(blind.in_one_scene(rng, labels)), "gls", known)
    assert (found.high - found.low)[[HAPPY, NEUTRAL, CHEERING]].min() > 0.2
    assert held(found, shares_of(labels)).mean() >= 0.75
