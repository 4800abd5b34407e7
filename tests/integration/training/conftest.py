"""Small sets of real faces, of every kind that a training takes."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@pytest.fixture(scope="session")
def few(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz of the first 96 Training and 64 PublicTest faces of FER2013."""
    every = np.load(assets / "data" / "fer2013.npz")
    rows = np.concatenate([np.flatnonzero(every["usage"] == usage)[:count] for usage, count in ((0, 96), (1, 64))])
    file = tmp_path_factory.mktemp("few") / "few.npz"
    np.savez(file, **{name: every[name][rows] for name in every.files})
    return file


@pytest.fixture(scope="session")
def few_crowds(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first six of the crowd photos, two of them held back."""
    folder = tmp_path_factory.mktemp("crowds")
    labelled = json.loads((assets / "crowds" / "boxes.json").read_text())
    (folder / "boxes.json").write_text(json.dumps({name: labelled[name] for name in sorted(labelled)[:6]}))
    (folder / "images").symlink_to(assets / "crowds" / "images")
    return folder


@pytest.fixture(scope="session")
def few_crowd_faces(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled faces of real crowds: every 60th of the split `train`, every 12th of `validation`."""
    folder = tmp_path_factory.mktemp("crowd-faces")
    header, *rows = (assets / "crowd_faces" / "faces.csv").read_text().splitlines()
    train = [row for row in rows if ",train," in row]
    validation = [row for row in rows if ",validation," in row]
    (folder / "faces.csv").write_text("\n".join([header, *train[::60], *validation[::12]]) + "\n")
    (folder / "images").symlink_to(assets / "crowd_faces" / "images")
    return folder
