"""Faces load from three layouts, and malformed data is named with its place."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from crowdmood.core.errors import DataError
from crowdmood.domain.labels import LABELS
from training.data import PUBLIC_TEST, TRAINING, FaceData, describe
from training.labels import soft_targets, taggers_agree, translate_votes
from training.loaders import load_faces

PIXELS = " ".join(["7"] * 2304)


def write_csv(path: Path, *rows: str, header: str = "emotion,pixels,Usage") -> Path:
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def test_the_table_of_fer2013_loads(tmp_path: Path) -> None:
    data = load_faces(write_csv(tmp_path / "f.csv", f"3,{PIXELS},Training", f"6,{PIXELS},PublicTest"))

    assert data.labels.tolist() == [3, 6]
    assert data.usage.tolist() == [TRAINING, PUBLIC_TEST]
    assert data.images.shape == (2, 48, 48)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("emotion,pixels", f"3,{PIXELS}", "lacks the column 'Usage'"),
        ("emotion,pixels,Usage", "3,1 2 3,Training", "line 2: 3 pixels where 2304 are needed"),
        ("emotion,pixels,Usage", f"7,{PIXELS},Training", "line 2: label '7' is unknown"),
        ("emotion,pixels,Usage", f"3,{PIXELS},Later", "line 2: Usage 'Later' is unknown"),
        ("emotion,pixels,Usage", f"3,{PIXELS} x,Training", "not whole numbers"),
        ("emotion,pixels,Usage", f"3,{'9' * 30} {PIXELS[2:]},Training", "line 2: pixels are not whole numbers"),
        ("emotion,pixels,Usage", "3,1,Café", "line 2: Usage 'Café' is unknown"),
        ("emotion,pixels,Usage", f"3,{PIXELS * 50},Training", "cannot be read as a table .*larger than field limit"),
    ],
)
def test_a_malformed_table_is_refused_with_its_place(tmp_path: Path, header: str, row: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_faces(write_csv(tmp_path / "f.csv", row, header=header))


def test_a_table_that_is_no_text_of_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(f"emotion,pixels,Usage\n3,{PIXELS},Café\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"cannot be read as a table .*write it as UTF-8"):
        load_faces(path)


def saved(path: Path, **changed: np.ndarray) -> bytes:
    """A good archive of two faces, or one with other arrays."""
    codes = np.array([0, 1], np.uint8)
    np.savez_compressed(
        path, **{"images": np.full((2, 48, 48), 7, np.uint8), "labels": codes, "usage": codes} | changed
    )
    return path.read_bytes()


def test_an_archive_that_was_cut_short_or_altered_anywhere_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    good = saved(path)
    assert len(load_faces(path)) == 2
    places = range(0, len(good), 3)
    refused = 0
    for damaged in [
        *(good[:at] for at in places),
        *(bytes([*good[:at], good[at] ^ 0xFF, *good[at + 1 :]]) for at in places),
    ]:
        path.write_bytes(damaged)
        try:
            load_faces(path)  # some bytes say nothing about the faces: a time, say
        except DataError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ")
            assert "\n" not in str(error)
    assert refused > 1.5 * len(places)


def test_an_array_that_calls_itself_an_archive_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.zeros((2, 48, 48), np.uint8))
    path = (tmp_path / "f.npy").rename(tmp_path / "f.npz")
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        load_faces(path)


def test_an_archive_with_a_member_that_is_no_array_lacks_it(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", b"not an array")
    with pytest.raises(DataError, match="lacks the array 'images'"):
        load_faces(path)


def test_class_folders_load_pictures_of_any_size_and_colour_as_gray(tmp_path: Path) -> None:
    for split, label in (("train", "happy"), ("test", "sad")):
        (tmp_path / split / label).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / split / label / "1.png"), np.full((100, 80, 3), 9, np.uint8))

    data = load_faces(tmp_path)

    assert [LABELS[label] for label in data.labels] == ["happy", "sad"]
    assert data.usage.tolist() == [TRAINING, PUBLIC_TEST]  # without validation, the test split is used
    assert (data.images == 9).all()


def test_a_folder_named_like_no_label_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train" / "bored").mkdir(parents=True)

    with pytest.raises(DataError, match="bored: is no label"):
        load_faces(tmp_path)


@pytest.mark.parametrize("name", ["none.csv", "none.npz", "none"])
def test_a_path_that_does_not_exist_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_faces(tmp_path / name)


def test_duplicates_across_and_within_splits_are_counted() -> None:
    one, two = np.zeros((48, 48), np.uint8), np.ones((48, 48), np.uint8)
    data = FaceData(np.stack([one, one, two, one]), np.array([0, 1, 2, 0], np.uint8), np.array([0, 0, 0, 1], np.uint8))

    report = describe(data)

    assert report.duplicates == {"PublicTest in Training": 1}
    assert report.repeated == {"Training": 1, "PublicTest": 0}
    assert report.conflicting == 1


def test_targets_blend_the_label_with_votes_and_sum_to_one() -> None:
    labels = np.tile(np.array([3, 4, 6], np.uint8), 40)
    votes = np.zeros((120, 10), np.uint8)
    votes[labels == 3, 1], votes[labels == 4, 0], votes[labels == 6, 0] = 10, 5, 10
    votes[labels == 4, 3] = 5
    targets = soft_targets(labels, votes, blend=0.5, smoothing=0.0)

    assert np.allclose(targets.sum(axis=1), 1)
    assert (targets.argmax(axis=1) == labels).all()
    assert (targets[np.arange(120), labels] < 1).all()
    assert np.allclose(soft_targets(np.array([0], np.uint8), None, 0.5, 0.1).sum(axis=1), 1)


def test_votes_are_translated_into_the_habits_of_those_who_gave_the_labels() -> None:
    # Whom FER2013 calls sad, FER+ taggers call neutral as often as sad; whom it calls neutral, nearly always neutral.
    labels = np.array([4] * 50 + [6] * 50, np.uint8)
    votes = np.zeros((100, 10), np.uint8)
    votes[:50, 0], votes[:50, 3], votes[50:, 0] = 5, 5, 10

    translated = translate_votes(votes, labels)

    assert (translated.argmax(axis=1) == labels).all()
    assert np.allclose(translated.sum(axis=1), 1)
    assert np.allclose(translated.mean(axis=0)[[4, 6]], 0.5, atol=0.02)


def test_agreed_faces_have_the_label_that_most_taggers_chose() -> None:
    votes = np.zeros((3, 10), np.uint8)
    votes[0, 3], votes[1, 3], votes[1, 0], votes[2, 4] = 10, 5, 5, 10
    assert taggers_agree(votes, np.array([4, 4, 4], np.uint8)).tolist() == [True, False, False]
