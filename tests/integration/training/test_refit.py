"""The head `crowd`, fitted again on a frozen network."""

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from classifier.card import NETWORK_FILE, load_card  # noqa: E402
from crowdmood.core.errors import DataError  # noqa: E402
from training.checkpoint import load_state, save_state  # noqa: E402
from training.crowd_faces import CrowdFaces, load_crowd_faces  # noqa: E402
from training.heads import ALL_HEADS, CROWD  # noqa: E402
from training.loaders import load_npz  # noqa: E402
from training.networks import build  # noqa: E402
from training.recipe import Recipe  # noqa: E402
from training.refit import fit_head, refit_crowd_head  # noqa: E402
from training.regression import softmax  # noqa: E402
from training.run import run  # noqa: E402
from training.serving import predict, predict_fer  # noqa: E402

TINY = "mini-xception"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A checkpoint of a network with every head and random weights."""
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(3)
    save_state(tmp_path / "random.npz", build(TINY, outputs=ALL_HEADS), [{"epoch": 0.0}], with_optimizer=False)
    return tmp_path / "random.npz"


def loss(weights: Path, faces: CrowdFaces) -> float:
    """Return the cross-entropy of the head `crowd` over all votes for expressions."""
    model = build(TINY, outputs=ALL_HEADS)
    load_state(weights, model)
    logits = model.predict(faces.crops()[..., None], verbose=0)[:, CROWD].astype(np.float64)
    return float(-(faces.votes[:, :-1] * np.log(softmax(logits))).sum() / faces.votes[:, :-1].sum())


def test_refit_lowers_the_loss_and_changes_no_other_head(few_crowd_faces: Path, weights: Path, tmp_path: Path) -> None:
    faces = load_crowd_faces(few_crowd_faces)
    refit_crowd_head(faces, TINY, 0.1, weights, tmp_path / "refit.npz")

    train = faces.select(faces.in_split("train"))
    assert loss(tmp_path / "refit.npz", train) < loss(weights, train) - 0.3
    with np.load(weights) as before, np.load(tmp_path / "refit.npz") as after:
        assert before.files == after.files
        *others, kernel, bias = sorted(name for name in before.files if name.startswith("weight"))
        assert all(np.array_equal(before[name], after[name]) for name in [*others, "history"])
        outside = np.delete(np.arange(ALL_HEADS), CROWD)
        for name in (kernel, bias):
            assert np.array_equal(before[name][..., outside], after[name][..., outside])
            assert not np.isclose(before[name][..., CROWD], after[name][..., CROWD]).any()


def test_refit_uses_the_readable_faces_of_the_split_train_alone(
    few_crowd_faces: Path, weights: Path, tmp_path: Path
) -> None:
    faces = load_crowd_faces(few_crowd_faces)
    refit_crowd_head(faces, TINY, 0.1, weights, tmp_path / "all.npz")
    used = faces.select(faces.in_split("train") & (faces.votes[:, :-1].sum(axis=1) > 0))
    refit_crowd_head(used, TINY, 0.1, weights, tmp_path / "used.npz")
    assert (tmp_path / "all.npz").read_bytes() == (tmp_path / "used.npz").read_bytes()
    with pytest.raises(DataError, match="no readable faces of the split 'train'"):
        refit_crowd_head(faces.select(faces.in_split("validation")), TINY, 0.1, weights, tmp_path / "none.npz")


def test_run_refits_before_calibration_and_export(
    few: Path, few_crowd_faces: Path, weights: Path, tmp_path: Path
) -> None:
    recipe = Recipe.model_validate(
        {"data": few, "crowd_faces": few_crowd_faces, "architecture": TINY, "epochs": 0, "start_from": weights}
    )
    before = run(recipe, tmp_path / "plain", tmp_path / "work")
    after = run(recipe.model_copy(update={"refit_crowd_head": 0.1}), tmp_path / "refitted", tmp_path / "work")

    assert (before.recipe["refit_crowd_head"], after.recipe["refit_crowd_head"]) == (None, 0.1)
    assert before.calibration is not None and after.calibration is not None
    assert after.calibration.log_loss_before < before.calibration.log_loss_before
    assert load_card(tmp_path / "refitted") == after
    plain, refitted = (
        keras.saving.load_model(tmp_path / name / NETWORK_FILE, compile=False) for name in ("plain", "refitted")
    )
    faces = load_npz(few).images[:8]
    assert not np.allclose(predict(plain, faces)[0], predict(refitted, faces)[0], atol=0.01)
    assert np.allclose(predict_fer(plain, faces), predict_fer(refitted, faces), atol=1e-5)


def test_head_does_not_depend_on_the_scale_and_the_middle_of_features() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 5))
    votes = np.stack([rng.multinomial(3, row) for row in softmax(features @ rng.normal(size=(5, 8)))])
    changed = features * [1, 10, 0.1, 5, 2] + [0, 3, -4, 0, 100]

    kernel, bias = fit_head(features, votes, 0.05)
    other_kernel, other_bias = fit_head(changed, votes, 0.05)

    assert np.allclose(features @ kernel + bias, changed @ other_kernel + other_bias, atol=1e-3)


def test_more_regularisation_gives_smaller_weights_and_the_same_shares() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(300, 5))
    votes = np.stack([rng.multinomial(3, row) for row in softmax(features @ rng.normal(size=(5, 8)))])

    heads = [fit_head(features, votes, strength) for strength in (0.001, 0.01, 1.0)]

    sizes = [float(np.square(kernel).sum()) for kernel, _ in heads]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 10 * sizes[0]
    for kernel, bias in heads:
        assert softmax(features @ kernel + bias).mean(axis=0) == pytest.approx(votes.mean(axis=0) / 3, abs=1e-3)
