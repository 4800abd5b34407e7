"""Transfer learning: a backbone of `keras.applications` with a small head, first on saved features, then fine-tuned.

The backbone's weights come from a local file; nothing is downloaded.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np

from crowdmood.core.errors import ModelError
from training.checkpoint import cached, save_state
from training.data import PUBLIC_TEST, SIDE, TRAINING, FaceData
from training.heads import ExpressionLoss, HeadAccuracy, fer_targets
from training.labels import one_hot

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.recipe import Recipe

PREFIX: Final = "keras:"
HEAD_WIDTHS: Final = (512, 256, 128, 64)
_BATCH: Final = 64
_MEAN_RGB, _STD_RGB = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_MEAN_BGR_255: Final = np.array([103.939, 116.779, 123.68])
# The scaling that each family was trained with; other families take -1 to 1.
_RAW: Final = ("EfficientNet", "MobileNetV3", "ConvNeXt")
_CAFFE: Final = ("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152")


def build_transfer(name: str, outputs: int, side_px: int = 96) -> Any:
    """Build `keras.applications.NAME` behind resizing and its own scaling, and before the head, without weights.

    Args:
        name: For example `MobileNetV2`.
        outputs: Number of logits.
        side_px: Side of the images for the backbone.

    Returns:
        A `keras.Model` from `(N, 48, 48, 1) uint8` to logits, with layers `backbone`, `head` and `logits`.

    Raises:
        ModelError: Keras has no such backbone.
    """
    maker = getattr(keras.applications, name, None)
    if not name[:1].isupper() or not callable(maker):
        raise ModelError(f"keras.applications has no backbone {name!r}; name one of its classes, as MobileNetV2")
    image = keras.layers.Input((SIDE, SIDE, 1), dtype="uint8", name="image")
    tensor = keras.layers.Rescaling(1.0)(image)
    tensor = keras.layers.Resizing(side_px, side_px)(tensor)
    tensor = keras.layers.Concatenate()([tensor] * 3)
    tensor = _scaling(name)(tensor)
    shape = (side_px, side_px, 3)
    backbone = maker(include_top=False, weights=None, input_shape=shape, pooling="avg", name="backbone")
    tensor = keras.layers.Identity(name="features")(backbone(tensor))
    tensor = _head(tensor.shape[-1])(tensor)
    logits = keras.layers.Dense(outputs, dtype="float32", name="logits")(tensor)
    return keras.Model(image, logits, name=name)


def _scaling(name: str) -> Any:
    if name.startswith(_RAW):
        return keras.layers.Rescaling(1.0)
    if name in _CAFFE:
        return keras.layers.Rescaling(1.0, offset=(-_MEAN_BGR_255).tolist())
    if name.startswith("DenseNet"):
        return keras.layers.Rescaling((1 / (255 * _STD_RGB)).tolist(), offset=(-_MEAN_RGB / _STD_RGB).tolist())
    return keras.layers.Rescaling(1 / 127.5, offset=-1.0)


def _head(features: int) -> Any:
    layers: list[Any] = [keras.layers.Input((features,))]
    for width in HEAD_WIDTHS:
        layers += [keras.layers.Dense(width, activation="relu"), keras.layers.Dropout(0.2)]
    return keras.Sequential(layers, name="head")


def load_backbone(model: Any, weights: Path) -> None:
    """Load a `keras.applications` weights file (`..._notop.h5`) into the backbone.

    Raises:
        ModelError: The file is missing or belongs to another backbone.
    """
    try:
        model.get_layer("backbone").load_weights(str(weights))
    except (OSError, ValueError) as error:
        raise ModelError(f"{weights}: does not fit {model.name} ({error}); give its _notop weights") from error


def freeze(model: Any, last_layers: int) -> None:
    """Freeze everything except the head and the backbone's `last_layers` layers.

    Normalisation layers stay frozen throughout: their statistics come from far more images than a training here has.
    """
    layers = model.get_layer("backbone").layers
    for number, layer in enumerate(layers):
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = number >= len(layers) - last_layers and not normalises


def bottleneck_features(model: Any, data: FaceData, folder: Path) -> NDArray[np.float32]:
    """Return the backbone's features `(N, F) float32`, cached in `folder` for these weights and faces."""
    weights = hashlib.sha256()
    for array in model.get_layer("backbone").get_weights():
        weights.update(np.ascontiguousarray(array).tobytes())

    def compute() -> NDArray[np.float32]:
        before_head = keras.Model(model.input, model.get_layer("features").output)
        return np.asarray(before_head.predict(data.images[..., None], batch_size=_BATCH, verbose=0), np.float32)

    policy = keras.config.dtype_policy().name
    return cached(folder, "features", [model.name, policy, weights.hexdigest(), data.digest()], compute)


def fit_head(model: Any, data: FaceData, recipe: Recipe, work: Path) -> Path:
    """Train the head on cached features, and keep the epoch with the best PublicTest accuracy.

    Returns:
        The file of weights, `work/head.npz`.
    """
    features = bottleneck_features(model, data, work)
    head, last = model.get_layer("head"), model.get_layer("logits")
    small_input = keras.layers.Input(features.shape[1:])
    small = keras.Model(small_input, last(head(small_input)))
    small.compile(keras.optimizers.Adam(1e-3), ExpressionLoss(), metrics=[HeadAccuracy()], jit_compile=False)
    known, public = data.usage == TRAINING, data.usage == PUBLIC_TEST
    best = keras.callbacks.EarlyStopping("val_accuracy", patience=10, mode="max", restore_best_weights=True)
    targets = one_hot(data.labels)
    if recipe.crowd_faces:
        # The other heads are trained in fine-tuning, which uses the faces of crowds.
        targets = fer_targets(targets, None, 0.0, 0.0)
    small.fit(
        features[known],
        targets[known],
        validation_data=(features[public], targets[public]),
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        verbose=2,
        callbacks=[best],
    )
    save_state(work / "head.npz", model, [], with_optimizer=False)
    return work / "head.npz"
