"""Shares come with an uncertainty that holds what it promises, and with a name that says how they were made."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from aggregator.crowd import Crowd
from aggregator.estimate import GROUPS, combined, estimate
from crowdmood import LABELS
from crowdmood.confusions import Confusions
from crowdmood.errors import UndecodableError

PRIORS = np.array([0.13, 0.05, 0.13, 0.26, 0.17, 0.1, 0.16])


def network(rng: np.random.Generator, labels: np.ndarray, apart: float = 2.2) -> np.ndarray:
    """Posteriors of a network that is calibrated under `PRIORS`; about two in three are right."""
    middles = apart * np.eye(7)
    features = rng.normal(size=(len(labels), 7)) + middles[labels]
    joint = np.exp(-0.5 * np.square(features[:, None, :] - middles).sum(axis=2)) * PRIORS
    posteriors: np.ndarray = joint / joint.sum(axis=1, keepdims=True)
    return posteriors


def confusions(rng: np.random.Generator, faces: int = 3000, apart: float = 2.2) -> Confusions:
    labels = rng.choice(7, faces, p=PRIORS)
    posteriors = network(rng, labels, apart)
    parts = [posteriors[labels == label] for label in range(7)]
    counts = np.array([len(part) for part in parts])
    means = np.stack([part.mean(axis=0) for part in parts])
    return Confusions(faces, np.zeros(7), counts / faces, means, np.stack([np.cov(part.T) for part in parts]))


@pytest.mark.parametrize("method", ["sld", "pacc"])
@pytest.mark.parametrize("people", [60, 600])
def test_nine_of_ten_true_shares_lie_in_their_intervals(method: str, people: int) -> None:
    rng = np.random.default_rng(3)
    inside, errors, raw_errors = [], [], []
    for _ in range(40):
        known = confusions(rng)
        labels = rng.choice(7, people, p=rng.dirichlet(np.ones(7)))
        true = np.bincount(labels, minlength=7) / people
        posteriors = network(rng, labels)
        found = estimate(Crowd.of(posteriors), method, known)  # type: ignore[arg-type]
        inside.append((found.low - 1e-9 <= true) & (true <= found.high + 1e-9))
        errors.append(np.abs(found.shares - true).mean())
        raw_errors.append(np.abs(estimate(Crowd.of(posteriors), "raw", known).shares - true).mean())
        assert found.shares.sum() == pytest.approx(1)
        assert (found.low <= found.shares).all() and (found.shares <= found.high).all()
        assert found.method == method
    assert 0.85 <= np.mean(inside) <= 0.97
    assert np.mean(errors) < 0.8 * np.mean(raw_errors)


def test_a_network_that_gives_a_label_too_rarely_is_put_right() -> None:
    rng = np.random.default_rng(8)
    known = confusions(rng)
    shy = np.array([0, 0, 0, 0, -1.5, 0, 0])
    labels = rng.choice(7, 2000, p=PRIORS)
    posteriors = network(rng, labels) * np.exp(shy)
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    sad = float((labels == 4).mean())
    assert estimate(Crowd.of(posteriors), "sld", known).shares[4] < sad - 0.05
    assert estimate(Crowd.of(posteriors), "sld", replace(known, biases=-shy)).shares[4] == pytest.approx(sad, abs=0.03)


def test_more_people_are_known_better() -> None:
    rng = np.random.default_rng(4)
    known = confusions(rng)
    widths = []
    for people in (30, 300, 3000):
        found = estimate(Crowd.of(network(rng, rng.choice(7, people, p=PRIORS))), "sld", known)
        widths.append(float((found.high - found.low).mean()))
    assert widths[0] > widths[1] > widths[2] > 0


def test_a_network_that_says_nothing_of_itself_is_counted() -> None:
    found = estimate(Crowd.of(np.eye(7)[[3, 3, 3, 4]]), "sld", None)
    assert found.method == "raw"
    assert dict(zip(LABELS, found.shares, strict=True))["happy"] == 0.75
    assert (found.high - found.low).max() > 0.3


def test_labels_that_cannot_be_told_apart_are_told_as_groups() -> None:
    rng = np.random.default_rng(5)
    known = confusions(rng, apart=0.3)
    labels = rng.choice(7, 500, p=PRIORS)
    found = estimate(Crowd.of(network(rng, labels, apart=0.3)), "sld", known)
    assert found.method == "sld-groups"
    assert found.shares.sum() == pytest.approx(1)
    negative = [LABELS.index(label) for label in GROUPS[1]]
    assert (found.low[negative] == 0).all()
    assert (found.low <= found.shares + 1e-9).all() and (found.shares <= found.high + 1e-9).all()


def test_crowds_judged_by_two_networks_are_weighted_by_their_people() -> None:
    happy, sad = np.eye(7)[[3] * 30], np.eye(7)[[4] * 10]
    both = combined([estimate(Crowd.of(happy), "raw", None), estimate(Crowd.of(sad), "raw", None)])
    assert both.people == 40
    assert dict(zip(LABELS, both.shares, strict=True))["happy"] == pytest.approx(0.75)


def test_the_interval_of_a_sum_is_narrower_than_the_sum_of_the_intervals() -> None:
    rng = np.random.default_rng(6)
    found = estimate(Crowd.of(network(rng, rng.choice(7, 200, p=PRIORS))), "sld", confusions(rng))
    low, high = found.interval(np.ones(7))
    assert high - low < 0.2 * (found.high - found.low).sum()


def test_confusions_travel_as_they_are() -> None:
    known = confusions(np.random.default_rng(7))
    again = Confusions.from_bytes(known.to_bytes())
    assert again is not None
    assert again.faces == known.faces
    assert again.covariances == pytest.approx(known.covariances, abs=1e-6)
    assert Confusions.from_bytes(b"") is None
    with pytest.raises(UndecodableError, match="were expected"):
        Confusions.from_bytes(known.to_bytes()[:-4])


def test_sums_are_one_threads_so_that_they_depend_on_no_number_of_cores() -> None:
    script = (
        "import crowdmood, numpy, threadpoolctl\n"
        "print({each['num_threads'] for each in threadpoolctl.threadpool_info() if each['user_api'] == 'blas'})"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "{1}"
