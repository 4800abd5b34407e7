"""Estimators of shares from the library QuaPy, to compare ours with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from quapy.method import aggregative
from sklearn.dummy import DummyClassifier

if TYPE_CHECKING:
    import numpy.typing as npt

    from aggregator.prevalence import Matrix, Vector

_KINDS: Final[dict[str, tuple[type[Any], dict[str, Any]]]] = {
    "CC": (aggregative.CC, {}),
    "PCC": (aggregative.PCC, {}),
    "ACC": (aggregative.ACC, {"val_split": None}),
    "PACC": (aggregative.PACC, {"val_split": None}),
    "EMQ": (aggregative.EMQ, {}),
    "DMy": (aggregative.DMy, {"val_split": None}),
    "KDEyML": (aggregative.KDEyML, {"val_split": None}),
}
"""By name: the class and its options."""


_OF_LABELS: Final = ("CC", "ACC")
"""Those that take the likeliest labels instead of probabilities."""


class References:
    """QuaPy's estimators, fitted on labelled answers of a network.

    Args:
        probabilities: float64 (N, K), of faces with a label.
        labels: int (N,), at least one face of each label.
    """

    def __init__(self, probabilities: Matrix, labels: npt.NDArray[np.integer[Any]]) -> None:
        # QuaPy asks for a fitted classifier, and uses no more of it than its classes when it gets answers.
        classifier = DummyClassifier().fit(probabilities, labels)
        self._fitted = {}
        for name, (kind, options) in _KINDS.items():
            method = kind(classifier, fit_classifier=False, **options)
            method.aggregation_fit(probabilities.argmax(axis=1) if name in _OF_LABELS else probabilities, labels)
            if name == "EMQ":
                # Otherwise set by `fit`, which would also train the classifier.
                method.train_prevalence = np.bincount(labels) / len(labels)
            self._fitted[name] = method

    def shares(self, probabilities: Matrix) -> dict[str, Vector]:
        """Return the shares of a crowd by each estimator: float64 (K,), from probabilities (N, K)."""
        hard = probabilities.argmax(axis=1)
        return {
            f"QuaPy {name}": np.asarray(method.aggregate(hard if name in _OF_LABELS else probabilities), np.float64)
            for name, method in self._fitted.items()
        }
