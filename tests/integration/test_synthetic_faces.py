"""The bank of faces: nobody in it is a photograph, detectors find them, and the network reads them as intended."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from classifier import DEFAULT_MODEL
from crowdmood import LABELS
from simulator.bank import SHIPPED_BANK, load_bank
from training.alignment import align, find_landmarks, flatten
from training.data import SIDE, TRAINING
from training.face_figures import Figures, measure
from training.face_judges import judges
from training.face_model import fit
from training.loaders import load_npz
from training.novelty import closest_allowed, nearest

REFERENCES = 1500


@pytest.fixture(scope="module")
def photographs(assets: Path) -> NDArray[np.uint8]:
    return load_npz(assets / "data" / "fer2013.npz").split(TRAINING).images


@pytest.fixture(scope="module")
def yunet(assets: Path) -> Path:
    return assets / "models" / "face_detection_yunet_2023mar.onnx"


@pytest.fixture(scope="module")
def figures(yunet: Path) -> Figures:
    return measure(load_bank(), judges([DEFAULT_MODEL], yunet), 6)


def test_no_face_is_closer_to_a_photograph_than_photographs_are_to_one_another(photographs: NDArray[np.uint8]) -> None:
    faces = np.stack([cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for face in every_face()])
    pictures, mirrored = flatten(photographs), flatten(photographs[:, :, ::-1])
    sample = np.random.default_rng(0).permutation(len(pictures))[:REFERENCES]
    allowed = closest_allowed(pictures, mirrored, sample)

    rows = flatten(faces.astype(np.uint8))
    apart = np.minimum(nearest(rows, pictures), nearest(rows, mirrored))
    assert apart.min() > allowed


def test_the_comparison_would_notice_a_copy(photographs: NDArray[np.uint8]) -> None:
    pictures, mirrored = flatten(photographs[:4000]), flatten(photographs[:4000, :, ::-1])
    allowed = closest_allowed(pictures, mirrored, np.arange(500))
    copies = photographs[100:110].astype(np.float64)
    blurred = np.stack([cv2.GaussianBlur(copy, (0, 0), 1.0) for copy in copies]) * 0.8 + 20

    assert nearest(flatten(blurred.astype(np.uint8)), pictures).max() < allowed


def test_detectors_find_faces_that_are_worn_in_a_stand(figures: Figures) -> None:
    assert figures.faces >= 250
    assert figures.haar >= 0.70
    assert figures.yunet >= 0.90


def test_the_shipped_network_reads_the_intended_expression(figures: Figures) -> None:
    assert figures.agreement >= 0.75
    assert min(figures.agreement_by_label.values()) >= 0.50


def test_the_card_beside_the_bank_tells_its_recipe_and_its_figures(figures: Figures) -> None:
    card = json.loads((SHIPPED_BANK / "bank.json").read_text())

    assert card["faces_per_label"] == card["recipe"]["persons"] == len(load_bank().faces[0])
    assert card["recipe"]["seed"] >= 0
    assert card["closest"] > card["closest_allowed"]
    for told in card["figures"].values():
        assert told["haar"] == pytest.approx(figures.haar, abs=0.05)
        assert told["yunet"] == pytest.approx(figures.yunet, abs=0.05)


def test_a_person_keeps_the_face_through_all_expressions() -> None:
    """Two expressions of one person are more alike than the same expressions of two people."""
    angry, neutral = (flatten(load_bank().faces[LABELS.index(label)]) for label in ("angry", "neutral"))
    alike = angry @ neutral.T

    own = np.diag(alike)
    others = alike[~np.eye(len(alike), dtype=bool)].reshape(len(alike), -1)
    assert np.mean(own > np.median(others, axis=1)) > 0.9


def test_the_model_draws_new_faces_of_the_wanted_size_and_repeats_them_by_seed(
    photographs: NDArray[np.uint8], yunet: Path
) -> None:
    pictures = photographs[:900]
    tiles, rows = align(pictures, find_landmarks(pictures, yunet))
    assert 300 < len(rows) < 900
    labels = (np.arange(len(tiles)) % 7).astype(np.uint8)
    model = fit(tiles, labels, np.ones(len(tiles), np.bool_), 40)

    def draw(seed: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng(seed)
        person = model.draw_person(rng, 0.8)
        return model.pictures(person, model.ways_to_express(person, 3).draw(rng, 5, 0.8, 0.5))

    assert draw(1).shape == (5, 64, 64)
    assert np.array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


def every_face() -> NDArray[np.uint8]:
    return np.concatenate(load_bank().faces)
