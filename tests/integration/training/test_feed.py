"""A resumed run learns from the very batches, in the very order, that an uninterrupted one would have seen."""

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from training.feed import Batches, Pool  # noqa: E402
from training.heads import READABLE, TARGETS  # noqa: E402
from training.recipe import Augmentation  # noqa: E402


def batches(start_epoch: int, seed: int = 0, any_size: bool = False) -> Batches:
    drawn = np.random.default_rng(0)
    pools = [
        Pool(
            drawn.integers(0, 256, (count, side, side), dtype=np.uint8),
            drawn.random((count, 8), dtype=np.float32),
            per_epoch,
            framing=framing,
        )
        for count, side, per_epoch, framing in ((40, 48, None, 1.0), (20, 128, 9, 0.45))
    ]
    return Batches(pools, 16, Augmentation(degrade=0.5), seed, start_epoch, any_size)


def learned(*runs: tuple[Batches, int, int]) -> np.ndarray:
    """The weights that a network without memory of its own has after training from one epoch to another, run by run.

    They show which batches it saw, and in which order.
    """
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Input((48, 48, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    network = keras.Sequential([*layers, keras.layers.Dense(8, kernel_initializer="zeros")])
    network.compile(keras.optimizers.SGD(1e-3), "mse")
    for shown, first_epoch, end in runs:
        network.fit(shown, initial_epoch=first_epoch, epochs=end, shuffle=False, verbose=0)
    weights: np.ndarray = network.get_weights()[0]
    return weights


def test_a_resumed_run_sees_what_an_uninterrupted_one_would_have_seen() -> None:
    whole = learned((batches(0), 0, 3))
    assert np.allclose(learned((batches(0), 0, 2), (batches(2), 2, 3)), whole, rtol=1e-4, atol=1e-7)
    assert not np.allclose(learned((batches(0), 0, 2), (batches(0), 2, 3)), whole, rtol=1e-4, atol=1e-7)


class Sizes(keras.callbacks.Callback):
    """Gives each epoch a size of its own, as a run with `small_until` does."""

    def __init__(self, shown: Batches, sizes_px: list[int]) -> None:
        super().__init__()
        self._shown, self._sizes_px = shown, sizes_px

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._shown.side_px = self._sizes_px[epoch]


class Seen(keras.layers.Layer):
    """Notes the side of the faces that come, in pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.sides_px: list[int] = []

    def call(self, images: Any) -> Any:
        self.sides_px.append(images.shape[1])
        return images


def test_a_network_for_faces_of_any_size_learns_from_one_size_after_another() -> None:
    shown, seen = batches(0, any_size=True), Seen()
    image = keras.layers.Input((None, None, 1))
    network = keras.Model(image, keras.layers.Dense(8)(keras.layers.GlobalAveragePooling2D()(seen(image))))
    network.compile("sgd", "mse", run_eagerly=True)
    seen.sides_px.clear()
    network.fit(shown, epochs=3, shuffle=False, verbose=0, callbacks=[Sizes(shown, [32, 40, 48])])
    assert seen.sides_px == [side for side in (32, 40, 48) for _ in range(len(shown))]


def test_every_epoch_shows_each_face_once_and_some_of_the_second_pool_in_an_order_of_its_own() -> None:
    first, second = batches(0), batches(1)
    assert len(first) == 49 // 16
    for number in range(len(first)):
        images, targets = first[number]
        assert np.array_equal(images, batches(0)[number][0])
        assert not np.array_equal(targets, second[number][1])
        assert not np.array_equal(targets, batches(0, seed=1)[number][1])
        first_again, _ = first[number]
        assert np.array_equal(images, first_again)  # asked twice, it is the same batch
    first.on_epoch_end()
    assert all(np.array_equal(first[n][0], second[n][0]) for n in range(len(first)))
    # Of 40 faces and 9 others, 48 are shown: at most one is left out, and no face comes twice.
    shown = np.concatenate([second[n][1] for n in range(len(second))])
    faces = np.random.default_rng(0)
    faces.integers(0, 256, (40, 48, 48), dtype=np.uint8)
    own = (shown[:, None] == faces.random((40, 8), dtype=np.float32)[None]).all(axis=2).sum(axis=0)
    assert own.max() == 1
    assert own.sum() >= 39


def test_a_pool_draws_its_likely_images_more_often() -> None:
    images, chances = np.zeros((2, 48, 48), np.uint8), np.array([1.0, 3.0])
    pool = Pool(images, np.zeros((2, 7), np.float32), per_epoch=4000, chances=chances)
    rows = pool.rows(np.random.default_rng(0))
    assert 0.7 < rows.mean() < 0.8


def test_a_face_that_augmentation_hides_teaches_only_that_it_is_unreadable() -> None:
    drawn = np.random.default_rng(0)
    targets = np.zeros((256, TARGETS), np.float32)
    targets[:, 0] = 1
    pool = Pool(drawn.integers(0, 256, (256, 48, 48), dtype=np.uint8), targets)
    still = Augmentation(flip=0, shift=0, rotate_deg=0, zoom_in=0, zoom_out=0, brightness=0, erase=0, occlude=0.5)
    images, shown = Batches([pool], 256, still, readable_weight=0.5)[0]
    hidden = shown[:, READABLE + 1] == 0.5
    assert 0.35 < hidden.mean() < 0.65
    assert not shown[hidden, 0].any()
    assert shown[~hidden, 0].all()
    known = {image.tobytes() for image in pool.images}
    assert [image.tobytes() in known for image in images[..., 0]] == (~hidden).tolist()
