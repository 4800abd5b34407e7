"""Recorded footage in real folders of images."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from crowdmood.core.errors import SourceError
from crowdmood.core.settings import CameraSettings, IngestSettings
from ingest.sources import recorded_source
from ingest.sources.base import RecordedSource


def source(path: Path, sample_fps: float = 5) -> RecordedSource:
    settings = IngestSettings(sample_fps=sample_fps)
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
