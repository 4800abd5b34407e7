"""A tiny training on real faces: learns, resumes, exports, reloads."""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

keras = pytest.importorskip("keras")

from classifier.card import NETWORK_FILE, load_card  # noqa: E402
from training.data import FaceData  # noqa: E402
from training.export import export_folder  # noqa: E402
from training.fit import fit  # noqa: E402
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


def test_a_tiny_training_learns_resumes_and_exports_what_it_learned(faces: FaceData, tmp_path: Path) -> None:
    first = fit(faces, recipe(2), tmp_path / "work")
    resumed = fit(faces, recipe(5), tmp_path / "work")

    assert [row["epoch"] for row in resumed] == [0, 1, 2, 3, 4]
    assert resumed[:2] == first  # nothing was done twice
    assert resumed[-1]["loss"] < resumed[0]["loss"] - 0.05

    export_folder(faces, recipe(5), tmp_path / "work" / "best.npz", tmp_path / "model", "slice")
    card = load_card(tmp_path / "model")
    network = keras.saving.load_model(tmp_path / "model" / NETWORK_FILE, compile=False)
    probabilities, _ = predict(network, faces.images[:64])

    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    judged = faces.split(1)
    accuracy = float((predict(network, judged.images)[0].argmax(axis=1) == judged.labels).mean())
    assert card.metrics.accuracy == pytest.approx(accuracy, abs=1e-6)
