"""From people to shares, the leading label and the balance."""

import numpy as np
import pytest

from aggregator.shares import dominant, raw_shares, stack, valence
from crowdmood import LABELS


def people(*labels: str) -> np.ndarray:
    return np.eye(7, dtype=np.float16)[[LABELS.index(label) for label in labels]]


def shares(**given: float) -> dict[str, float]:
    return dict.fromkeys(LABELS, 0.0) | given


@pytest.mark.parametrize(
    ("crowd", "expected"),
    [
        (people("happy"), shares(happy=1.0)),
        (people("happy", "sad", "sad", "neutral"), shares(happy=0.25, sad=0.5, neutral=0.25)),
        (np.full((3, 7), 1 / 7, np.float16), shares(angry=1.0)),  # a tie within a person goes to the first label
    ],
)
def test_a_share_counts_the_likeliest_labels(crowd: np.ndarray, expected: dict[str, float]) -> None:
    assert raw_shares(crowd) == expected


@pytest.mark.parametrize(
    ("given", "leading"),
    [
        (shares(happy=1.0), "happy"),
        (shares(happy=0.4, sad=0.6), "sad"),
        (shares(happy=0.5, sad=0.5), "mixed"),
    ],
)
def test_the_largest_share_leads_and_equals_are_mixed(given: dict[str, float], leading: str) -> None:
    assert dominant(given) == leading


@pytest.mark.parametrize(
    ("given", "balance"),
    [
        (shares(happy=1.0), 1.0),
        (shares(angry=0.5, sad=0.5), -1.0),
        (shares(neutral=0.5, surprise=0.5), 0.0),
        (shares(happy=0.5, fear=0.2, neutral=0.3), 0.3),
    ],
)
def test_valence_balances_positive_and_negative(given: dict[str, float], balance: float) -> None:
    assert valence(given) == balance


def test_no_camera_with_faces_gives_nobody() -> None:
    assert stack([]).shape == (0, 7)
    assert stack([people("happy"), people()]).shape == (1, 7)
