"""The bank of faces: nobody in it is a photograph, detectors find them, and the network reads them as intended."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from classifier import DEFAULT_MODEL
from classifier.engines import load_engine
from crowdmood import LABELS
from crowdmood.settings import ClassifierSettings
from simulator.bank import CARD_FILE, SHIPPED_BANK, load_bank
from training.alignment import align, find_landmarks, flatten
from training.data import TRAINING
from training.face_bank import main as face_bank
from training.face_model import fit
from training.loaders import load_npz
from training.novelty import measure_novelty


@pytest.fixture(scope="module")
def photographs(assets: Path) -> NDArray[np.uint8]:
    return load_npz(assets / "data" / "fer2013.npz").split(TRAINING).images


@pytest.fixture(scope="module")
def yunet(assets: Path) -> Path:
    return assets / "models" / "face_detection_yunet_2023mar.onnx"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What the card beside the bank says."""
    return dict(json.loads((SHIPPED_BANK / CARD_FILE).read_text()))


@pytest.fixture(scope="module")
def measured(assets: Path, yunet: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command writes into the card when it measures the same faces here and now."""
    bank = tmp_path_factory.mktemp("measured") / "faces"
    shutil.copytree(SHIPPED_BANK, bank)
    face_bank(assets / "data" / "fer2013.npz", yunet, [DEFAULT_MODEL], bank, only_measure=True)
    return dict(json.loads((bank / CARD_FILE).read_text()))


@pytest.fixture(scope="module")
def figures(measured: dict[str, Any]) -> dict[str, Any]:
    """What was measured with the shipped network."""
    return dict(measured["figures"][shipped_network()])


def shipped_network() -> str:
    return load_engine(DEFAULT_MODEL, ClassifierSettings(precision="f32")).model_id


def test_no_face_is_closer_to_a_photograph_than_photographs_are_to_one_another(measured: dict[str, Any]) -> None:
    assert measured["novelty"]["photographs"] == 28709
    assert measured["novelty"]["closest"] > measured["novelty"]["allowed"]
    assert measured["novelty"]["percentile"] > 1


def test_the_comparison_would_notice_a_copy(photographs: NDArray[np.uint8]) -> None:
    blurred = cv2.GaussianBlur(photographs[100].astype(np.float64), (0, 0), 1.0) * 0.8 + 20
    novelty = measure_novelty(np.stack([every_face()[0], cv2.resize(blurred, (64, 64))]).astype(np.uint8), photographs)

    assert novelty.closest < novelty.allowed
    assert novelty.percentile < 1


def test_detectors_find_faces_that_are_worn_in_a_stand(figures: dict[str, Any]) -> None:
    assert figures["faces"] >= 250
    assert figures["haar"] >= 0.70
    assert figures["yunet"] >= 0.90


def test_the_shipped_network_reads_the_intended_expression(figures: dict[str, Any]) -> None:
    assert figures["agreement"] >= 0.75
    assert tuple(figures["agreement_by_label"]) == LABELS
    assert min(figures["agreement_by_label"].values()) >= 0.50


def test_the_card_beside_the_bank_tells_its_recipe_and_what_is_measured_with_the_shipped_network(
    told: dict[str, Any], measured: dict[str, Any], figures: dict[str, Any]
) -> None:
    """A new network, other faces or another stand: `python -m training.face_bank` writes the figures anew."""
    assert told["faces_per_label"] == told["recipe"]["persons"] == len(load_bank().faces[0])
    assert told["recipe"]["seed"] >= 0
    assert told["novelty"] == pytest.approx(measured["novelty"], abs=0.01)
    card = told["figures"][shipped_network()]
    for name in ("faces", "haar", "yunet", "agreement", "agreement_by_label"):
        assert card[name] == pytest.approx(figures[name], abs=0.03), name


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
