"""The folder of a report, and its data files as other programs read them."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyarrow import parquet

from app.reports import folder
from app.reports.timeline import Timeline
from crowdmood.core.errors import SettingsError
from tests.timelines import change, mood, timeline, too_few

MOODS = [mood(1), mood(2), mood(2, camera="north"), too_few(3), mood(4), mood(9)]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A report with a withheld mood, a gap and a change."""
    folder.write(timeline(MOODS, changes=[change(1, 4)]), tmp_path / "report")
    return tmp_path / "report"


def test_csv_and_parquet_have_the_same_rows(report: Path) -> None:
    with (report / "timeline.csv").open(newline="") as text:
        as_csv = list(csv.DictReader(text))
    as_parquet = parquet.read_table(report / "timeline.parquet").to_pylist()
    assert len(as_csv) == len(as_parquet) == len(MOODS)
    for one, other in zip(as_csv, as_parquet, strict=True):
        other["as_of"] = other["as_of"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert one == {name: "" if value is None else str(value) for name, value in other.items()}


def test_parquet_has_types_and_metadata(report: Path) -> None:
    table = parquet.read_table(report / "timeline.parquet")
    assert table["as_of"].to_pylist()[0] == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert table["happy_low"].to_pylist() == [0.5, 0.5, None, 0.5, 0.5, 0.5]
    assert table.schema.metadata == {b"kind": b"crowdmood.timeline", b"schema": b"2"}


def test_the_same_timeline_gives_the_same_bytes(report: Path, tmp_path: Path) -> None:
    folder.write(timeline(MOODS, changes=[change(1, 4)]), tmp_path / "again")
    for name in folder.WRITERS:
        assert (tmp_path / "again" / name).read_bytes() == (report / name).read_bytes(), name


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_replaces_an_earlier_report_completely(report: Path) -> None:
    folder.write(timeline([mood(1)]), report)
    assert len((report / "timeline.csv").read_text().splitlines()) == 2
    assert [path.name for path in report.parent.iterdir()] == ["report"]


def test_writes_into_an_empty_folder_and_creates_parents(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b"):
        folder.write(timeline([mood(1)]), out)
        assert {path.name for path in out.iterdir()} == folder.WRITERS.keys()


def other_file(out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("the only copy")


def other_timeline(out: Path) -> None:
    out.mkdir()
    (out / "timeline.json").write_text('{"kind": "something else"}')


def report_with_notes(out: Path) -> None:
    folder.write(timeline([mood(1)]), out)
    (out / "notes.txt").write_text("my notes")


def plain_file(out: Path) -> None:
    out.write_text("a file")


@pytest.mark.parametrize("there", [other_file, other_timeline, report_with_notes, plain_file])
def test_refuses_to_replace_anything_but_a_report(there: object, tmp_path: Path) -> None:
    there(tmp_path / "out")  # type: ignore[operator]
    before = files(tmp_path)
    with pytest.raises(SettingsError, match=r"out: (holds something other|is not a folder)"):
        folder.check(tmp_path / "out")
    with pytest.raises(SettingsError):
        folder.write(timeline(MOODS), tmp_path / "out")
    assert files(tmp_path) == before


def test_refuses_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be"):
        folder.check(tmp_path / "file" / "report")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("a bug")])
def test_changes_nothing_when_writing_fails(
    error: BaseException, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(made: Timeline, path: Path) -> None:
        path.write_text("half")
        raise error

    before = files(report.parent)
    monkeypatch.setitem(folder.WRITERS, "timeline.json", fail)
    for out in (report, report.parent / "new"):
        with pytest.raises((SettingsError, KeyboardInterrupt, ValueError)):
            folder.write(timeline([mood(1)]), out)
    assert files(report.parent) == before
    assert [path.name for path in report.parent.iterdir()] == ["report"]
