"""`crowdmood evaluate MODEL FOLDER` on labelled faces of crowds: drawn ones, and the real ones."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

keras = pytest.importorskip("keras")

from app.cli import app  # noqa: E402
from classifier import DEFAULT_MODEL  # noqa: E402
from classifier.card import NETWORK_FILE, CrowdMetrics, DataSpec, Metrics, ModelCard, file_entry, load_card, save_card  # noqa: E402
from crowdmood.core.errors import DataError, SettingsError  # noqa: E402
from crowdmood.domain.labels import FER_LABELS, LABELS  # noqa: E402
from tests.faces_of_crowds import row, write_folder  # noqa: E402
from training.evaluate import write_report  # noqa: E402
from training.serving import predict_fer  # noqa: E402

FIGURES = {
    "faces",
    "accuracy_readable",
    "recall",
    "unreadable_recall",
    "readable_lost",
    "share_error_200",
    "negative_error_200",
    "coverage_90",
}


def network(outputs: dict[str, int]) -> Any:
    """Return a network with random weights and these outputs: probabilities, and of one column a probability."""
    keras.utils.set_random_seed(7)
    image = keras.Input((48, 48, 1), dtype="uint8")
    features = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(keras.layers.Rescaling(1 / 255)(image)))
    heads = {
        name: keras.layers.Dense(width, activation="softmax" if width > 1 else "sigmoid", name=name)(features)
        for name, width in outputs.items()
    }
    return keras.Model(image, heads)


@pytest.fixture
def eight(tmp_path: Path) -> Path:
    """A model folder whose network has eight labels, `readable`, and FER2013's labels beside them."""
    folder = tmp_path / "eight"
    folder.mkdir()
    network({"emotions": 8, "readable": 1, "fer": 7}).save(folder / NETWORK_FILE)
    card = ModelCard(
        model_id="eight-1",
        architecture="tiny",
        outputs=("emotions", "readable"),
        files=(file_entry(folder / NETWORK_FILE),),
        data=DataSpec(name="faces", training_faces=10, judged_faces=5, duplicates=1),
        metrics=Metrics(accuracy=0.6, accuracy_without_duplicates=0.5, log_loss=1.0),
        multiply_adds=1000,
        parameters=10,
        code_version="0",
    )
    save_card(folder, card)
    return folder


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Drawn faces: six to validate on, two to train on."""
    labels = ["happy", "happy", "neutral", "cheering", "unreadable", "unreadable"]
    rows = [row(f"v{n}.png", [label] * 3, photo=f"{n % 2}.jpg", px=25 + 15 * n) for n, label in enumerate(labels)]
    rows += [row(f"t{n}.png", ["sad", "sad"], split="train", px=50) for n in range(2)]
    return write_folder(tmp_path / "drawn", rows)


@pytest.fixture(scope="module")
def report(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on the shipped network and the faces of real crowds."""
    out = tmp_path_factory.mktemp("report")
    write_report(DEFAULT_MODEL, assets / "crowd_faces", out, None, None)
    return out


@pytest.fixture(scope="module")
def crowd(report: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((report / "report.json").read_text())
    assert figures.keys() == {"model_id", "data", "crowd"}
    assert figures["model_id"] == load_card(DEFAULT_MODEL).model_id
    assert figures["data"] == "crowd_faces"
    section: dict[str, Any] = figures["crowd"]
    return section


def test_the_section_holds_every_figure_for_all_faces_and_by_size(crowd: dict[str, Any]) -> None:
    assert crowd.keys() == {*FIGURES, "by_size"}
    assert list(crowd["by_size"]) == ["20-32", "32-48", "48-96", "96+"]
    assert all(part.keys() == FIGURES for part in crowd["by_size"].values())
    assert list(crowd["recall"]) == list(LABELS)
    assert crowd["faces"] == sum(part["faces"] for part in crowd["by_size"].values()) == 1008
    assert CrowdMetrics.model_validate(crowd).model_dump() == crowd


def test_figures_of_real_crowds_are_within_what_votes_allow(crowd: dict[str, Any]) -> None:
    assert 0.4 < crowd["accuracy_readable"] < 0.97
    assert crowd["recall"]["happy"] > 0.8
    assert crowd["recall"]["fear"] is None  # no face of the validation split has this label
    for name in ("unreadable_recall", "readable_lost", "coverage_90"):
        assert 0 <= crowd[name] <= 1
    assert 0 < crowd["share_error_200"] < 0.2
    # No more than the four shares together are wrong, and each face is in one size.
    assert crowd["negative_error_200"] <= 8 * crowd["share_error_200"]
    lost = [part["readable_lost"] for part in crowd["by_size"].values()]
    assert min(lost) <= crowd["readable_lost"] <= max(lost)


def test_the_page_names_examples_by_file_and_shows_no_face(report: Path, assets: Path) -> None:
    page = (report / "report.html").read_text()
    files = re.findall(r"<td>(\d+\.jpg)</td>", page)
    assert len(files) > 20
    assert all((assets / "crowd_faces" / "images" / name).is_file() for name in files)
    for heading in ("cheering", "neutral", "unreadable, taken for readable", "readable, taken for unreadable"):
        assert f"<h3>{heading}</h3>" in page
    assert sorted(path.name for path in report.iterdir()) == ["confusion.png", "report.html", "report.json"]
    assert page.count("<img") == 1
    assert "data:" not in page


def test_drawn_faces_are_evaluated_on_the_validation_split_unless_another_is_asked_for(
    drawn: Path, eight: Path, tmp_path: Path
) -> None:
    faces = {}
    for split in ("validation", "train", "all", None):
        json_file = tmp_path / f"{split}.json"
        options = [] if split is None else ["--split", split]
        result = CliRunner().invoke(app, ["evaluate", str(eight), str(drawn), "--json", str(json_file), *options])
        assert result.exit_code == 0, result.output
        faces[split] = json.loads(json_file.read_text())["crowd"]["faces"]
    assert faces == {"validation": 6, "train": 2, "all": 8, None: 6}
    assert not (tmp_path / "reports").exists()


def test_a_folder_without_a_validation_split_is_evaluated_whole(eight: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "faces", [row("a.png", ["happy"], split="mine"), row("b.png", ["sad"], split="x")])

    write_report(eight, folder, tmp_path / "out", tmp_path / "figures.json", None)

    assert json.loads((tmp_path / "figures.json").read_text())["crowd"]["faces"] == 2


def test_a_network_of_eight_labels_and_readable_is_measured_on_both(drawn: Path, eight: Path, tmp_path: Path) -> None:
    write_report(eight, drawn, tmp_path / "out", None, None)

    crowd = json.loads((tmp_path / "out" / "report.json").read_text())["crowd"]
    assert {label for label, value in crowd["recall"].items() if value is not None} == {"happy", "neutral", "cheering"}
    assert crowd["unreadable_recall"] in (0, 0.5, 1)
    assert "<td>readable</td>" not in (tmp_path / "out" / "report.html").read_text()
    assert "<th>readable</th>" in (tmp_path / "out" / "report.html").read_text()


def test_a_missing_split_and_options_that_do_not_fit_are_refused(drawn: Path, eight: Path, tmp_path: Path) -> None:
    only = write_folder(tmp_path / "only", [row("a.png", ["happy"])])
    with pytest.raises(DataError, match="holds no rows of the split 'train'"):
        write_report(eight, only, tmp_path / "out", None, None, "train")
    with pytest.raises(SettingsError, match="--crowds is for FER2013's faces"):
        write_report(eight, drawn, tmp_path / "out", None, tmp_path)
    with pytest.raises(SettingsError, match=r"--split is for faces of crowds, and .* holds no faces.csv"):
        write_report(eight, tmp_path, tmp_path / "out", None, None, "all")
    assert not (tmp_path / "out").exists()


def test_fer2013s_labels_come_from_their_own_output_where_there_is_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    model = network({"emotions": 8, "readable": 1, "fer": 7})

    probabilities = predict_fer(model, images)

    assert np.array_equal(probabilities, model.predict(images[..., None], verbose=0)["fer"])


def test_without_it_the_first_seven_probabilities_are_used_and_sum_to_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    model = network({"emotions": 8, "readable": 1})

    probabilities = predict_fer(model, images)

    eight = model.predict(images[..., None], verbose=0)["emotions"]
    assert probabilities.shape == (5, len(FER_LABELS))
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert np.allclose(probabilities[:, 0] / probabilities[:, 6], eight[:, 0] / eight[:, 6], rtol=1e-4)


def test_fer2013_figures_of_a_network_of_eight_labels_are_of_its_own_output(
    eight: Path, assets: Path, tmp_path: Path
) -> None:
    every = np.load(assets / "data" / "fer2013.npz")
    few = np.concatenate([np.flatnonzero(every["usage"] == usage)[:60] for usage in (0, 1)])
    np.savez(tmp_path / "few.npz", **{name: every[name][few] for name in every.files})

    write_report(eight, tmp_path / "few.npz", tmp_path / "out", tmp_path / "figures.json", None)

    figures = json.loads((tmp_path / "figures.json").read_text())
    tested = every["images"][few[60:]]
    answers = keras.saving.load_model(eight / NETWORK_FILE).predict(tested[..., None], verbose=0)["fer"]
    assert figures["accuracy"] == pytest.approx((answers.argmax(axis=1) == every["labels"][few[60:]]).mean())
    assert np.shape(figures["confusion"]) == (7, 7)
    assert list(figures["per_class"]) == list(FER_LABELS)
    assert "crowd" not in figures
