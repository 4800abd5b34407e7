"""Reports on networks: FER2013 figures agree with the card to the digit, figures of real crowds with the votes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

from classifier import DEFAULT_MODEL
from classifier.card import load_card
from crowdmood.domain.labels import FER_LABELS
from training.evaluate import write_report


@pytest.fixture(scope="module")
def report(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    write_report(DEFAULT_MODEL, assets / "data" / "fer2013.npz", out, None, assets / "crowds")
    return out


@pytest.fixture(scope="module")
def figures(report: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((report / "report.json").read_text())
    return read


def test_the_report_repeats_the_card_to_the_digit(figures: dict[str, Any]) -> None:
    card = load_card(DEFAULT_MODEL)
    assert figures["model_id"] == card.model_id
    for name in ("accuracy", "accuracy_without_duplicates", "macro_f1", "log_loss", "expected_calibration_error"):
        assert f"{figures[name]:.4f}" == f"{getattr(card.metrics, name):.4f}", name
    for size_px, accuracy in card.metrics.accuracy_at_px.items():
        if str(size_px) in figures["accuracy_against_size"]:
            assert f"{figures['accuracy_against_size'][str(size_px)]:.4f}" == f"{accuracy:.4f}"
    if card.face_check is not None:
        assert figures["face_check"] == pytest.approx(card.face_check.model_dump(), abs=5e-5)


def test_its_figures_agree_with_each_other(figures: dict[str, Any]) -> None:
    confusion = figures["confusion"]
    assert sum(map(sum, confusion)) == figures["faces"] == 3589
    assert sum(confusion[i][i] for i in range(7)) / 3589 == pytest.approx(figures["accuracy"])
    assert list(figures["per_class"]) == list(FER_LABELS)
    recall = confusion[3][3] / sum(confusion[3])
    assert figures["per_class"]["happy"]["recall"] == pytest.approx(recall)
    assert figures["duplicates"] == 280
    for changed in ("size", "blur", "brightness"):
        assert all(1 / 7 < value < 1 for value in figures[f"accuracy_against_{changed}"].values())
    assert figures["accuracy_against_size"]["12"] < figures["accuracy_against_size"]["48"] == figures["accuracy"]
    assert all(row["label"] != row["predicted"] for row in figures["worst_mistakes"])


def test_faces_seen_a_little_differently_mostly_keep_their_label(figures: dict[str, Any]) -> None:
    rates = figures["consistency"]
    assert rates["faces"] > 300
    assert all(0.5 < rates[change] <= 1 for change in ("farther", "wider", "mirrored"))
    assert rates["every_change"] <= min(rates[change] for change in ("farther", "wider", "mirrored"))


def test_the_page_shows_every_plot_and_no_face(report: Path) -> None:
    page = (report / "report.html").read_text()
    plots = sorted(path.name for path in report.glob("*.png"))
    assert {"confusion.png", "reliability.png", "accuracy_against_size.png"} <= set(plots)
    assert all(f'src="{name}"' in page for name in plots)
    assert page.count("<img") == len(plots)
    assert not list(report.glob("*.jp*g"))


def test_one_json_file_is_written_alone(assets: Path, tmp_path: Path) -> None:
    every = np.load(assets / "data" / "fer2013.npz")
    few = np.concatenate([np.flatnonzero(every["usage"] == usage)[:100] for usage in np.unique(every["usage"])])
    np.savez(tmp_path / "few.npz", **{name: every[name][few] for name in every.files})
    write_report(DEFAULT_MODEL, tmp_path / "few.npz", tmp_path / "both", None, None)
    write_report(DEFAULT_MODEL, tmp_path / "few.npz", tmp_path / "out", tmp_path / "one.json", None)
    assert not (tmp_path / "out").exists()
    assert json.loads((tmp_path / "one.json").read_text()) == json.loads((tmp_path / "both/report.json").read_text())
