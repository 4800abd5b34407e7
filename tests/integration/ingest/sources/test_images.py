"""Recorded footage in real folders of images."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from crowdmood.core.errors import SourceError
from crowdmood.core.settings import CameraSettings, IngestSettings
from ingest.sources import recorded_source
from ingest.sources.base import RecordedSource


def source(path: Path, sample_fps: float = 5, **settings_: Any) -> RecordedSource:
    settings = IngestSettings(sample_fps=sample_fps, **settings_)
    return recorded_source(CameraSettings.model_validate({"id": "north", "uri": str(path)}), settings)


def test_yields_images_in_the_order_of_their_names_at_the_sampling_rate(tmp_path: Path) -> None:
    for number, name in enumerate(["b.png", "a.jpg", "d.JPEG", "c.webp"]):
        cv2.imwrite(str(tmp_path / name), np.full((20 + number, 30, 3), 100, np.uint8))
    (tmp_path / "notes.txt").write_text("not an image")
    footage = source(tmp_path, sample_fps=3)
    footage.check()
    frames = list(footage.frames())
    assert [frame.at_ms for frame in frames] == [0, 333, 667, 1000]
    assert [frame.encode().height for frame in frames] == [21, 20, 23, 22]


@pytest.mark.parametrize("names", [[], ["notes.txt", "footage.json"]])
def test_refuses_a_folder_without_an_image(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(SourceError, match="holds no image"):
        source(tmp_path).check()


def grey(path: Path, height: int, taken: str = "") -> None:
    """Write an image that its height identifies, with an Exif time."""
    exif = Image.Exif()
    if taken:
        when, _, fraction = taken.partition(".")
        exif.get_ifd(IFD.Exif).update({Base.DateTimeOriginal: when, Base.SubsecTimeOriginal: fraction})
    Image.fromarray(np.full((height, 30), 100, np.uint8)).save(path, exif=exif)


def shown(footage: RecordedSource) -> list[tuple[int, int]]:
    return [(frame.at_ms, frame.encode().height) for frame in footage.frames()]


def test_numbers_in_names_are_ordered_by_their_value(tmp_path: Path) -> None:
    for number in (1, 2, 10, 11, 100):
        grey(tmp_path / f"frame {number}.jpg", number + 20)
    assert [height for _, height in shown(source(tmp_path))] == [21, 22, 30, 31, 120]


def test_ignores_the_dot_files_of_macos(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        grey(tmp_path / f"{number}.jpg", number + 20)
        (tmp_path / f"._{number}.jpg").write_bytes(b"\x00\x05\x16\x07")
    assert source(tmp_path).check() == 3
    assert shown(source(tmp_path)) == [(0, 21), (200, 22), (400, 23)]


def test_numbers_can_set_the_clock(tmp_path: Path) -> None:
    for number in (100, 105, 106, 125, 150):
        grey(tmp_path / f"cam2_{number:06}.png", number)
    footage = source(tmp_path, image_clock="number", image_fps=25)
    assert footage.check() == 4
    assert shown(footage) == [(0, 100), (200, 105), (1000, 125), (2000, 150)]


def test_exif_times_can_set_the_clock(tmp_path: Path) -> None:
    for name, height, taken in (
        ("a.jpg", 40, "2026:05:01 15:00:02.5"),
        ("b.jpg", 41, "2026:05:01 15:00:00"),
        ("c.jpg", 42, "2026:05:01 15:01:00"),
    ):
        grey(tmp_path / name, height, taken)
    footage = source(tmp_path, image_clock="exif")
    assert footage.check() == 3
    assert shown(footage) == [(0, 41), (2500, 40), (60_000, 42)]


@pytest.mark.parametrize(("clock", "remedy"), [("number", "rename it"), ("exif", "has no Exif time")])
def test_refuses_an_image_without_what_the_clock_needs(tmp_path: Path, clock: str, remedy: str) -> None:
    grey(tmp_path / "1.jpg", 20, "2026:05:01 15:00:00")
    grey(tmp_path / "goal.jpg", 20)
    with pytest.raises(SourceError, match=rf"goal.jpg.*{remedy}"):
        source(tmp_path, image_clock=clock).check()
