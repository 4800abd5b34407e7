"""Confidence on numbers whose truth is known."""

import numpy as np
import pytest

from training.calibration import calibrate, fit_temperature
from training.regression import softmax


def drawn(count: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too confident, and labels that follow them otherwise."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 1.5, (count, 7)).astype(np.float32)
    chances = softmax(honest).cumsum(axis=1)
    labels = (rng.random((count, 1)) < chances).argmax(axis=1).astype(np.uint8)
    return honest * temperature, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoiled_logits_is_found(temperature: float) -> None:
    assert fit_temperature(*drawn(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


def test_calibration_lowers_loss_and_error_of_an_overconfident_network() -> None:
    calibration = calibrate(*drawn(4000, 3.0), "somewhere")
    assert calibration.log_loss_after < calibration.log_loss_before - 0.1
    assert calibration.ece_after < calibration.ece_before / 2
    assert calibration.fitted_on == "somewhere"
