"""The card for people shows real crowds first where they were measured, and says how faces were labelled."""

from pathlib import Path

import pytest

from classifier.card import CrowdMetrics, DataSpec, FileEntry, Metrics, ModelCard
from crowdmood.domain.labels import FER_LABELS, LABELS
from training.model_card import WIDER_LABELLING, render


@pytest.fixture
def card() -> ModelCard:
    return ModelCard(
        model_id="tiny-1",
        architecture="tiny",
        outputs=("emotions", "readable"),
        files=(FileEntry(name="model.keras", sha256="0" * 64, size_bytes=1),),
        data=DataSpec(name="fer2013.npz", training_faces=28709, judged_faces=3589, duplicates=280),
        metrics=Metrics(accuracy=0.705, accuracy_without_duplicates=0.695, log_loss=0.8, accuracy_at_px={24: 0.67}),
        multiply_adds=77_700_000,
        parameters=1_400_000,
        code_version="0",
    )


@pytest.fixture
def measured(card: ModelCard) -> ModelCard:
    figures = {"faces": 300, "accuracy_readable": 0.861, "recall": {**dict.fromkeys(LABELS), "happy": 0.9}}
    crowd = CrowdMetrics.model_validate(
        {
            "faces": 1008,
            "accuracy_readable": 0.884,
            "recall": {**dict.fromkeys(LABELS), "cheering": 0.65},
            "unreadable_recall": 0.72,
            "readable_lost": 0.05,
            "share_error_200": 0.0192,
            "negative_error_200": 0.0131,
            "coverage_90": 0.91,
            "by_size": {"20-32": figures},
        }
    )
    return card.model_copy(update={"crowd": crowd, "labelling": WIDER_LABELLING})


def test_real_crowds_come_before_fer2013(measured: ModelCard) -> None:
    text = render(measured)

    assert 0 < text.index("## Real crowds") < text.index("## FER2013") < text.index("## Use")
    assert "|  | all sizes | 20-32 px |" in text
    assert "| readable faces with the right label | 88.4% | 86.1% |" in text
    assert "| error of a share, crowds of 200 | 0.019 | - |" in text
    assert "| recall of cheering | 65.0% | - |" in text
    assert "| recall of fear | - | - |" in text
    assert "about 12% of the readable faces of a crowd get a wrong label" in text


def test_the_card_says_how_faces_were_labelled_and_that_data_is_for_research(measured: ModelCard) -> None:
    text = render(measured)

    assert "Labels of crowd faces come from independent passes of a vision model; no human raters were asked." in text
    assert "92 %" in text
    assert "96 %" in text
    assert "FER2013 and WIDER FACE are research data" in text


def test_a_card_without_a_record_of_the_labelling_says_so(measured: ModelCard) -> None:
    text = render(measured.model_copy(update={"labelling": None}))

    assert "This card does not record how the faces were labelled." in text
    assert "vision model" not in text


def test_a_network_without_figures_of_crowds_has_no_such_section(card: ModelCard) -> None:
    text = render(card.model_copy(update={"labels": FER_LABELS, "outputs": ("emotions", "face")}))

    assert "Real crowds" not in text
    assert "WIDER" not in text
    assert "| accuracy | 70.50% |" in text
    assert "| faces of 24 pixels | 67.00% |" in text
    assert "`emotions (N, 7)`" in text
    assert "used as `readable`" in text
    assert "about 30% of single faces" in text


def test_eight_labels_and_readable_are_listed(card: ModelCard) -> None:
    text = render(card)

    assert f"Labels: {', '.join(LABELS)}." in text
    assert "`emotions (N, 8)`" in text
    assert "`readable (N, 1)`" in text


def test_tables_are_whole(measured: ModelCard) -> None:
    tables = [block.split("\n") for block in render(measured).split("\n\n") if block.lstrip("#").count("|") > 2]
    for table in tables:
        rows = [line for line in table if line.startswith("|")]
        assert len({line.count("|") for line in rows}) == 1, rows


def test_cards_of_shipped_networks_render() -> None:
    from classifier.card import load_card

    models = Path(__file__).parents[3] / "classifier" / "models"
    for folder in sorted(path for path in models.iterdir() if path.is_dir()):
        assert render(load_card(folder)).startswith(f"# {load_card(folder).model_id}\n")
