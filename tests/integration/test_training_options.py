"""What the earlier programs could do, and more, as options of one training."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from app.cli import app  # noqa: E402
from classifier.card import CARD_FILE, NETWORK_FILE, file_entry, load_card  # noqa: E402
from classifier.engines import load_engine  # noqa: E402
from crowdmood.core.errors import DataError, ModelError, SettingsError  # noqa: E402
from crowdmood.core.settings import ClassifierSettings  # noqa: E402
from crowdmood.domain.labels import LABELS  # noqa: E402
from training.checkpoint import begin_from, load_state, save_state  # noqa: E402
from training.cost import multiply_adds  # noqa: E402
from training.data import FaceData  # noqa: E402
from training.heads import ALL_HEADS  # noqa: E402
from training.loaders import load_npz  # noqa: E402
from training.networks import ARCHITECTURES, build  # noqa: E402
from training.recipe import Recipe  # noqa: E402
from training.run import Paths, run  # noqa: E402
from training.serving import predict, predict_fer, serving_network  # noqa: E402

CONV4 = Path(__file__).parents[2] / "classifier" / "models" / "conv4"


@pytest.fixture(scope="module")
def few(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 96 real faces to learn from and 64 to be judged by, as an .npz."""
    data = load_npz(assets / "data" / "fer2013.npz")
    rows = np.concatenate([np.flatnonzero(data.usage == usage)[:count] for usage, count in ((0, 96), (1, 64))])
    chosen: FaceData = data.select(rows)
    file = tmp_path_factory.mktemp("few") / "few.npz"
    assert chosen.votes is not None
    np.savez(file, images=chosen.images, labels=chosen.labels, usage=chosen.usage, ferplus_votes=chosen.votes)
    return file


@pytest.fixture(scope="module")
def few_crowds(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first six of the crowd photographs, two of them held back."""
    folder = tmp_path_factory.mktemp("crowds")
    labelled = json.loads((assets / "crowds" / "boxes.json").read_text())
    (folder / "boxes.json").write_text(json.dumps({name: labelled[name] for name in sorted(labelled)[:6]}))
    (folder / "images").symlink_to(assets / "crowds" / "images")
    return folder


@pytest.fixture(scope="module")
def few_crowd_faces(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled faces of real crowds: every 60th to learn from, every 12th held out."""
    folder = tmp_path_factory.mktemp("crowd-faces")
    header, *rows = (assets / "crowd_faces" / "faces.csv").read_text().splitlines()
    learned = [row for row in rows if ",train," in row]
    held_out = [row for row in rows if ",validation," in row]
    (folder / "faces.csv").write_text("\n".join([header, *learned[::60], *held_out[::12]]) + "\n")
    (folder / "images").symlink_to(assets / "crowd_faces" / "images")
    return folder


def check_graph(folder: Path, faces: np.ndarray) -> None:
    """The exported graph judges as the Keras file does."""
    network = keras.saving.load_model(folder / NETWORK_FILE, compile=False)
    engine = load_engine(folder, ClassifierSettings(engine="openvino", precision="f32", max_batch_size=8))
    assert np.allclose(engine.predict(faces)[0], predict(network, faces)[0], atol=0.01)


@pytest.mark.parametrize(
    ("architecture", "outputs", "millions"),
    [
        ("crowdnet", 24, (60, 80)),
        ("conv4", 7, (280, 300)),
        ("conv4-dense3", 7, (280, 300)),
        ("conv4-256", 7, (180, 220)),
        ("conv4-256-dense3", 7, (180, 220)),
        ("mini-xception", 7, (1, 20)),
    ],
)
def test_an_architecture_has_its_outputs_and_its_cost(
    architecture: str, outputs: int, millions: tuple[float, float]
) -> None:
    network = build(architecture, outputs=outputs)
    assert network.output_shape == (None, outputs)
    assert millions[0] < multiply_adds(network) / 1e6 < millions[1]


def test_every_architecture_is_tried_above() -> None:
    (mark,) = (m for m in test_an_architecture_has_its_outputs_and_its_cost.pytestmark if m.name == "parametrize")  # type: ignore[attr-defined]
    assert {case[0] for case in mark.args[1]} == set(ARCHITECTURES)


CHOSEN: dict[str, Any] = {
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
    "crowd_faces": 41,
    "crowd_backgrounds": 42,
    "crowd_balance": 0.25,
    "votes_weight": 0.33,
    "crowd_weight": 0.9,
    "readable_weight": 0.6,
    "agreed_weight": 0.22,
    "small_until": [0.2, 0.4],
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
RECIPE = CHOSEN | {"augmentation": AUGMENTATION, "class_weights": True}
"""What `CHOSEN`, `AUGMENTATION` and `--class-weights` come to."""

OPTION_NAMES = {"crowd_faces": "crowd-faces-per-epoch"}
"""Options that are not called as what they choose."""


def test_every_choice_of_a_recipe_is_made_below_and_is_not_what_it_would_have_been_anyway() -> None:
    usual = json.loads(json.dumps(asdict(Recipe())))
    assert RECIPE.keys() == usual.keys()
    assert AUGMENTATION.keys() == usual["augmentation"].keys()
    assert [name for name in RECIPE if RECIPE[name] == usual[name]] == []
    assert [name for name in AUGMENTATION if AUGMENTATION[name] == usual["augmentation"][name]] == []
    numbers = [value for value in (CHOSEN | AUGMENTATION).values() if isinstance(value, int | float)]
    assert len(set(numbers)) == len(numbers)  # none can stand in another's place


def test_every_option_of_a_training_at_once(
    few: Path,
    few_crowds: Path,
    few_crowd_faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(variable, os.environ.get(variable, ""))  # so that what the command sets goes again
    out, work, begin = tmp_path / "model", tmp_path / "work", tmp_path / "begin.npz"
    save_state(begin, build("mini-xception", outputs=ALL_HEADS), [])
    out.mkdir()
    work.mkdir()
    for old in (out / CARD_FILE, out / "of_the_old_model", work / "state.npz", work / "notes"):
        old.write_text("old")
    options: list[str] = []
    for name, value in (CHOSEN | AUGMENTATION).items():
        option = OPTION_NAMES.get(name, name.replace("_", "-"))
        options += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
    options += ["--data", str(few), "--out", str(out), "--work", str(work), "--teacher", str(CONV4)]
    options += ["--crowd-faces", str(few_crowd_faces), "--crowds", str(few_crowds), "--start-from", str(begin)]
    app(["train", *options, "--class-weights", "--fresh", "--summary", "--model-json"], standalone_mode=False)

    printed = capsys.readouterr().out
    card = load_card(out)
    assert {name: card.recipe[name] for name in RECIPE} == RECIPE
    assert card.recipe["teachers"] == [load_card(CONV4).model_id]
    assert card.recipe["started_from"] == [file_entry(begin).sha256]
    assert card.labels == LABELS
    assert card.outputs == ("emotions", "readable")
    assert card.face_check is not None
    assert card.face_check.faces > 0
    assert card.crowd is not None
    assert card.crowd.faces > 0
    assert "separable_conv2d" in printed
    # What stood there is gone where a model or a checkpoint was to be replaced, and nowhere else.
    assert {path.name for path in out.iterdir()} == {file.name for file in card.files} | {CARD_FILE}
    assert {file.name for file in card.files} >= {NETWORK_FILE, "model.json", "model.weights.h5", "MODEL_CARD.md"}
    assert (work / "notes").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"model", "work", "begin.npz"}
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
    # Another run can begin with the folder: the head for FER2013's labels is in it, and is not served.
    again = build("mini-xception", outputs=ALL_HEADS)
    begin_from(out, again)
    of_fer = serving_network(again, card.calibration)
    wanted = predict_fer(network, faces).argmax(axis=1)
    assert np.array_equal(predict_fer(of_fer, faces).argmax(axis=1), wanted)
    assert np.allclose(predict(of_fer, faces)[0], predict(network, faces)[0], atol=1e-5)


def test_a_run_can_begin_with_a_model_folder_of_seven_outputs(few: Path) -> None:
    network = build("conv4", outputs=ALL_HEADS)
    begin_from(CONV4, network)
    faces = load_npz(few).images[:32]
    served = keras.saving.load_model(CONV4 / NETWORK_FILE, compile=False)
    begun = predict_fer(serving_network(network, fer_calibration=load_card(CONV4).calibration), faces)
    assert np.allclose(begun, predict_fer(served, faces), atol=1e-4)
    with pytest.raises(ModelError, match="another architecture"):
        begin_from(CONV4, build("crowdnet", outputs=ALL_HEADS))


def test_crowd_faces_are_asked_for_by_a_recipe_that_learns_from_them(few: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--crowd-faces"):
        run(Recipe(crowd_faces=10), Paths(few, tmp_path / "m", tmp_path / "w"), False, False, False)


def test_a_backbone_from_a_file_teaches_a_head_and_then_learns_itself(few: Path, tmp_path: Path) -> None:
    weights = tmp_path / "mobilenet_v2_notop.weights.h5"
    keras.utils.set_random_seed(0)
    backbone = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(96, 96, 3), pooling="avg")
    backbone.save_weights(weights)
    recipe = Recipe(architecture="keras:MobileNetV2", epochs=1, batch_size=32, fine_tune_layers=4, precision="float32")
    paths = Paths(data=few, out=tmp_path / "model", work=tmp_path / "work", backbone_weights=weights)
    card = run(recipe, paths, fresh=True, summary=False, model_json=False)

    assert card.architecture == "keras:MobileNetV2"
    check_graph(tmp_path / "model", load_npz(few).images[:8])
    (kept,) = (tmp_path / "work").glob("features-*.npy")
    assert np.load(kept).shape == (160, 1280)
    # Fine-tuning moved the backbone's last layers and no other.
    before, after = (build("keras:MobileNetV2") for _ in range(2))
    load_state(tmp_path / "work" / "head.npz", before)
    load_state(tmp_path / "work" / "best.npz", after)
    moved = [
        not np.array_equal(one, other)
        for one, other in zip(
            before.get_layer("backbone").get_weights(), after.get_layer("backbone").get_weights(), strict=True
        )
    ]
    assert any(moved[-8:])
    assert not any(moved[:-8])


def test_a_backbone_without_its_file_is_refused(few: Path, tmp_path: Path) -> None:
    recipe = Recipe(architecture="keras:MobileNetV2", epochs=1)
    with pytest.raises(DataError, match="needs --backbone-weights"):
        run(recipe, Paths(data=few, out=tmp_path / "m", work=tmp_path / "w"), False, False, False)
    (tmp_path / "wrong.h5").write_bytes(b"no weights")
    paths = Paths(data=few, out=tmp_path / "m", work=tmp_path / "w", backbone_weights=tmp_path / "wrong.h5")
    with pytest.raises(ModelError, match="does not fit MobileNetV2"):
        run(recipe, paths, False, False, False)
    with pytest.raises(ModelError, match="unknown; choose one of crowdnet"):
        run(Recipe(architecture="vgg"), Paths(data=few, out=tmp_path / "m", work=tmp_path / "w"), False, False, False)
