"""Every architecture has the outputs and the cost that its card will state."""

import numpy as np
import pytest

pytest.importorskip("keras")

from training.networks import ARCHITECTURES, build, multiply_adds

COSTS = {
    "crowdnet": (24, (60, 80)),
    "conv4": (7, (280, 300)),
    "conv4-dense3": (7, (280, 300)),
    "conv4-256": (7, (180, 220)),
    "conv4-256-dense3": (7, (180, 220)),
    "mini-xception": (7, (1, 20)),
}
"""Outputs, and the fewest and the most million multiply-adds."""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architecture_has_its_outputs_and_its_cost(architecture: str) -> None:
    outputs, (least, most) = COSTS[architecture]
    network = build(architecture, outputs=outputs)
    assert network.output_shape == (None, outputs)
    assert least < multiply_adds(network) / 1e6 < most


@pytest.mark.parametrize("side_px", [32, 40, 48])
def test_mini_xception_takes_faces_of_every_size_of_a_run(side_px: int) -> None:
    network = build("mini-xception", any_size=True)
    images = np.zeros((2, side_px, side_px, 1), np.uint8)
    assert network.predict(images, verbose=0).shape == (2, 7)
