"""A model folder is used only if its card is readable, fits this pipeline and matches every file."""

import json
from pathlib import Path
from typing import Any

import pytest

from classifier import DEFAULT_MODEL
from classifier.card import CrowdMetrics, DataSpec, Metrics, ModelCard, file_entry, load_card, save_card
from crowdmood.core.errors import ModelError
from crowdmood.domain.labels import FER_LABELS, LABELS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = tmp_path / "model.keras"
    network.write_bytes(b"weights")
    card = ModelCard(
        model_id="tiny-1",
        architecture="tiny",
        files=(file_entry(network),),
        data=DataSpec(name="faces", training_faces=10, judged_faces=5, duplicates=1),
        metrics=Metrics(accuracy=0.6, accuracy_without_duplicates=0.5, log_loss=1.0),
        multiply_adds=1000,
        parameters=10,
        code_version="0",
    )
    save_card(tmp_path, card)
    return tmp_path


def change(folder: Path, **fields: Any) -> None:
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_loads_a_complete_folder_with_the_labels_in_order(folder: Path) -> None:
    card = load_card(folder)

    assert card.labels == LABELS
    assert card.model_id == "tiny-1"
    assert card.calibration is None
    assert card.crowd is None


def test_loads_a_folder_without_cheering_with_seven_labels(folder: Path) -> None:
    change(folder, labels=FER_LABELS)

    assert load_card(folder).labels == FER_LABELS


@pytest.mark.parametrize(
    ("outputs", "readable"),
    [
        (["emotions"], None),
        (["emotions", "readable"], "readable"),
        (["emotions", "face"], "face"),  # of earlier networks
        (["face", "emotions", "readable"], "readable"),
    ],
)
def test_names_the_output_that_is_served_as_readable(folder: Path, outputs: list[str], readable: str | None) -> None:
    change(folder, outputs=outputs)

    assert load_card(folder).readable_output == readable


@pytest.mark.parametrize("model", ["crowdnet", "conv4"])
def test_loads_the_shipped_folders(model: str) -> None:
    card = load_card(DEFAULT_MODEL.parent / model)

    assert card.labels in (LABELS, FER_LABELS)
    assert card.metrics.accuracy > 0.6


def test_loads_the_figures_of_real_crowds_as_they_were_saved(folder: Path) -> None:
    rates = {
        "accuracy_readable": 0.88,
        "recall": {"happy": 0.9, "fear": None},
        "unreadable_recall": 0.7,
        "readable_lost": 0.05,
        "share_error_200": 0.02,
        "negative_error_200": 0.01,
        "coverage_90": 0.9,
    }
    crowd = {"faces": 900, **rates, "by_size": {"20-32": {"faces": 0}, "96+": {"faces": 40, **rates}}}
    metrics = CrowdMetrics.model_validate(crowd)
    save_card(folder, load_card(folder).model_copy(update={"crowd": metrics, "labelling": "By two annotators."}))

    card = load_card(folder)

    assert card.labelling == "By two annotators."
    assert card.crowd == metrics
    assert metrics.by_size["20-32"].accuracy_readable is None


def test_refuses_an_altered_network(folder: Path) -> None:
    (folder / "model.keras").write_bytes(b"other weights")

    with pytest.raises(ModelError, match=r"model\.keras: does not match its card"):
        load_card(folder)


def test_refuses_a_missing_network(folder: Path) -> None:
    (folder / "model.keras").unlink()

    with pytest.raises(ModelError, match=r"listed in card\.json but cannot be read"):
        load_card(folder)


def test_refuses_a_folder_without_a_card(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"card\.json: cannot be read"):
        load_card(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": list(reversed(LABELS))}, "labels are cheering"),
        ({"labels": LABELS[:6]}, "or without cheering"),
        ({"outputs": ["readable"]}, "no output emotions"),
        ({"crowd": {"faces": 10, "coverage_90": 1.2}}, r"crowd\.coverage_90"),
        ({"crowd": {"faces": 10, "recall": {"happy": -0.1}}}, r"crowd\.recall\.happy"),
        ({"input": {"height": 64, "width": 64, "channels": 3, "dtype": "uint8"}}, "input is 64x64x3"),
        ({"files": []}, "files"),
        ({"surprise": 1}, "surprise"),  # a field of a later layout
        ({"files": [{"name": "../x", "sha256": "0" * 64, "size_bytes": 1}]}, "points outside the folder"),
    ],
)
def test_refuses_a_card_that_does_not_fit_in_one_line(folder: Path, fields: dict[str, Any], message: str) -> None:
    change(folder, **fields)

    with pytest.raises(ModelError, match=message) as caught:
        load_card(folder)

    assert "\n" not in str(caught.value)


def test_refuses_a_card_that_is_not_json(folder: Path) -> None:
    (folder / "card.json").write_text("{")

    with pytest.raises(ModelError, match="Invalid JSON"):
        load_card(folder)
