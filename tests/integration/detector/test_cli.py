"""The commands `crowdmood models pull`, `preview` and `evaluate-detector`."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from app.cli import app
from crowdmood.core.errors import CrowdMoodError, SettingsError, SourceError
from crowdmood.core.settings import load
from detector.finder import FaceFinder, load_finder
from detector.preview import preview
from detector.regions import Region


def crowdmood(*words: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, CrowdMoodError):
        raise result.exception
    return result


@pytest.fixture
def camera(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Configure a camera `north` with one photograph whose upper third is masked, and return the photograph."""
    folder = tmp_path / "north"
    folder.mkdir()
    labels = json.loads((assets / "crowds" / "boxes.json").read_text())
    name = sorted(labels)[3]
    photo = folder / "one.jpg"
    photo.write_bytes((assets / "crowds" / "images" / name).read_bytes())
    (tmp_path / "crowdmood.toml").write_text(
        f'[[cameras]]\nid = "north"\nuri = "{folder}"\nmask = [[[0, 0], [1, 0], [1, 0.33], [0, 0.33]]]\n'
    )
    monkeypatch.chdir(tmp_path)
    return photo


def test_preview_shows_the_frame_and_its_regions_without_faces(camera: Path, tmp_path: Path) -> None:
    out = tmp_path / "preview.png"
    assert crowdmood("preview", "north", "--out", out).exit_code == 0
    drawn, photo = cv2.imread(str(out)), cv2.imread(str(camera))
    assert drawn.shape == photo.shape
    height, width = photo.shape[:2]
    masked = slice(20, height // 4), slice(width // 2, width - 20)  # away from its border and the label

    def colours(image: np.ndarray) -> int:
        return len(np.unique(image[masked].reshape(-1, 3), axis=0))

    assert colours(drawn) < colours(photo) / 10
    assert drawn[masked].mean() < photo[masked].mean() * 0.6
    assert ((drawn == (60, 60, 220)).all(axis=2)).any()  # the mask's border


def test_preview_pixelates_faces_unless_show_faces_is_set(camera: Path, tmp_path: Path) -> None:
    settings = load()
    finder = load_finder(settings)
    found = finder.find(camera.read_bytes(), Region())
    assert len(found.boxes) > 0
    left, top, right, bottom = found.boxes[np.argmax(found.boxes[:, 2] - found.boxes[:, 0])].tolist()

    def details(*, show_faces: bool) -> float:
        png = preview(camera.read_bytes(), finder, Region(), 50, show_faces=show_faces)
        drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
        third = (right - left) // 3
        return float(np.unique(drawn[top + third : bottom - third, left + third : right - third]).size)

    assert details(show_faces=False) <= 25  # a few flat blocks
    assert details(show_faces=True) > 40


def test_a_preview_hides_faces_that_were_not_found(camera: Path) -> None:
    class Blind:
        """A detector that misses every face."""

        name = "haar"
        colour = "gray"

        def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.empty((0, 4), np.int32), np.empty(0, np.float32)

        def searched_pixels(self, width: int, height: int) -> int:
            return width * height

    finder = FaceFinder(Blind(), 50, 5000)
    png = preview(camera.read_bytes(), finder, Region(), 50, show_faces=False)
    drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    blocks = drawn[drawn.shape[0] // 4 :]  # below the text
    assert (np.diff(blocks.astype(int), axis=1) != 0).any(axis=0).sum() <= 12 * drawn.shape[1] / min(drawn.shape)


def test_preview_refuses_an_unknown_camera_and_names_the_known_ones(camera: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no camera 'south': north"):
        crowdmood("preview", "south", "--out", tmp_path / "a.png")


def test_preview_refuses_a_time_after_the_end_of_the_footage(camera: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="ends before 9 s"):
        crowdmood("preview", "north", "--out", tmp_path / "a.png", "--at", "9")


@pytest.mark.parametrize(
    ("words", "least_recall"),
    [
        (("--detector", "haar", "--min-face-px", "24"), 0.05),
        (("--detector", "yunet", "--precision", "f32"), 0.5),
        (("--detector", "hobby-haar"), 0.02),
        (("--detector", "opencv-yunet"), 0.5),
    ],
)
def test_evaluate_detector_writes_a_table_json_and_a_chart(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], least_recall: float
) -> None:
    model = assets / "models" / "face_detection_yunet_2023mar.onnx"
    monkeypatch.setenv("CROWDMOOD_DETECTOR__YUNET_MODEL", str(model))
    figures, chart = tmp_path / "figures.json", tmp_path / "curve.png"
    result = crowdmood(
        "evaluate-detector", assets / "crowds", *words, "--pictures", "2", "--json", figures, "--picture", chart
    )
    assert result.exit_code == 0
    assert "20-40 px" in result.stdout
    written = json.loads(figures.read_text())
    assert written["pictures"] == 2
    assert written["cpu_ms_per_megapixel"] > 0
    assert set(written["by_height"]) == {"12-20 px", "20-40 px", "40+ px", "12+ px", "20+ px"}
    every = written["by_height"]["20+ px"]
    assert every["recall"] >= least_recall
    recalls = [point["recall"] for point in every["curve"]]
    assert recalls == sorted(recalls)
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_models_pull_reports_an_unreachable_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROWDMOOD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CROWDMOOD_DETECTOR__YUNET_URL", "http://127.0.0.1:1/model")
    with pytest.raises(CrowdMoodError, match="cannot be downloaded"):
        crowdmood("models", "pull", "yunet")
    assert list((tmp_path / "data" / "models").iterdir()) == []


def test_an_optional_model_that_cannot_be_downloaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CROWDMOOD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CROWDMOOD_DETECTOR__YUNET_URL", "http://127.0.0.1:1/model")
    result = crowdmood("models", "pull", "yunet", "--optional")
    assert result.exit_code == 0
    printed = result.stdout
    assert printed.startswith("Going on with the Haar cascade") and printed.count("\n") == 1
    assert "cannot be downloaded" in printed and "run the command again" in printed
