"""A training deletes nothing but the model that it replaces, and keeps nothing for another question."""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from app.cli import app  # noqa: E402
from classifier.card import CARD_FILE  # noqa: E402
from crowdmood.core.errors import DataError, SettingsError  # noqa: E402
from training.cli import Backend  # noqa: E402
from training.data import FaceData  # noqa: E402
from training.networks import build  # noqa: E402
from training.recipe import Recipe  # noqa: E402
from training.run import Paths, run, teach  # noqa: E402
from training.transfer import bottleneck_features  # noqa: E402

MODELS = Path(__file__).parents[2] / "classifier" / "models"


def begin(out: str, work: str = "work", fresh: bool = False, start_from: tuple[Path, ...] = ()) -> None:
    """Starts a training without data: it complains of its folders before it looks for them."""
    run(Recipe(), Paths(Path("none.npz"), Path(out), Path(work), start_from=start_from), fresh, False, False)


def files() -> list[Path]:
    return sorted(path for path in Path.cwd().rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("out", "work", "says"),
    [
        ("models", "work", "models: is there and is no model folder"),
        (".", "work", "is no model folder"),
        ("..", "work", "is no model folder"),
        ("models/crowdnet/network.keras", "work", "is no model folder"),
        ("models/crowdnet", "models/crowdnet", "lies in --out"),
        ("new", "new/work", "lies in --out"),
        ("new", "new", "lies in --out"),
        ("new", "file", "file: cannot be made"),
    ],
)
def test_a_folder_with_anything_but_a_model_is_refused_before_the_training(out: str, work: str, says: str) -> None:
    Path("models/crowdnet").mkdir(parents=True)
    for name in ("file", "models/crowdnet/network.keras", f"models/crowdnet/{CARD_FILE}"):
        Path(name).write_text("mine")
    before = files()
    with pytest.raises(SettingsError, match=says) as caught:
        begin(out, work)
    assert "\n" not in str(caught.value)
    assert files() == before


@pytest.mark.parametrize("out", ["absent", "empty", "model"])
def test_a_new_an_empty_and_a_model_folder_may_be_written(out: str) -> None:
    Path("empty").mkdir()
    Path("model").mkdir()
    Path("model", CARD_FILE).write_text("{}")
    with pytest.raises(DataError, match=r"none\.npz: does not exist"):
        begin(out, fresh=True)


def test_weights_to_begin_with_are_not_deleted() -> None:
    Path("work").mkdir()
    Path("work/best.npz").write_text("mine")
    with pytest.raises(SettingsError, match="--fresh would delete it"):
        begin("new", fresh=True, start_from=(Path.cwd() / "work" / "best.npz",))
    assert Path("work/best.npz").read_text() == "mine"


def test_a_backend_that_is_not_installed_is_refused_with_what_to_install() -> None:
    missing = next(backend.value for backend in Backend if find_spec(backend.value) is None)
    before = os.environ.get("KERAS_BACKEND")
    with pytest.raises(SettingsError, match=f"{missing} is not installed; `pip install {missing}`"):
        app(["train", "--data", "none.npz", "--out", "new", "--backend", missing], standalone_mode=False)
    assert os.environ.get("KERAS_BACKEND") == before


@pytest.fixture
def faces() -> FaceData:
    """Sixteen pictures of noise."""
    drawn = np.random.default_rng(0)
    images = drawn.integers(0, 256, (16, 48, 48), dtype=np.uint8)
    return FaceData(images, np.zeros(16, np.uint8), np.zeros(16, np.uint8))


def test_what_teachers_say_is_kept_for_these_teachers_and_these_faces_only(faces: FaceData, tmp_path: Path) -> None:
    def ask(data: FaceData, *teachers: str) -> np.ndarray:
        said = teach(data, Paths(Path("d"), Path("o"), tmp_path, tuple(MODELS / name for name in teachers)))
        assert said is not None
        return said

    one, other, both = ask(faces, "conv4"), ask(faces, "crowdnet"), ask(faces, "conv4", "crowdnet")
    assert np.allclose(both, (one + other) / 2, atol=1e-6)
    assert not np.allclose(one, other, atol=0.01)
    fewer = faces.select(np.arange(8))
    assert np.allclose(ask(fewer, "conv4"), one[:8], atol=1e-5)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 4
    assert np.array_equal(ask(faces, "crowdnet"), other)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept


def test_features_are_kept_for_this_backbone_and_these_faces_only(faces: FaceData, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    model = build("keras:MobileNetV2")
    backbone = model.get_layer("backbone")
    first = bottleneck_features(model, faces, tmp_path)
    inverted = FaceData(255 - faces.images, faces.labels, faces.usage)
    assert not np.array_equal(bottleneck_features(model, inverted, tmp_path), first)
    began = backbone.get_weights()
    backbone.set_weights([array * 0.9 for array in began])
    assert not np.array_equal(bottleneck_features(model, faces, tmp_path), first)
    assert len(list(tmp_path.iterdir())) == 3
    backbone.set_weights(began)
    assert np.array_equal(bottleneck_features(model, faces, tmp_path), first)
    assert len(list(tmp_path.iterdir())) == 3
