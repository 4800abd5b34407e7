"""Networks for tests of estimators: calibrated under known shares, with as many mistakes as a test wants."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crowdmood.domain.confusions import Confusions
from crowdmood.domain.labels import LABELS
from training.confusions import fit_crowd_prevalence, fit_prevalence

Matrix = npt.NDArray[np.float64]
CROWD = np.array([0.02, 0.005, 0.005, 0.28, 0.03, 0.02, 0.56, 0.08])
"""Shares of the labels in crowds, in the order of `LABELS`."""


@dataclass(frozen=True)
class Network:
    """Bayes' rule on features that are noise about the middle of a face's label, and shifted by its scene.

    Attributes:
        priors: Shares under which it is calibrated: (K,).
        apart: Distance of the middles in deviations of the noise: 2.2 gets two faces of three right, 3 four of five.
        scene: Deviation of the shift that the faces of a scene share.
    """

    priors: Matrix
    apart: float = 3.0
    scene: float = 0.0

    def answers(self, rng: np.random.Generator, labels: npt.NDArray[np.intp], scenes: npt.NDArray[np.intp]) -> Matrix:
        """Return posteriors (N, K) of faces with these labels, in these scenes."""
        middles = self.apart * np.eye(len(self.priors))
        shifts = rng.normal(0, self.scene, (int(scenes.max(initial=0)) + 1, len(self.priors)))
        seen = rng.normal(size=(len(labels), len(self.priors))) + middles[labels] + shifts[scenes]
        joint = np.exp(-0.5 * np.square(seen[:, None, :] - middles).sum(axis=2)) * self.priors
        posteriors: Matrix = joint / joint.sum(axis=1, keepdims=True)
        return posteriors

    def in_one_scene(self, rng: np.random.Generator, labels: npt.NDArray[np.intp]) -> Matrix:
        """Return posteriors of faces of one scene."""
        return self.answers(rng, labels, np.zeros(len(labels), np.intp))

    def confusions(self, rng: np.random.Generator, faces: int = 3000) -> Confusions:
        """Return what single faces say of it, without scenes."""
        labels = rng.choice(len(self.priors), faces, p=self.priors)
        section = fit_prevalence(self.in_one_scene(rng, labels), labels.astype(np.uint8), "faces")
        assert section is not None
        known = Confusions.of_card(section.model_dump())
        assert known is not None
        return known

    def crowd_confusions(self, rng: np.random.Generator, photographs: int = 150, faces: int = 8) -> Confusions:
        """Return what photographs of crowds say of it, and single faces of labels that are rare in them."""
        scenes = np.repeat(np.arange(photographs), faces)
        labels = rng.choice(len(LABELS), len(scenes), p=self.priors)
        others = np.repeat(np.arange(7), 200)
        section = fit_crowd_prevalence(
            self.answers(rng, labels, scenes),
            3 * np.eye(9, dtype=np.uint8)[labels],
            scenes.astype(np.str_),
            "photographs",
            (self.answers(rng, others, np.arange(len(others))), others.astype(np.uint8)),
        )
        assert section is not None
        known = Confusions.of_card(section.model_dump())
        assert known is not None
        return known


def shares_of(labels: npt.NDArray[np.intp], classes: int = len(LABELS)) -> Matrix:
    """Return the shares (K,) of labels."""
    return np.bincount(labels, minlength=classes) / len(labels)
