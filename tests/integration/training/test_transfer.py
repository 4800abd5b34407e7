"""A backbone of keras.applications from a local file: its head, fine-tuning, and cached features."""

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from classifier.card import NETWORK_FILE  # noqa: E402
from classifier.engines import load_engine  # noqa: E402
from crowdmood.core.errors import DataError, ModelError  # noqa: E402
from crowdmood.core.settings import ClassifierSettings  # noqa: E402
from training.checkpoint import load_state  # noqa: E402
from training.data import FaceData  # noqa: E402
from training.loaders import load_npz  # noqa: E402
from training.networks import build  # noqa: E402
from training.recipe import Recipe  # noqa: E402
from training.run import run  # noqa: E402
from training.serving import predict  # noqa: E402
from training.transfer import bottleneck_features  # noqa: E402


def test_head_is_trained_first_and_then_the_last_layers_of_the_backbone(few: Path, tmp_path: Path) -> None:
    weights = tmp_path / "mobilenet_v2_notop.weights.h5"
    keras.utils.set_random_seed(0)
    backbone = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(96, 96, 3), pooling="avg")
    backbone.save_weights(weights)
    recipe = Recipe(
        data=few,
        backbone_weights=weights,
        architecture="keras:MobileNetV2",
        epochs=1,
        batch_size=32,
        fine_tune_layers=4,
        precision="float32",
    )
    card = run(recipe, tmp_path / "model", tmp_path / "work", fresh=True)

    assert card.architecture == "keras:MobileNetV2"
    faces = load_npz(few).images[:8]
    network = keras.saving.load_model(tmp_path / "model" / NETWORK_FILE, compile=False)
    settings = ClassifierSettings(engine="openvino", precision="f32", max_batch_size=8)
    engine = load_engine(tmp_path / "model", settings)
    assert np.allclose(engine.predict(faces)[0], predict(network, faces)[0], atol=0.01)
    (cached,) = (tmp_path / "work").glob("features-*.npy")
    assert np.load(cached).shape == (160, 1280)
    before, after = (build("keras:MobileNetV2") for _ in range(2))
    load_state(tmp_path / "work" / "head.npz", before)
    load_state(tmp_path / "work" / "best.npz", after)
    changed = [
        not np.array_equal(one, other)
        for one, other in zip(
            before.get_layer("backbone").get_weights(), after.get_layer("backbone").get_weights(), strict=True
        )
    ]
    assert any(changed[-8:])
    assert not any(changed[:-8])


def test_backbone_without_usable_weights_is_refused(few: Path, tmp_path: Path) -> None:
    recipe = Recipe(data=few, architecture="keras:MobileNetV2", epochs=1)
    with pytest.raises(DataError, match="needs --backbone-weights"):
        run(recipe, tmp_path / "m", tmp_path / "w")
    wrong = tmp_path / "wrong.h5"
    wrong.write_bytes(b"no weights")
    with pytest.raises(ModelError, match="does not fit MobileNetV2"):
        run(recipe.model_copy(update={"backbone_weights": wrong}), tmp_path / "m", tmp_path / "w")


def test_unknown_architecture_is_refused_with_the_known_ones(few: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="unknown; choose one of crowdnet"):
        run(Recipe(data=few, architecture="vgg"), tmp_path / "m", tmp_path / "w")


def test_features_are_cached_by_backbone_and_faces(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    images = np.random.default_rng(0).integers(0, 256, (16, 48, 48), dtype=np.uint8)
    faces = FaceData(images, np.zeros(16, np.uint8), np.zeros(16, np.uint8))
    model = build("keras:MobileNetV2")
    backbone = model.get_layer("backbone")
    first = bottleneck_features(model, faces, tmp_path)
    inverted = FaceData(255 - images, faces.labels, faces.usage)
    assert not np.array_equal(bottleneck_features(model, inverted, tmp_path), first)
    weights = backbone.get_weights()
    backbone.set_weights([array * 0.9 for array in weights])
    assert not np.array_equal(bottleneck_features(model, faces, tmp_path), first)
    assert len(list(tmp_path.iterdir())) == 3
    backbone.set_weights(weights)
    assert np.array_equal(bottleneck_features(model, faces, tmp_path), first)
    assert len(list(tmp_path.iterdir())) == 3
