"""`crowdmood train`: options, recipes, and a model folder that records both."""

import json
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

keras = pytest.importorskip("keras")

from app.cli import app  # noqa: E402
from classifier.card import CARD_FILE, NETWORK_FILE, file_entry, load_card  # noqa: E402
from classifier.engines import load_engine  # noqa: E402
from crowdmood.core.errors import SettingsError  # noqa: E402
from crowdmood.core.settings import ClassifierSettings  # noqa: E402
from crowdmood.domain.labels import LABELS  # noqa: E402
from training.checkpoint import load_initial_weights, save_state  # noqa: E402
from training.cli import Backend  # noqa: E402
from training.heads import ALL_HEADS  # noqa: E402
from training.loaders import load_npz  # noqa: E402
from training.networks import build  # noqa: E402
from training.recipe import Recipe, load_recipe  # noqa: E402
from training.serving import predict, predict_fer, serving_network  # noqa: E402

CONV4 = Path(__file__).parents[3] / "classifier" / "models" / "conv4"
FIELDS: dict[str, Any] = {
    "architecture": "mini-xception",
    "fine_tune_layers": 3,
    "epochs": 6,
    "minutes": 0.1,
    "batch_size": 32,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "schedule": "plateau",
    "plateau_patience": 1,
    "stop_patience": 9,
    "weight_decay": 0.02,
    "label_smoothing": 0.03,
    "ferplus_blend": 0.15,
    "teacher_blend": 0.45,
    "class_weights": True,
    "crowd_faces_per_epoch": 41,
    "crowd_backgrounds": 42,
    "crowd_balance": 0.25,
    "votes_weight": 0.33,
    "crowd_weight": 0.9,
    "readable_weight": 0.6,
    "agreed_weight": 0.22,
    "small_until": [0.2, 0.4],
    "refit_crowd_head": 0.004,
    "precision": "float32",
    "seed": 8,
}
AUGMENTATION = {
    "flip": 0.35,
    "shift": 0.06,
    "rotate_deg": 7.0,
    "zoom_in": 0.07,
    "zoom_out": 0.11,
    "shear": 0.12,
    "brightness": 0.17,
    "erase": 0.13,
    "degrade": 0.55,
    "occlude": 0.08,
}
RECIPE = FIELDS | {"augmentation": AUGMENTATION}


@pytest.fixture(autouse=True)
def _restore_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what the command sets for Keras and TensorFlow."""
    for variable in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(variable, os.environ.get(variable, ""))


def train(*options: str | Path) -> None:
    app(["train", *map(str, options)], standalone_mode=False)


def check_graph(folder: Path, faces: np.ndarray) -> None:
    """Check that the exported graph gives the probabilities of the Keras file."""
    network = keras.saving.load_model(folder / NETWORK_FILE, compile=False)
    engine = load_engine(folder, ClassifierSettings(engine="openvino", precision="f32", max_batch_size=8))
    assert np.allclose(engine.predict(faces)[0], predict(network, faces)[0], atol=0.01)


def test_recipe_above_changes_every_field_and_no_two_alike() -> None:
    defaults = Recipe().for_card()
    assert RECIPE.keys() == defaults.keys()
    assert AUGMENTATION.keys() == defaults["augmentation"].keys()
    assert [name for name in RECIPE if RECIPE[name] == defaults[name]] == []
    assert [name for name in AUGMENTATION if AUGMENTATION[name] == defaults["augmentation"][name]] == []
    values = [*FIELDS.values(), *AUGMENTATION.values()]
    numbers = [value for value in values if isinstance(value, int | float) and value is not True]
    assert len(set(numbers)) == len(numbers)


def test_training_uses_every_field_and_option(
    few: Path, few_crowds: Path, few_crowd_faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, work, initial = tmp_path / "model", tmp_path / "work", tmp_path / "initial.npz"
    save_state(initial, build("mini-xception", outputs=ALL_HEADS), [])
    out.mkdir()
    work.mkdir()
    for old in (out / CARD_FILE, out / "of_the_old_model", work / "state.npz", work / "notes"):
        old.write_text("old")
    # The tables are of the file, the last fields of the command line.
    recipe = tmp_path / "recipe.toml"
    in_file = [f"{name} = {json.dumps(value)}" for name, value in FIELDS.items() if name not in ("seed", "optimizer")]
    tables = ["[augmentation]", *(f"{name} = {value}" for name, value in AUGMENTATION.items() if name != "flip")]
    recipe.write_text("\n".join([*in_file, f'data = "{few}"', *tables]))
    options = ["--recipe", recipe, "--set", "seed=8", "--set", "optimizer=adam", "--set", "augmentation.flip=0.35"]
    options += ["--crowd-faces", few_crowd_faces, "--crowds", few_crowds, "--start-from", initial, "--teacher", CONV4]
    train(*options, "--out", out, "--work", work, "--fresh", "--summary", "--model-json")

    printed = capsys.readouterr().out
    card = load_card(out)
    assert {name: card.recipe[name] for name in RECIPE} == RECIPE
    assert card.recipe["teachers"] == [load_card(CONV4).model_id]
    assert card.recipe["started_from"] == [file_entry(initial).sha256]
    assert str(tmp_path) not in (out / CARD_FILE).read_text()
    assert card.labels == LABELS
    assert card.outputs == ("emotions", "readable")
    assert card.face_check is not None
    assert card.face_check.faces > 0
    assert card.crowd is not None
    assert card.crowd.faces > 0
    assert "separable_conv2d" in printed
    # Old files are deleted from the model folder and from the checkpoints, and nowhere else.
    assert {path.name for path in out.iterdir()} == {file.name for file in card.files} | {CARD_FILE}
    assert {file.name for file in card.files} >= {NETWORK_FILE, "model.json", "model.weights.h5", "MODEL_CARD.md"}
    assert (work / "notes").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"model", "work", "initial.npz", "recipe.toml"}
    history = json.loads((out / "history.json").read_text())
    assert card.recipe["epochs_done"] == len(history) > 0
    assert all(row["val_score"] == (row["val_accuracy"] + row["val_crowd_accuracy"]) / 2 for row in history)
    assert history[-1]["elapsed_s"] < 60
    assert (work / "class_balance.png").read_bytes().startswith(b"\x89PNG")
    # model.json with its weights is the same network as the Keras file.
    twin = keras.models.model_from_json((out / "model.json").read_text())
    twin.load_weights(out / "model.weights.h5")
    faces = load_npz(few).images[:8]
    network = keras.saving.load_model(out / NETWORK_FILE, compile=False)
    assert np.array_equal(predict(twin, faces)[0], predict(network, faces)[0])
    check_graph(out, faces)
    # The folder holds every head, also the unserved one of FER2013's labels: another run can begin with it.
    again = build("mini-xception", outputs=ALL_HEADS)
    assert load_initial_weights(out, again) == ALL_HEADS
    served = serving_network(again, card.calibration)
    assert np.array_equal(predict_fer(served, faces).argmax(axis=1), predict_fer(network, faces).argmax(axis=1))
    assert np.allclose(predict(served, faces)[0], predict(network, faces)[0], atol=1e-5)


def test_help_lists_the_options_of_a_run_and_no_field_of_a_recipe_but_its_inputs() -> None:
    result = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "100", "TERM": "dumb"})
    assert result.exit_code == 0
    options = set(re.findall(r"--([a-z-]+)", result.output))
    assert options >= {"recipe", "set", "print-recipe", "data", "crowd-faces", "start-from", "out", "work", "backend"}
    assert options.isdisjoint({"learning-rate", "epochs", "flip", "crowd-balance"})
    assert len(result.output.splitlines()) < 70


def test_print_recipe_shows_the_recipe_that_would_be_trained(tmp_path: Path) -> None:
    options = ["train", "--recipe", "crowds", "--set", "minutes=80", "--data", "faces.npz", "--print-recipe"]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0
    (tmp_path / "printed.toml").write_text(result.output)
    assert load_recipe(tmp_path / "printed.toml") == load_recipe(Path("crowds"), ["minutes=80"], data="faces.npz")


def test_training_without_out_is_refused() -> None:
    with pytest.raises(SettingsError, match="--out is missing"):
        train("--data", "none.npz")


def test_backend_that_is_not_installed_is_refused_with_what_to_install() -> None:
    missing = next(backend.value for backend in Backend if find_spec(backend.value) is None)
    before = os.environ.get("KERAS_BACKEND")
    with pytest.raises(SettingsError, match=f"{missing} is not installed; `pip install {missing}`"):
        train("--data", "none.npz", "--out", "new", "--backend", missing)
    assert os.environ.get("KERAS_BACKEND") == before
