"""The bank of faces: none of them is a photograph, detectors find them, and the network reads them as intended."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from classifier import DEFAULT_MODEL
from classifier.engines import Engine, load_engine
from crowdmood.core.errors import DataError
from crowdmood.core.settings import ClassifierSettings
from crowdmood.domain.labels import FER_LABELS, LABELS
from facebank.alignment import align, find_landmarks, flatten
from facebank.build import main as face_bank
from facebank.build import singers_in
from facebank.checks import load_checks
from facebank.drawing import Drawer, Recipe, Singers, novelty_of
from facebank.face_model import FaceModel, fit
from facebank.figures import measure
from facebank.novelty import measure_novelty
from simulator.bank import CARD_FILE, SHIPPED_BANK, load_bank
from training.data import TRAINING
from training.loaders import load_npz


@pytest.fixture(scope="module")
def photographs(assets: Path) -> NDArray[np.uint8]:
    return load_npz(assets / "data" / "fer2013.npz").split(TRAINING).images


@pytest.fixture(scope="module")
def yunet(assets: Path) -> Path:
    return assets / "models" / "face_detection_yunet_2023mar.onnx"


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    """What the card beside the bank says."""
    return dict(json.loads((SHIPPED_BANK / CARD_FILE).read_text()))


@pytest.fixture(scope="module")
def measured(assets: Path, yunet: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command writes into the card when it measures the same faces here and now."""
    bank = tmp_path_factory.mktemp("measured") / "faces"
    shutil.copytree(SHIPPED_BANK, bank)
    face_bank(assets / "data" / "fer2013.npz", yunet, [DEFAULT_MODEL], out=bank, only_measure=True)
    return dict(json.loads((bank / CARD_FILE).read_text()))


@pytest.fixture(scope="module")
def figures(measured: dict[str, Any]) -> dict[str, Any]:
    """What was measured with the shipped network."""
    return dict(measured["figures"][shipped_network().model_id])


@cache
def shipped_network() -> Engine:
    return load_engine(DEFAULT_MODEL, ClassifierSettings(precision="f32"))


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
    assert tuple(figures["agreement_by_label"]) == shipped_network().labels
    assert min(figures["agreement_by_label"].values()) >= 0.50


def test_the_card_of_the_bank_holds_its_recipe_and_the_figures_measured_with_the_shipped_network(
    card: dict[str, Any], measured: dict[str, Any], figures: dict[str, Any]
) -> None:
    """A new network, other faces or another stand: `python -m facebank --only-measure` writes the figures."""
    assert card["faces_per_label"] == card["recipe"]["persons"] == len(load_bank().faces[0])
    assert card["recipe"]["seed"] >= 0
    assert card["novelty"] == pytest.approx(measured["novelty"], abs=0.01)
    figures_there = card["figures"][shipped_network().model_id]
    for name in ("faces", "haar", "yunet", "agreement", "agreement_by_label"):
        assert figures_there[name] == pytest.approx(figures[name], abs=0.03), name


@pytest.mark.parametrize("label", ["angry", "cheering"])
def test_a_person_keeps_the_face_through_all_expressions(label: str) -> None:
    """Two expressions of one person are more alike than the same expressions of two people."""
    shown, neutral = (flatten(load_bank().faces[LABELS.index(name)]) for name in (label, "neutral"))
    alike = shown @ neutral.T

    own = np.diag(alike)
    others = alike[~np.eye(len(alike), dtype=bool)].reshape(len(alike), -1)
    assert np.mean(own > np.median(others, axis=1)) > 0.9


def test_no_cheering_face_is_close_to_a_face_of_the_crowds_that_it_was_learned_from(
    assets: Path, photographs: NDArray[np.uint8], yunet: Path
) -> None:
    singers = singers_in(assets / "crowd_faces", yunet, 20)
    taught = np.concatenate([singers.cheering, singers.calm])
    cheering = load_bank().faces[LABELS.index("cheering")]

    assert len(singers.cheering) >= 50
    closest = measure_novelty(cheering, taught).closest
    assert closest > measure_novelty(cheering, photographs).allowed


@pytest.fixture(scope="module")
def tiles(photographs: NDArray[np.uint8], yunet: Path) -> NDArray[np.uint8]:
    pictures = photographs[:900]
    tiles, rows = align(pictures, find_landmarks(pictures, yunet))
    assert 300 < len(rows) < 900
    return tiles


@pytest.fixture(scope="module")
def model(tiles: NDArray[np.uint8]) -> FaceModel:
    labels = (np.arange(len(tiles)) % 7).astype(np.uint8)
    return fit(tiles, labels, np.ones(len(tiles), np.bool_), 40)


def test_the_model_draws_new_faces_of_the_wanted_size_and_repeats_them_by_seed(model: FaceModel) -> None:
    def draw(seed: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng(seed)
        person = model.draw_person(rng, 0.8)
        return model.pictures(person, model.ways_to_express(person, 3).draw(rng, 5, 0.8, 0.5))

    assert draw(1).shape == (5, 64, 64)
    assert np.array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


def test_the_persons_of_drawn_pictures_are_found_again(model: FaceModel) -> None:
    rng = np.random.default_rng(3)
    persons = [model.draw_person(rng, 0.8) for _ in range(4)]
    drawn = [model.pictures(person, model.ways_to_express(person, 3).draw(rng, 7, 0.8)) for person in persons]

    found = model.persons_in(np.stack(drawn, axis=1))
    apart = np.linalg.norm(found[:, None] - np.stack(persons), axis=2)
    assert apart.argmin(axis=1).tolist() == [0, 1, 2, 3]
    assert np.diag(apart).max() < 0.5 * apart[~np.eye(4, dtype=bool)].min()


def test_a_row_is_drawn_for_the_persons_of_a_bank_and_repeats_by_seed(
    model: FaceModel, tiles: NDArray[np.uint8], yunet: Path
) -> None:
    checks = load_checks([DEFAULT_MODEL], yunet)
    singers = Singers(tiles[:20], tiles[20:40])
    drawer = Drawer(model, novelty_of(tiles, 1, singers.calm), singers, checks, Recipe(candidates=9, rounds=1))
    seven = np.stack([load_bank().faces[code][:1] for code in range(7)])
    happy = LABELS.index("happy")

    row = drawer.row(happy, seven)
    assert row.shape == (1, 64, 64)
    assert np.array_equal(row, drawer.row(happy, seven))
    assert not np.array_equal(row[0], seven[happy, 0])


def test_cheering_is_not_drawn_without_a_network_that_knows_it(
    model: FaceModel, tiles: NDArray[np.uint8], yunet: Path
) -> None:
    of_seven = load_checks([DEFAULT_MODEL.parent / "conv4"], yunet)
    seven = np.stack([load_bank().faces[code][:1] for code in range(7)])
    singers = Singers(tiles[:20], tiles[20:40])

    with pytest.raises(DataError, match="none of the networks knows cheering"):
        Drawer(model, novelty_of(tiles, 1, singers.calm), singers, of_seven, Recipe()).row(7, seven)


def test_a_network_of_seven_labels_is_not_asked_for_cheering(yunet: Path) -> None:
    figures = measure(load_bank(), load_checks([DEFAULT_MODEL.parent / "conv4"], yunet))

    assert tuple(figures.agreement_by_label) == FER_LABELS
    assert figures.faces >= 250
    assert 0 < figures.agreement < 1


def every_face() -> NDArray[np.uint8]:
    return np.concatenate(load_bank().faces)
