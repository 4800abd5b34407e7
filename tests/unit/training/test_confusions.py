"""What a card says about a network's confusions, on numbers whose truth is known."""

import numpy as np
import pytest

from classifier.card import Prevalence
from crowdmood.domain.confusions import Confusions, features
from crowdmood.domain.labels import LABELS
from tests.networks import CROWD, Network, shares_of
from training.confusions import fit_crowd_prevalence, fit_prevalence
from training.regression import softmax

NETWORK = Network(CROWD, apart=2.5, scene=0.3)
UNREADABLE = len(LABELS)


def votes(labels: np.ndarray) -> np.ndarray:
    """Return the votes of three annotators who agree."""
    chosen: np.ndarray = 3 * np.eye(UNREADABLE + 1, dtype=np.uint8)[labels]
    return chosen


def photographs(rng: np.random.Generator, count: int, faces: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, names of photographs, and answers."""
    scenes = np.repeat(np.arange(count), faces)
    labels = rng.choice(len(LABELS), len(scenes), p=CROWD)
    return labels, scenes.astype(np.str_), NETWORK.answers(rng, labels, scenes)


def fitted(labels: np.ndarray, photos: np.ndarray, answers: np.ndarray) -> Prevalence:
    section = fit_crowd_prevalence(answers, votes(labels), photos, "here")
    assert section is not None
    return section


def test_single_faces_give_mean_and_spread_of_every_label() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 4000)
    answers = softmax((rng.normal(size=(4000, 7)) + 2 * np.eye(7)[labels]).astype(np.float32))
    section = fit_prevalence(answers, labels.astype(np.uint8), "here")
    assert section is not None and section.soft_covariance is not None
    faces = features(answers)[labels == 3]
    assert faces.shape[1] == 8
    assert faces[:, 7] == pytest.approx(answers[labels == 3].max(axis=1))
    assert np.allclose(section.soft_confusion[3], faces.mean(axis=0), atol=1e-6)
    assert np.allclose(section.soft_covariance[3], np.cov(faces.T), atol=1e-6)
    assert sum(map(sum, section.confusion)) == section.faces == 4000
    assert sum(section.priors) == pytest.approx(1)
    assert section.biases is None and section.scene_covariance is None


def test_a_label_without_faces_leaves_single_faces_without_confusions() -> None:
    answers = softmax(np.random.default_rng(0).normal(size=(400, 7)).astype(np.float32))
    labels = np.tile(np.array([0, 2, 3, 4, 5, 6], np.uint8), 67)[:400]
    assert fit_prevalence(answers, labels, "here") is None


def test_photographs_give_the_mean_of_every_label_and_the_shares_of_crowds() -> None:
    labels, photos, answers = photographs(np.random.default_rng(1), 600, 20)
    section = fitted(labels, photos, answers)
    for label in (3, 6, 7):
        assert section.soft_confusion[label] == pytest.approx(features(answers[labels == label]).mean(axis=0), abs=2e-3)
    assert section.priors == pytest.approx(shares_of(labels), abs=1e-3)
    assert section.label_faces is not None and section.label_scenes is not None
    assert section.label_faces[6] == pytest.approx((labels == 6).sum() + 4)
    assert 300 < section.label_scenes[6] < 600


def test_the_variance_between_scenes_is_found_beneath_that_of_faces() -> None:
    rng = np.random.default_rng(2)
    labels, photos, answers = photographs(rng, 600, 20)
    found = np.array(fitted(labels, photos, answers).scene_covariance)
    # Means over large photographs have hardly any noise of faces.
    scenes = np.repeat(np.arange(200), 500)
    many = rng.choice(len(LABELS), len(scenes), p=CROWD)
    rows = features(NETWORK.answers(rng, many, scenes))
    means = np.stack([rows[many == label].mean(axis=0) for label in range(8)])
    true = np.cov(np.stack([part.mean(axis=0) for part in np.split(rows - means[many], 200)]).T)
    assert np.sqrt(np.diag(found))[[3, 6]] == pytest.approx(np.sqrt(np.diag(true))[[3, 6]], rel=0.3)
    alone = np.array(fitted(labels, np.arange(len(labels)).astype(np.str_), answers).scene_covariance)
    assert np.abs(alone).max() == 0


def test_other_faces_make_up_for_rare_labels_and_leave_common_ones_alone() -> None:
    rng = np.random.default_rng(3)
    labels, photos, answers = photographs(rng, 100, 8)
    others = np.repeat(np.arange(7), 300)
    strange = np.full((len(others), 8), 1 / 8)
    alone = fitted(labels, photos, answers)
    section = fit_crowd_prevalence(answers, votes(labels), photos, "here", (strange, others.astype(np.uint8)))
    assert section is not None and section.label_faces is not None
    assert section.soft_confusion[6] == alone.soft_confusion[6]
    assert section.soft_confusion[1][:8] == pytest.approx(np.full(8, 1 / 8), abs=0.05)
    assert section.label_faces[1] == pytest.approx(104)
    assert section.priors == alone.priors


def test_faces_that_most_annotators_cannot_read_are_left_out() -> None:
    rng = np.random.default_rng(4)
    labels, photos, answers = photographs(rng, 50, 8)
    hidden = np.concatenate([votes(labels), np.tile(votes(np.array([UNREADABLE])), (50, 1))])
    more = np.concatenate([answers, np.full((50, 8), 1 / 8)])
    section = fit_crowd_prevalence(more, hidden, np.concatenate([photos, photos[:50]]), "here")
    assert section == fitted(labels, photos, answers)
    assert fit_crowd_prevalence(more[-50:], hidden[-50:], photos[:50], "here") is None


def test_a_face_counts_for_each_label_by_its_votes() -> None:
    rng = np.random.default_rng(5)
    labels, photos, answers = photographs(rng, 50, 8)
    split = votes(labels)
    split[:, 3] += 1
    split[labels == 6, 6] -= 1
    section = fit_crowd_prevalence(answers, split, photos, "here")
    assert section is not None
    assert section.priors[3] > shares_of(labels)[3] + 0.1


def test_a_card_of_crowds_gives_confusions() -> None:
    section = fitted(*photographs(np.random.default_rng(6), 50, 8))
    known = Confusions.of_card(section.model_dump())
    assert known is not None
    assert (known.labels, known.means.shape, known.scene.shape) == (8, (8, 9), (9, 9))
    assert Confusions.of_card(None) is None
    assert Confusions.of_card(section.model_dump() | {"soft_covariance": None}) is None
