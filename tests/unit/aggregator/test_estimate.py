"""Shares come with an uncertainty that holds what it promises, and with a name that says how they were made."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from aggregator.crowd import Crowd
from aggregator.estimate import Method, combined, estimate
from crowdmood.core.errors import UndecodableError
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.labels import FER_LABELS, LABELS
from tests.networks import CROWD, Network, shares_of

PRIORS = np.array([0.13, 0.05, 0.13, 0.26, 0.17, 0.1, 0.16])
SEVEN = Network(PRIORS, apart=2.2)


@pytest.mark.parametrize("method", ["gls", "sld", "pacc"])
@pytest.mark.parametrize("people", [60, 600])
def test_nine_of_ten_true_shares_lie_in_their_intervals(method: Method, people: int) -> None:
    rng = np.random.default_rng(3)
    inside, errors, raw_errors = [], [], []
    for _ in range(40):
        known = SEVEN.confusions(rng)
        labels = rng.choice(7, people, p=rng.dirichlet(np.ones(7)))
        true = shares_of(labels, 7)
        crowd = Crowd.of(SEVEN.in_one_scene(rng, labels))
        found = estimate(crowd, method, known)
        inside.append((found.low - 1e-9 <= true) & (true <= found.high + 1e-9))
        errors.append(np.abs(found.shares - true).mean())
        raw_errors.append(np.abs(estimate(crowd, "raw", known).shares - true).mean())
        assert found.shares.sum() == pytest.approx(1)
        assert (found.low <= found.shares).all() and (found.shares <= found.high).all()
        assert found.method == method
    assert 0.85 <= np.mean(inside) <= 0.97
    assert np.mean(errors) < 0.8 * np.mean(raw_errors)


def test_the_biases_of_an_older_card_are_taken_out() -> None:
    rng = np.random.default_rng(8)
    known = SEVEN.confusions(rng)
    # Older cards know the probabilities alone, and correct a network that gives a label too rarely.
    older = replace(
        known, means=known.means[:, :7], covariances=known.covariances[:, :7, :7], scene=known.scene[:7, :7]
    )
    shy = np.array([0, 0, 0, 0, -1.5, 0, 0])
    labels = rng.choice(7, 2000, p=PRIORS)
    posteriors = SEVEN.in_one_scene(rng, labels) * np.exp(shy)
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    sad = float((labels == 4).mean())
    for method in ("gls", "sld"):
        assert estimate(Crowd.of(posteriors), method, older).shares[4] < sad - 0.05
        corrected = estimate(Crowd.of(posteriors), method, replace(older, biases=-shy))
        assert corrected.shares[4] == pytest.approx(sad, abs=0.04)


@pytest.mark.parametrize("method", ["gls", "sld"])
def test_more_people_are_known_better(method: Method) -> None:
    rng = np.random.default_rng(4)
    known = SEVEN.confusions(rng)
    widths = []
    for people in (30, 300, 3000):
        drawn = [Crowd.of(SEVEN.in_one_scene(rng, rng.choice(7, people, p=PRIORS))) for _ in range(20)]
        found = [estimate(crowd, method, known) for crowd in drawn]
        widths.append(float(np.median([(each.high - each.low).mean() for each in found])))
    assert widths[0] > widths[1] > widths[2] > 0


def test_only_the_correcting_method_has_a_fit() -> None:
    rng = np.random.default_rng(5)
    known = SEVEN.confusions(rng)
    crowd = Crowd.of(SEVEN.in_one_scene(rng, rng.choice(7, 100, p=PRIORS)))
    methods: tuple[Method, ...] = ("raw", "pcc", "pacc", "sld", "gls")
    assert [estimate(crowd, method, known).fit is None for method in methods] == [True, True, True, True, False]


def test_crowds_of_a_network_without_confusions_are_counted() -> None:
    found = estimate(Crowd.of(np.eye(8)[[3, 3, 3, 7]]), "gls", None)
    assert (found.method, found.fit) == ("raw", None)
    assert dict(zip(LABELS, found.shares, strict=True))["cheering"] == 0.25
    assert (found.high - found.low).max() > 0.3


def test_crowds_of_two_networks_are_weighted_by_their_people() -> None:
    happy, sad = np.eye(8)[[3] * 30], np.eye(8)[[4] * 10]
    both = combined([estimate(Crowd.of(happy), "raw", None), estimate(Crowd.of(sad), "raw", None)])
    assert both.people == 40
    assert dict(zip(LABELS, both.shares, strict=True))["happy"] == pytest.approx(0.75)


def test_crowds_of_networks_with_other_labels_know_the_common_ones() -> None:
    eight = estimate(Crowd.of(np.eye(8)[[3] * 20 + [7] * 20]), "raw", None)
    seven = estimate(Crowd.of(np.eye(7)[[6] * 20]), "raw", None)
    both = combined([eight, seven])
    assert len(both.shares) == len(both.raw) == len(FER_LABELS)
    assert both.people == 60
    # Twenty of those who do not cheer are happy, twenty are neutral.
    assert both.shares[[3, 6]] == pytest.approx([0.5, 0.5])
    assert both.shares.sum() == both.raw.sum() == pytest.approx(1)
    assert both.covariance.shape == (7, 7)
    singing = estimate(Crowd.of(np.eye(8)[[7] * 40]), "raw", None)
    assert combined([singing, seven]).shares[6] == pytest.approx(1)


def test_the_fit_of_several_crowds_is_their_mean() -> None:
    rng = np.random.default_rng(10)
    known = SEVEN.confusions(rng)
    found = estimate(Crowd.of(SEVEN.in_one_scene(rng, rng.choice(7, 100, p=PRIORS))), "gls", known)
    half = combined([found, replace(found, fit=0.0)])
    assert half.fit == pytest.approx((found.fit or 0) / 2)
    counted = estimate(Crowd.of(np.eye(7)[[3] * 100]), "gls", None)
    assert combined([found, counted]).fit == found.fit
    assert combined([found, counted]).method == "gls+raw"


def test_the_interval_of_a_sum_is_narrower_than_the_sum_of_the_intervals() -> None:
    rng = np.random.default_rng(6)
    network = Network(CROWD, scene=0.2)
    labels = rng.choice(8, 200, p=CROWD)
    found = estimate(Crowd.of(network.in_one_scene(rng, labels)), "gls", network.crowd_confusions(rng))
    low, high = found.interval(np.ones(8))
    assert high - low < 0.2 * (found.high - found.low).sum()


@pytest.mark.parametrize("labels", [7, 8])
def test_confusions_travel_as_they_are(labels: int) -> None:
    rng = np.random.default_rng(7)
    known = SEVEN.confusions(rng) if labels == 7 else Network(CROWD, scene=0.2).crowd_confusions(rng)
    again = Confusions.from_bytes(known.to_bytes())
    assert again is not None
    assert (again.labels, again.faces) == (labels, known.faces)
    for name in ("priors", "counts", "scenes", "means", "covariances", "scene"):
        assert getattr(again, name) == pytest.approx(getattr(known, name), rel=1e-6, abs=1e-7), name
    assert len(known.to_bytes()) < 4096
    assert Confusions.from_bytes(b"") is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda raw: raw[:-4], "expected"),
        (lambda raw: raw[:3], "no header"),
        (lambda raw: b"\0\0" + raw[2:], "unknown version"),
        (lambda raw: raw[:2] + b"\x09" + raw[3:], "unknown version"),
        (lambda raw: raw[:3] + b"\x06" + raw[4:], "unknown version"),
    ],
    ids=["cut short", "header cut", "other bytes", "a later version", "six labels"],
)
def test_bytes_that_are_no_confusions_are_refused(spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    raw = SEVEN.confusions(np.random.default_rng(7)).to_bytes()
    with pytest.raises(UndecodableError, match=message):
        Confusions.from_bytes(spoil(raw))


def test_sums_use_one_thread_so_that_they_depend_on_no_number_of_cores() -> None:
    script = (
        "import crowdmood, numpy, threadpoolctl\n"
        "print({each['num_threads'] for each in threadpoolctl.threadpool_info() if each['user_api'] == 'blas'})"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "{1}"
