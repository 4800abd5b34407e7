"""Confidence, and what prevalence estimation is told, on numbers whose truth is known."""

import numpy as np
import pytest

from training.calibration import calibrate, fit_biases, fit_prevalence, fit_temperature, softmax


def drawn(count: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too confident, and labels that follow them otherwise."""
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 1.5, (count, 7)).astype(np.float32)
    chances = softmax(honest).cumsum(axis=1)
    labels = (rng.random((count, 1)) < chances).argmax(axis=1).astype(np.uint8)
    return honest * temperature, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_what_spoiled_the_logits_is_found(temperature: float) -> None:
    assert fit_temperature(*drawn(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


def test_labels_that_are_given_too_rarely_are_found() -> None:
    logits, labels = drawn(20_000, 1.0)
    spoiled = np.array([0.5, -1, 0, 0.25, 0, 0.75, -0.5], np.float32)
    assert np.allclose(fit_biases(logits - spoiled, labels), spoiled, atol=0.1)


def test_calibration_lowers_loss_and_error_of_an_overconfident_network() -> None:
    calibration = calibrate(*drawn(4000, 3.0), "somewhere")
    assert calibration.log_loss_after < calibration.log_loss_before - 0.1
    assert calibration.ece_after < calibration.ece_before / 2
    assert calibration.fitted_on == "somewhere"


def test_prevalence_holds_mean_and_spread_of_every_label() -> None:
    logits, labels = drawn(4000, 1.0)
    probabilities = softmax(logits)
    prevalence = fit_prevalence(probabilities, labels, "here")
    assert prevalence is not None
    assert prevalence.soft_covariance is not None
    assert prevalence.biases is not None
    corrected = softmax(np.log(probabilities) + np.array(prevalence.biases, np.float32))
    faces = corrected[labels == 3]
    assert np.allclose(prevalence.soft_confusion[3], faces.mean(axis=0), atol=1e-4)
    assert np.allclose(prevalence.soft_covariance[3], np.cov(faces.T), atol=1e-4)
    assert sum(map(sum, prevalence.confusion)) == prevalence.faces == 4000
    assert sum(prevalence.priors) == pytest.approx(1)


def test_a_label_without_faces_leaves_nothing_to_adjust_by() -> None:
    logits, labels = drawn(400, 1.0)
    labels[labels == 1] = 0
    assert fit_prevalence(softmax(logits), labels, "here") is None
