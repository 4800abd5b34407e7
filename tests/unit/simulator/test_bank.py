"""The shipped bank of faces is complete and small; a user's own faces replace it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from crowdmood.core.errors import DataError
from crowdmood.domain.labels import LABELS
from simulator.bank import SHIPPED_BANK, load_bank, write_sheet


def user_faces(folder: Path) -> Path:
    for code, label in enumerate(LABELS):
        (folder / label).mkdir(parents=True)
        cv2.imwrite(str(folder / label / "a.png"), np.full((100, 140, 3), 10 * code, np.uint8))
    return folder


def test_shipped_bank_holds_at_least_60_faces_of_each_label_in_4_megabytes() -> None:
    bank = load_bank()

    assert [faces.shape[1:] for faces in bank.faces] == [(64, 64)] * len(LABELS)
    assert min(len(faces) for faces in bank.faces) >= 60
    assert sum(file.stat().st_size for file in SHIPPED_BANK.iterdir()) <= 4_000_000


def test_shipped_bank_holds_no_face_twice_and_no_empty_face() -> None:
    faces = np.concatenate(load_bank().faces)

    assert len({face.tobytes() for face in faces}) == len(faces)
    assert faces.reshape(len(faces), -1).std(axis=1).min() > 10


def test_reads_the_faces_that_were_written_to_a_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = np.random.default_rng(0).integers(0, 255, (19, 64, 64), np.uint8)
    for label in LABELS:
        write_sheet(tmp_path / f"{label}.png", faces)
    (tmp_path / "bank.json").write_text('{"faces_per_label": 19}')
    monkeypatch.setattr("simulator.bank.SHIPPED_BANK", tmp_path)

    for read in load_bank().faces:
        assert np.array_equal(read, faces)


def test_mouths_of_cheering_faces_are_darker_and_larger_than_those_of_neutral_faces() -> None:
    bank = load_bank()
    neutral, cheering = (bank.faces[LABELS.index(label)].astype(float) for label in ("neutral", "cheering"))
    mouth = (slice(None), slice(42, 58), slice(22, 42))

    assert LABELS[7] == "cheering"
    assert len(cheering) == len(neutral)
    assert cheering[mouth].std(axis=(1, 2)).mean() > 1.4 * neutral[mouth].std(axis=(1, 2)).mean()


def test_own_faces_become_gray_squares_of_64_pixels(tmp_path: Path) -> None:
    bank = load_bank(user_faces(tmp_path))

    assert [faces.shape for faces in bank.faces] == [(1, 64, 64)] * len(LABELS)
    assert [int(faces.max()) for faces in bank.faces] == [0, 10, 20, 30, 40, 50, 60, 70]
    assert np.array_equal(bank.face(3, 0), bank.face(3, 17))  # one face serves any number of people


def without_disgust(folder: Path) -> str:
    (folder / "disgust" / "a.png").unlink()
    return "disgust: holds no images"


def without_a_folder(folder: Path) -> str:
    without_disgust(folder)
    (folder / "disgust").rmdir()
    return "disgust: cannot be read .*a folder of images for each of angry, disgust"


def with_a_broken_image(folder: Path) -> str:
    (folder / "fear" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return r"fear/b\.png: is no readable image"


def with_an_empty_image(folder: Path) -> str:
    (folder / "fear" / "b.jpg").write_bytes(b"")
    return r"fear/b\.jpg: is no readable image"


@pytest.mark.parametrize("damage", [without_disgust, without_a_folder, with_a_broken_image, with_an_empty_image])
def test_refuses_a_damaged_folder_of_faces(tmp_path: Path, damage: object) -> None:
    message = damage(user_faces(tmp_path))  # type: ignore[operator]

    with pytest.raises(DataError, match=message) as refused:
        load_bank(tmp_path)
    assert "\n" not in str(refused.value)
