"""Fit the head `crowd` again on the frozen network: the last step before calibration and export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np

from crowdmood.core.errors import DataError
from training.checkpoint import load_state, save_state
from training.heads import ALL_HEADS, CROWD
from training.networks import build
from training.regression import fit_logistic

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.crowd_faces import CrowdFaces


def refit_crowd_head(
    faces: CrowdFaces, architecture: str, inverse_regularisation: float, weights: Path, out: Path
) -> None:
    """Replace the head `crowd` by a logistic regression of the annotators' votes on the features before it.

    It is fitted on the faces of the split `train`, cut as the detector cuts them, and on their mirror images. Every
    vote for an expression counts once, so a face on which annotators disagree trains several labels.

    Args:
        faces: Labelled faces of real crowds.
        architecture: See `training.networks.build`.
        inverse_regularisation: See `fit_head`.
        weights: Checkpoint to read.
        out: Checkpoint to write; only the columns of the head differ.

    Raises:
        DataError: The split `train` holds no readable face.
        ModelError: The checkpoint belongs to another network.
    """
    faces = faces.select(faces.in_split("train"))
    faces = faces.select(faces.votes[:, :-1].sum(axis=1) > 0)
    if not len(faces):
        raise DataError(f"{faces.folder}: holds no readable faces of the split 'train'; refit_crowd_head needs some")
    keras.config.set_dtype_policy("float32")
    model = build(architecture, outputs=ALL_HEADS)
    history = load_state(weights, model)
    logits = model.get_layer("logits")
    crops = faces.crops()
    images = np.concatenate([crops, crops[:, :, ::-1]])[..., None]
    features = keras.Model(model.input, logits.input).predict(images, batch_size=256, verbose=0)
    kernel, bias = fit_head(features.astype(np.float64), np.tile(faces.votes[:, :-1], (2, 1)), inverse_regularisation)
    for variable, columns in ((logits.kernel, kernel), (logits.bias, bias)):
        values = keras.ops.convert_to_numpy(variable).copy()
        values[..., CROWD] = columns
        variable.assign(values)
    save_state(out, model, history, with_optimizer=False)


def fit_head(
    features: NDArray[np.float64], votes: NDArray[np.uint8], inverse_regularisation: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a linear head to votes; features are standardised for the penalty, the intercepts are not penalised.

    Args:
        features: `(N, F)`.
        votes: `(N, K)`, annotators who chose each label.
        inverse_regularisation: C: weight of the summed cross-entropy against half of the squared coefficients.

    Returns:
        Kernel `(F, K)` and bias `(K,)`, for features that are not standardised.
    """
    middle, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    standardised = np.concatenate([(features - middle) / spread, np.ones((len(features), 1))], axis=1)
    ridge = np.append(np.full(features.shape[1], 1 / inverse_regularisation), 0.0)
    coefficients = fit_logistic(standardised, votes.astype(np.float64), ridge)
    kernel = coefficients[:-1] / spread[:, None]
    return kernel, coefficients[-1] - middle @ kernel
