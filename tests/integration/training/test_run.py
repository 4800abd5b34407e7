"""A run deletes nothing but the model that it replaces, and caches teachers by their networks and faces."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras")

from classifier.card import CARD_FILE
from crowdmood.core.errors import DataError, SettingsError
from training.data import FaceData
from training.recipe import Recipe, load_recipe
from training.run import run, teacher_probabilities

MODELS = Path(__file__).parents[3] / "classifier" / "models"


def start(out: str, work: str = "work", fresh: bool = False, start_from: Path | None = None) -> None:
    """Start a training without data: folders are checked before the data is read."""
    run(load_recipe(None, data=Path("none.npz"), start_from=start_from), Path(out), Path(work), fresh)


def files() -> list[Path]:
    return sorted(path for path in Path.cwd().rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("out", "work", "message"),
    [
        ("models", "work", "models: exists and is no model folder"),
        (".", "work", "is no model folder"),
        ("..", "work", "is no model folder"),
        ("models/crowdnet/network.keras", "work", "is no model folder"),
        ("models/crowdnet", "models/crowdnet", "lies in --out"),
        ("new", "new/work", "lies in --out"),
        ("new", "new", "lies in --out"),
        ("new", "file", "file: cannot be made"),
    ],
)
def test_folder_with_anything_but_a_model_is_refused_before_the_training(out: str, work: str, message: str) -> None:
    Path("models/crowdnet").mkdir(parents=True)
    for name in ("file", "models/crowdnet/network.keras", f"models/crowdnet/{CARD_FILE}"):
        Path(name).write_text("mine")
    before = files()
    with pytest.raises(SettingsError, match=message) as caught:
        start(out, work)
    assert "\n" not in str(caught.value)
    assert files() == before


@pytest.mark.parametrize("out", ["absent", "empty", "model"])
def test_new_empty_and_model_folder_may_be_written(out: str) -> None:
    Path("empty").mkdir()
    Path("model").mkdir()
    Path("model", CARD_FILE).write_text("{}")
    with pytest.raises(DataError, match=r"none\.npz: does not exist"):
        start(out, fresh=True)


def test_fresh_does_not_delete_the_weights_to_begin_with() -> None:
    Path("work").mkdir()
    Path("work/best.npz").write_text("mine")
    with pytest.raises(SettingsError, match="--fresh would delete it"):
        start("new", fresh=True, start_from=Path.cwd() / "work" / "best.npz")
    assert Path("work/best.npz").read_text() == "mine"


def test_teachers_are_cached_by_their_networks_and_faces(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (16, 48, 48), dtype=np.uint8)
    faces = FaceData(images, np.zeros(16, np.uint8), np.zeros(16, np.uint8))

    def probabilities(data: FaceData, *teachers: str) -> np.ndarray:
        recipe = Recipe(teacher=tuple(MODELS / name for name in teachers))
        found = teacher_probabilities(data, recipe, tmp_path)
        assert found is not None
        return found

    one, other = probabilities(faces, "conv4"), probabilities(faces, "crowdnet")
    assert np.allclose(probabilities(faces, "conv4", "crowdnet"), (one + other) / 2, atol=1e-6)
    assert not np.allclose(one, other, atol=0.01)
    assert np.allclose(probabilities(faces.select(np.arange(8)), "conv4"), one[:8], atol=1e-5)
    cached = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(cached) == 4
    assert np.array_equal(probabilities(faces, "crowdnet"), other)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == cached
