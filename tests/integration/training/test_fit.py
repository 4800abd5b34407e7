"""A small training on real faces: it learns, resumes, and exports a folder that loads again."""

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from classifier.card import NETWORK_FILE, load_card  # noqa: E402
from training.data import PUBLIC_TEST, FaceData  # noqa: E402
from training.export import export_folder  # noqa: E402
from training.fit import TrainingData, fit, stopped_early  # noqa: E402
from training.loaders import load_npz  # noqa: E402
from training.recipe import Augmentation, Recipe  # noqa: E402
from training.serving import predict  # noqa: E402

STILL = Augmentation(flip=0, shift=0, rotate_deg=0, zoom_in=0, zoom_out=0, brightness=0, erase=0)


def recipe(epochs: int) -> Recipe:
    return Recipe(
        architecture="mini-xception",
        epochs=epochs,
        batch_size=32,
        learning_rate=0.01,
        optimizer="adam",
        schedule="constant",
        precision="float32",
        ferplus_blend=0,
        label_smoothing=0,
        augmentation=STILL,
    )


@pytest.fixture(scope="module")
def faces(assets: Path) -> FaceData:
    data = load_npz(assets / "data" / "fer2013.npz")
    rows = [np.flatnonzero(data.usage == usage)[:count] for usage, count in ((0, 320), (1, 200))]
    return data.select(np.concatenate(rows))


def test_training_learns_resumes_and_exports_its_best_epoch(faces: FaceData, tmp_path: Path) -> None:
    first = fit(TrainingData(faces), recipe(2), tmp_path / "work")
    resumed = fit(TrainingData(faces), recipe(5), tmp_path / "work")

    assert [row["epoch"] for row in resumed] == [0, 1, 2, 3, 4]
    assert resumed[:2] == first
    assert resumed[-1]["loss"] < resumed[0]["loss"] - 0.05

    export_folder(TrainingData(faces), recipe(5), tmp_path / "work" / "best.npz", tmp_path / "model")
    card = load_card(tmp_path / "model")
    network = keras.saving.load_model(tmp_path / "model" / NETWORK_FILE, compile=False)
    probabilities, _ = predict(network, faces.images[:64])

    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    public = faces.split(PUBLIC_TEST)
    accuracy = float((predict(network, public.images)[0].argmax(axis=1) == public.labels).mean())
    assert card.metrics.accuracy == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize(
    ("accuracies", "patience", "over"),
    [
        ((), 2, False),
        ((0.3, 0.3, 0.3), 0, False),
        ((0.3, 0.2), 2, False),
        ((0.3, 0.2, 0.3), 2, True),  # an equal score is no improvement
        ((0.3, 0.2, 0.4), 2, False),
        ((0.3, 0.4, 0.2, 0.2), 2, True),
    ],
)
def test_run_that_ended_early_does_not_continue(accuracies: tuple[float, ...], patience: int, over: bool) -> None:
    assert stopped_early([{"val_score": accuracy} for accuracy in accuracies], patience) is over
