"""The weighted mean of networks, exported without training."""

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from classifier.card import NETWORK_FILE, file_entry, load_card  # noqa: E402
from crowdmood.core.errors import ModelError  # noqa: E402
from training.averaging import average  # noqa: E402
from training.checkpoint import load_state, save_state  # noqa: E402
from training.crowd_faces import load_crowd_faces  # noqa: E402
from training.data import TRAINING  # noqa: E402
from training.fit import TrainingData, compile_model  # noqa: E402
from training.heads import CROWD, FER, READABLE, VOTES  # noqa: E402
from training.loaders import load_npz  # noqa: E402
from training.recipe import Augmentation, Recipe  # noqa: E402
from training.run import run  # noqa: E402
from training.serving import predict, serving_network  # noqa: E402

CONV4 = Path(__file__).parents[3] / "classifier" / "models" / "conv4"
STILL = Augmentation(flip=0, shift=0, rotate_deg=0, zoom_in=0, zoom_out=0, brightness=0, erase=0)


def recipe(few: Path, **fields: object) -> Recipe:
    """Return a recipe without training; faces are shown as they are."""
    plain = {"data": few, "architecture": "mini-xception", "epochs": 0, "batch_size": 32, "precision": "float32"}
    return Recipe.model_validate({**plain, "augmentation": STILL, **fields})


def networks(folder: Path, recipe: Recipe, count: int = 2) -> list[Path]:
    """Write networks with random weights."""
    files = [folder / f"{seed}.npz" for seed in range(1, count + 1)]
    for seed, file in enumerate(files, 1):
        save_state(file, compile_model(recipe.model_copy(update={"seed": seed})), [], with_optimizer=False)
    return files


def logits(file: Path, recipe: Recipe) -> np.ndarray:
    """Return the kernel of the logits `(F, K)` of a checkpoint."""
    model = compile_model(recipe)
    load_state(file, model)
    return np.asarray(keras.ops.convert_to_numpy(model.get_layer("logits").kernel))


def test_mean_of_two_networks_has_the_statistics_of_its_own_faces(few: Path, tmp_path: Path) -> None:
    parts = networks(tmp_path, recipe(few))
    mixed = recipe(few, start_from=[{"path": parts[0], "weight": 3}, parts[1]])
    card = run(mixed, tmp_path / "model", tmp_path / "work")

    hashes = [file_entry(part).sha256 for part in parts]
    assert card.recipe["started_from"] == hashes
    assert card.recipe["mean_of"] == [
        {"network": hashes[0], "weight": 3, "heads": {}},
        {"network": hashes[1], "weight": 1, "heads": {}},
    ]
    assert card.data.sha256 == load_npz(few).digest()
    mean = compile_model(mixed)
    load_state(tmp_path / "work" / "mean.npz", mean)
    with np.load(parts[0]) as one, np.load(parts[1]) as other:
        expected = [0.75 * one[name] + 0.25 * other[name] for name in sorted(one.files) if name.startswith("weight")]
    trained = {variable.path for variable in mean.trainable_variables}
    for variable, array in zip(mean.variables, expected, strict=True):
        if variable.path in trained:
            assert np.allclose(variable.numpy(), array, atol=1e-6)
    norm = next(layer for layer in mean.layers if isinstance(layer, keras.layers.BatchNormalization))
    seen = keras.Model(mean.input, norm.input)(load_npz(few).split(TRAINING).images[..., None]).numpy()
    assert np.allclose(norm.moving_mean.numpy(), seen.mean(axis=(0, 1, 2)), atol=1e-3)
    assert np.allclose(norm.moving_variance.numpy(), seen.var(axis=(0, 1, 2)), rtol=0.02)


def test_head_with_weights_of_its_own_is_averaged_by_them(few: Path, few_crowd_faces: Path, tmp_path: Path) -> None:
    parts = networks(tmp_path, recipe(few, crowd_faces=few_crowd_faces))
    heads = {"fer": 3, "crowd": 0}
    mixed = recipe(few, crowd_faces=few_crowd_faces, start_from=[{"path": parts[0], "heads": heads}, parts[1]])
    data = TrainingData(load_npz(few), load_crowd_faces(few_crowd_faces))
    assert average(data, mixed, tmp_path / "mean.npz") == set()

    one, other = (logits(part, mixed) for part in parts)
    mean = logits(tmp_path / "mean.npz", mixed)
    assert np.allclose(mean[:, FER], 0.75 * one[:, FER] + 0.25 * other[:, FER], atol=1e-6)
    assert np.allclose(mean[:, CROWD], other[:, CROWD], atol=1e-6)
    for shared in (VOTES, READABLE):
        assert np.allclose(mean[:, shared], (one[:, shared] + other[:, shared]) / 2, atol=1e-6)


def test_network_without_a_head_has_no_weight_in_it(few: Path, few_crowd_faces: Path, tmp_path: Path) -> None:
    plain = recipe(few, crowd_faces=few_crowd_faces, architecture="conv4")
    (part,) = networks(tmp_path, plain, 1)
    data = TrainingData(load_npz(few), load_crowd_faces(few_crowd_faces))
    average(
        data,
        plain.model_copy(update={"start_from": recipe(few, start_from=[CONV4, part]).start_from}),
        mean := tmp_path / "mean.npz",
    )
    alone = recipe(few, crowd_faces=few_crowd_faces, architecture="conv4", start_from=CONV4)
    assert average(data, alone, tmp_path / "alone.npz") == {"votes", "crowd", "readable"}

    own, mixed, served = logits(part, plain), logits(mean, plain), logits(tmp_path / "alone.npz", plain)
    assert np.allclose(mixed[:, FER.stop :], own[:, FER.stop :], atol=1e-6)
    assert np.allclose(mixed[:, FER], (own[:, FER] + served[:, FER]) / 2, atol=1e-6)


def test_one_network_is_exported_as_it_is(few: Path, tmp_path: Path) -> None:
    (part,) = networks(tmp_path, recipe(few), 1)
    run(recipe(few, start_from=part), tmp_path / "model", tmp_path / "work")
    run(recipe(few, start_from=tmp_path / "model"), tmp_path / "again", tmp_path / "other-work")

    original = compile_model(recipe(few))
    load_state(part, original)
    faces = load_npz(few).images
    for folder in (tmp_path / "model", tmp_path / "again"):
        network = keras.saving.load_model(folder / NETWORK_FILE, compile=False)
        expected = serving_network(original, load_card(folder).calibration)
        assert np.allclose(predict(network, faces)[0], predict(expected, faces)[0], atol=1e-4)
        assert load_card(folder).recipe["epochs_done"] == 0


def test_checkpoint_of_an_earlier_training_is_not_exported_in_place_of_the_mean(few: Path, tmp_path: Path) -> None:
    old, new = networks(tmp_path, recipe(few))
    (tmp_path / "work").mkdir()
    old.rename(tmp_path / "work" / "best.npz")
    run(recipe(few, start_from=new), tmp_path / "model", tmp_path / "work")

    original = compile_model(recipe(few))
    load_state(new, original)
    expected = serving_network(original, load_card(tmp_path / "model").calibration)
    network = keras.saving.load_model(tmp_path / "model" / NETWORK_FILE, compile=False)
    faces = load_npz(few).images[:16]
    assert np.allclose(predict(network, faces)[0], predict(expected, faces)[0], atol=1e-4)


def test_export_of_a_head_that_no_network_has_is_refused(few: Path, few_crowd_faces: Path, tmp_path: Path) -> None:
    fields = {"crowd_faces": few_crowd_faces, "architecture": "conv4", "start_from": CONV4}
    with pytest.raises(ModelError, match="no network has the head 'crowd'; train it"):
        run(recipe(few, **fields), tmp_path / "m", tmp_path / "w")
    with pytest.raises(ModelError, match="no network has the head 'readable'; train it"):
        run(recipe(few, **fields, refit_crowd_head=0.003), tmp_path / "m", tmp_path / "w")


@pytest.mark.parametrize("content", [None, b"no archive", b"PK\x03\x04 half an archive"])
def test_file_that_is_no_checkpoint_is_refused(few: Path, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "best.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelError, match=r"best\.npz: is no checkpoint .*give a best.npz or a model folder"):
        run(recipe(few, start_from=file), tmp_path / "m", tmp_path / "w")


def test_networks_of_other_architectures_are_refused(few: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has another architecture"):
        run(recipe(few, start_from=CONV4), tmp_path / "m", tmp_path / "w")
    (part,) = networks(tmp_path, recipe(few, architecture="conv4"), 1)
    with pytest.raises(ModelError, match="holds another network's state"):
        run(recipe(few, start_from=part), tmp_path / "m", tmp_path / "w")
