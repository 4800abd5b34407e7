"""Figures on faces of crowds, from probabilities and votes that are known."""

import numpy as np
import pytest

from classifier.card import CrowdMetrics
from crowdmood.domain.confusions import Confusions
from crowdmood.domain.labels import FER_LABELS, LABELS
from tests.faces_of_crowds import faces_of
from training.crowd_evaluation import SIZES_PX, crowds, examples, measure
from training.crowd_faces import CrowdFaces

MIX = ["happy"] * 3 + ["neutral"] * 5 + ["cheering"] + ["unreadable"]


def answers(*labels: str, known: tuple[str, ...] = LABELS, sure: float = 0.93) -> np.ndarray:
    """Return the probabilities of a network that is this sure of these labels: float32 (N, K)."""
    rows = np.full((len(labels), len(known)), (1 - sure) / (len(known) - 1), np.float32)
    rows[np.arange(len(labels)), [known.index(label) for label in labels]] = sure
    return rows


def readable(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def stand(count: int = 60) -> CrowdFaces:
    """Photographs of ten faces each, all of the same mix."""
    return faces_of([[name] for name in MIX * count], photos=[f"{number // 10}.jpg" for number in range(10 * count)])


def network_without_mistakes(faces: CrowdFaces) -> tuple[np.ndarray, np.ndarray]:
    names = [LABELS[code] if code < len(LABELS) else "neutral" for code in faces.labels]
    return answers(*names, sure=1.0), faces.readable.astype(np.float32)


def test_a_network_without_mistakes_has_no_errors() -> None:
    faces = stand()

    figures = measure(*network_without_mistakes(faces), faces, None)

    assert figures.faces == 600
    assert figures.accuracy_readable == 1
    assert (figures.recall["happy"], figures.recall["cheering"]) == (1, 1)
    assert (figures.unreadable_recall, figures.readable_lost) == (1, 0)
    assert figures.share_error_200 == pytest.approx(0)
    assert figures.negative_error_200 == pytest.approx(0)
    assert figures.coverage_90 == 1


def test_accuracy_counts_faces_with_a_label_of_the_majority_alone() -> None:
    faces = faces_of([["happy"], ["neutral"], ["sad", "happy"], ["unreadable"]])

    figures = measure(answers("happy", "happy", "happy", "happy"), None, faces, None)

    assert figures.accuracy_readable == 0.5
    assert figures.recall == {**dict.fromkeys(LABELS), "happy": 1, "neutral": 0}


def test_a_network_of_seven_labels_finds_no_cheering_where_there_is_some() -> None:
    probabilities = answers("happy", "surprise", known=FER_LABELS)

    with_some = measure(probabilities, None, faces_of([["happy"], ["cheering"]]), None)
    without = measure(probabilities, None, faces_of([["happy"], ["surprise"]]), None)

    assert (with_some.recall["cheering"], without.recall["cheering"]) == (0, None)
    assert with_some.accuracy_readable == 0.5
    # Half of the people cheer and count as surprised: both shares are wrong by a half.
    assert with_some.share_error_200 == pytest.approx(1 / 8)


def test_readable_faces_below_one_half_are_lost_and_unreadable_ones_found() -> None:
    faces = faces_of([["happy"], ["happy"], ["sad", "happy"], ["unreadable"], ["unreadable"], ["unreadable", "happy"]])

    figures = measure(answers(*["happy"] * 6), readable(0.9, 0.49, 0.2, 0.1, 0.5, 0.0), faces, None)

    assert figures.unreadable_recall == 0.5
    assert figures.readable_lost == pytest.approx(2 / 3)  # a face without a label of the majority is readable as well


def test_a_network_that_says_nothing_about_readability_finds_no_unreadable_faces() -> None:
    figures = measure(answers("happy", "happy"), None, faces_of([["happy"], ["unreadable"]]), None)

    assert (figures.unreadable_recall, figures.readable_lost) == (0, 0)


def test_unreadable_faces_do_not_vote() -> None:
    faces = faces_of([["happy"], ["unreadable"]])

    rejected = measure(answers("happy", "angry"), readable(1, 0), faces, None)
    counted = measure(answers("happy", "angry"), readable(1, 1), faces, None)

    assert rejected.share_error_200 == pytest.approx(0)
    assert counted.share_error_200 == pytest.approx((0.5 + 0.5) / 8)


def test_mistakes_among_negative_labels_leave_their_sum_right() -> None:
    faces = faces_of([["angry"], ["sad"], ["happy"], ["happy"]])

    swapped = measure(answers("sad", "fear", "happy", "happy"), None, faces, None)
    taken = measure(answers("angry", "sad", "sad", "happy"), None, faces, None)

    assert swapped.negative_error_200 == pytest.approx(0)
    assert swapped.share_error_200 > 0
    assert taken.negative_error_200 == pytest.approx(0.25)


def test_an_interval_far_from_the_truth_does_not_hold_it() -> None:
    faces = faces_of([["happy"], ["neutral"]])

    figures = measure(answers("sad", "sad"), None, faces, None)

    assert figures.coverage_90 == pytest.approx(5 / 8)  # happy and neutral are missed, sad is seen where there is none


def test_crowds_are_estimated_with_the_confusions_of_the_card() -> None:
    faces = stand()
    faces = faces.select(faces.readable)
    sad, neutral = LABELS.index("sad"), LABELS.index("neutral")
    # Row: label; column: what the network sees. A third of the neutral faces looks sad to it.
    seen = np.full((len(LABELS), len(LABELS)), 0.01)
    np.fill_diagonal(seen, 0.93)
    seen[neutral, [sad, neutral]] = 0.31, 0.63
    posteriors = (seen / seen.sum(axis=0)).T
    means = seen @ posteriors
    spreads = np.einsum("lo,oi,oj->lij", seen, posteriors, posteriors) - means[:, :, None] * means[:, None, :]
    priors = np.full(len(LABELS), 1 / len(LABELS))
    known = Confusions.of_card({"faces": 1000, "priors": priors, "soft_confusion": means, "soft_covariance": spreads})
    rng = np.random.default_rng(1)
    rows = np.array([posteriors[rng.choice(len(LABELS), p=seen[label])] for label in faces.labels], np.float32)

    corrected, counted = measure(rows, None, faces, known), measure(rows, None, faces, None)

    assert counted.negative_error_200 == pytest.approx(0.18, abs=0.05)
    assert corrected.negative_error_200 is not None
    assert corrected.negative_error_200 < 0.12


def test_every_size_has_the_same_figures_and_small_faces_count_in_none() -> None:
    faces = faces_of([["happy"]] * 9, px=[19, 20, 31, 32, 47, 48, 95, 96, 400])

    figures = measure(answers(*["happy"] * 9), None, faces, None)

    assert list(figures.by_size) == list(SIZES_PX) == ["20-32", "32-48", "48-96", "96+"]
    assert [part.faces for part in figures.by_size.values()] == [2, 2, 2, 2]
    assert figures.faces == 9
    dumped = figures.model_dump()
    assert all([*part, "by_size"] == list(dumped) for part in dumped["by_size"].values())
    assert figures.by_size["96+"].recall["happy"] == 1


def test_figures_without_faces_are_unknown() -> None:
    figures = measure(answers(), readable(), faces_of([]), None)

    assert figures == CrowdMetrics(
        faces=0,
        recall=dict.fromkeys(LABELS),
        by_size={name: {"faces": 0, "recall": dict.fromkeys(LABELS)} for name in SIZES_PX},
    )


def test_shares_are_unknown_when_no_face_was_drawn_at_random_or_can_be_read() -> None:
    mined = measure(answers("happy"), None, faces_of([["happy"]], how="mined"), None)
    hidden = measure(answers("happy"), readable(0.1), faces_of([["happy"]]), None)

    for figures in (mined, hidden):
        assert (figures.share_error_200, figures.negative_error_200, figures.coverage_90) == (None, None, None)
    assert mined.accuracy_readable == hidden.accuracy_readable == 1


def test_a_crowd_is_200_faces_of_whole_photographs_in_random_order() -> None:
    photos = [f"{number // 15}.jpg" for number in range(450)]
    faces = faces_of([["happy"]] * 450, photos=photos, how=["mined" if n % 15 == 0 else "random" for n in range(450)])

    drawn = list(crowds(faces, 20, seed=3))

    assert {len(crowd) for crowd in drawn} == {200}
    for crowd in drawn:
        assert len(set(crowd.tolist())) == 200
        assert not (crowd % 15 == 0).any()  # mined faces
        assert sorted(np.unique(crowd // 15, return_counts=True)[1].tolist()) == [4, *[14] * 14]
    assert len({tuple(crowd.tolist()) for crowd in drawn}) == 20


def test_crowds_of_one_seed_are_the_same() -> None:
    faces = stand()

    same, other = list(crowds(faces, 3, seed=1)), list(crowds(faces, 3, seed=2))

    assert all(np.array_equal(a, b) for a, b in zip(same, crowds(faces, 3, seed=1), strict=True))
    assert not np.array_equal(same[0], other[0])


def test_photographs_come_again_when_they_hold_too_few_faces() -> None:
    faces = faces_of([["happy"]] * 80, photos=[f"{number // 8}.jpg" for number in range(80)])

    (crowd,) = crowds(faces, 1, seed=0)

    assert len(crowd) == 200
    assert set(np.bincount(crowd, minlength=80).tolist()) == {2, 3}


def test_examples_are_the_surest_mistakes_by_file_name_with_votes() -> None:
    faces = faces_of([["happy", "happy", "neutral"], ["happy"], ["happy"], ["unreadable"], ["neutral"]], px=33)
    probabilities = np.concatenate(
        [answers("sad", sure=0.6), answers("sad", sure=0.9), answers("happy", "angry", "neutral")]
    )

    found = examples(probabilities, readable(1, 1, 1, 0.8, 0.3), faces)

    assert list(found) == [*LABELS, "unreadable, taken for readable", "readable, taken for unreadable"]
    assert [each["file"] for each in found["happy"]] == ["1.png", "0.png"]
    assert found["happy"][1]["votes"] == "2 happy, 1 neutral"
    assert found["happy"][0]["probabilities"].startswith("sad 0.90, ")
    assert found["happy"][0]["px"] == 33
    assert [each["file"] for each in found["unreadable, taken for readable"]] == ["3.png"]
    assert [each["file"] for each in found["readable, taken for unreadable"]] == ["4.png"]
    assert found["neutral"] == []


def test_examples_of_a_network_without_readability_are_wrong_labels_alone() -> None:
    found = examples(answers("sad"), None, faces_of([["happy"]]))

    assert list(found) == list(LABELS)
    assert "readable" not in found["happy"][0]


def test_ten_examples_of_a_kind_are_enough() -> None:
    assert len(examples(answers(*["sad"] * 30), None, faces_of([["happy"]] * 30))["happy"]) == 10
