"""A tiny training on real faces: learns, resumes, exports, reloads."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

keras = pytest.importorskip("keras")

from classifier.card import NETWORK_FILE, file_entry, load_card  # noqa: E402
from training.checkpoint import load_state, save_state  # noqa: E402
from training.data import FaceData  # noqa: E402
from training.export import export_folder  # noqa: E402
from training.fit import Learned, compile_model, fit, stopped_early  # noqa: E402
from training.loaders import load_npz  # noqa: E402
from training.recipe import Augmentation, Recipe  # noqa: E402
from training.run import Paths, run  # noqa: E402
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
    first = fit(Learned(faces), recipe(2), tmp_path / "work")
    resumed = fit(Learned(faces), recipe(5), tmp_path / "work")

    assert [row["epoch"] for row in resumed] == [0, 1, 2, 3, 4]
    assert resumed[:2] == first  # nothing was done twice
    assert resumed[-1]["loss"] < resumed[0]["loss"] - 0.05

    export_folder(Learned(faces), recipe(5), tmp_path / "work" / "best.npz", tmp_path / "model")
    card = load_card(tmp_path / "model")
    network = keras.saving.load_model(tmp_path / "model" / NETWORK_FILE, compile=False)
    probabilities, _ = predict(network, faces.images[:64])

    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    judged = faces.split(1)
    accuracy = float((predict(network, judged.images)[0].argmax(axis=1) == judged.labels).mean())
    assert card.metrics.accuracy == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize(
    ("accuracies", "patience", "over"),
    [
        ((), 2, False),
        ((0.3, 0.3, 0.3), 0, False),
        ((0.3, 0.2), 2, False),
        ((0.3, 0.2, 0.3), 2, True),  # as good is no better
        ((0.3, 0.2, 0.4), 2, False),
        ((0.3, 0.4, 0.2, 0.2), 2, True),
    ],
)
def test_a_run_that_ended_early_does_not_go_on(accuracies: tuple[float, ...], patience: int, over: bool) -> None:
    assert stopped_early([{"val_score": accuracy} for accuracy in accuracies], patience) is over


def test_the_mean_of_two_networks_is_between_them_and_knows_what_it_sees(faces: FaceData, tmp_path: Path) -> None:
    parts = tuple(tmp_path / f"{seed}.npz" for seed in (1, 2))
    for seed, part in enumerate(parts):
        save_state(part, compile_model(replace(recipe(0), seed=seed)), [], with_optimizer=False)
    assert faces.votes is not None
    arrays = {"images": faces.images, "labels": faces.labels, "usage": faces.usage, "ferplus_votes": faces.votes}
    np.savez(tmp_path / "faces.npz", **arrays)  # type: ignore[arg-type]
    paths = Paths(tmp_path / "faces.npz", tmp_path / "model", tmp_path / "mean", start_from=parts)
    card = run(recipe(0), paths, fresh=False, summary=False, model_json=False)

    assert card.recipe["started_from"] == [file_entry(part).sha256 for part in parts]
    assert card.data.sha256 == faces.digest()
    mean = compile_model(recipe(0))
    load_state(tmp_path / "mean" / "mean.npz", mean)
    with np.load(parts[0]) as one, np.load(parts[1]) as other:
        kernels = [(one[name] + other[name]) / 2 for name in sorted(one.files) if name.startswith("weight")]
    trained = {variable.path for variable in mean.trainable_variables}
    for variable, kernel in zip(mean.variables, kernels, strict=True):
        if variable.path in trained:
            assert np.allclose(variable.numpy(), kernel, atol=1e-6)
    # What the first layers see is what these faces show them.
    norm = next(layer for layer in mean.layers if isinstance(layer, keras.layers.BatchNormalization))
    seen = keras.Model(mean.input, norm.input)(faces.split(0).images[..., None]).numpy()
    assert np.allclose(norm.moving_mean.numpy(), seen.mean(axis=(0, 1, 2)), atol=1e-3)
    assert np.allclose(norm.moving_variance.numpy(), seen.var(axis=(0, 1, 2)), rtol=0.02)
