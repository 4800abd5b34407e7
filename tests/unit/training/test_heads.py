"""Targets teach each head what its labels know, and nothing else."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from crowdmood.domain.labels import LABELS  # noqa: E402
from training.heads import (  # noqa: E402
    ALL_HEADS,
    CROWD,
    FER,
    READABLE,
    TARGETS,
    VOTES,
    ExpressionLoss,
    HeadAccuracy,
    crowd_targets,
    fer_targets,
    unreadable,
)


def test_no_faces_have_no_targets() -> None:
    assert fer_targets(np.zeros((0, 7), np.float32), None, 0.3, 0.5).shape == (0, TARGETS)
    assert crowd_targets(np.zeros((0, 9), np.uint8), 1.0, 0.5).shape == (0, TARGETS)


def test_a_fer2013_face_teaches_its_label_its_votes_and_that_it_is_readable() -> None:
    votes = np.zeros((1, 10), np.uint8)
    votes[0, 1], votes[0, 8] = 6, 4  # happiness, unknown
    (target,) = fer_targets(np.eye(7, dtype=np.float32)[[3]], votes, 0.3, 0.5)
    assert target[FER].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert target[VOTES].tolist() == pytest.approx([0, 0.3, 0, 0, 0, 0, 0, 0])
    assert not target[CROWD].any()
    assert target[READABLE:].tolist() == [0.5, 0]


def test_a_face_that_most_taggers_call_no_face_teaches_only_that_it_is_unreadable() -> None:
    votes = np.zeros((1, 10), np.uint8)
    votes[0, 9], votes[0, 0] = 8, 2
    (target,) = fer_targets(np.eye(7, dtype=np.float32)[[3]], votes, 0.3, 0.5)
    assert np.array_equal(target, unreadable(0.5))


def test_a_crowd_face_weighs_as_much_as_annotators_could_read_it() -> None:
    votes = np.zeros((1, 9), np.uint8)
    votes[0, LABELS.index("cheering")], votes[0, 8] = 1, 1
    (target,) = crowd_targets(votes, 1.0, 0.5)
    assert target[CROWD].tolist() == [0, 0, 0, 0, 0, 0, 0, 0.5]
    assert target[READABLE:].tolist() == [0.25, 0.25]
    assert not target[: CROWD.start].any()


def test_a_head_without_targets_has_no_loss_and_no_gradient() -> None:
    logits = np.random.default_rng(0).normal(size=(1, ALL_HEADS)).astype(np.float32)
    target = crowd_targets(np.array([[0, 0, 0, 2, 0, 0, 0, 0, 0]], np.uint8), 1.0, 0.5)
    loss = ExpressionLoss(reduction="none")
    before = float(np.asarray(loss(target, logits)).item())
    logits[:, : CROWD.start] += 5.0
    logits[:, FER.start] -= 3.0
    assert float(np.asarray(loss(target, logits)).item()) == pytest.approx(before)
    logits[:, CROWD.start + 3] += 1.0
    assert float(np.asarray(loss(target, logits)).item()) < before


def test_the_loss_of_a_network_of_seven_outputs_is_its_cross_entropy() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    target = np.eye(7, dtype=np.float32)[[0, 3, 6, 2]]
    wanted = -(np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)) * target).sum(axis=1)
    assert np.allclose(np.asarray(ExpressionLoss(reduction="none")(target, logits)), wanted, atol=1e-5)


def test_accuracy_counts_only_faces_that_teach_its_head() -> None:
    targets = np.zeros((3, TARGETS), np.float32)
    targets[0, CROWD.start], targets[1, CROWD.start + 1], targets[2, FER.start] = 1, 1, 1
    logits = np.zeros((3, ALL_HEADS), np.float32)
    logits[:, CROWD.start] = 1
    metric = HeadAccuracy((CROWD.start, CROWD.stop))
    metric.update_state(targets, logits)
    assert float(metric.result()) == pytest.approx(0.5)
