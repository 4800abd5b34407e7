"""The files of a report as other programs read them, and the folder that holds them."""

import base64
import csv
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pyarrow import parquet

from app.reports import folder, page
from app.reports.timeline import Timeline
from crowdmood.core.errors import SettingsError
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, MoodChange
from tests.timelines import change, mood, seven_labels, timeline, too_few

MOODS = [mood(1), mood(2), mood(2, camera="north"), too_few(3), mood(4), mood(9)]
VOID = {"meta", "link", "img", "br"}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A report with a mood that is withheld, a gap, and a change."""
    folder.write(timeline(MOODS, changes=[change(1, 4)]), tmp_path / "report")
    return tmp_path / "report"


def test_csv_and_parquet_hold_the_same_rows(report: Path) -> None:
    with (report / "timeline.csv").open(newline="") as text:
        as_csv = list(csv.DictReader(text))
    as_parquet = parquet.read_table(report / "timeline.parquet").to_pylist()
    assert len(as_csv) == len(as_parquet) == len(MOODS)
    for one, other in zip(as_csv, as_parquet, strict=True):
        other["as_of"] = other["as_of"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert one == {name: "" if value is None else str(value) for name, value in other.items()}


def test_parquet_knows_times_numbers_and_what_it_is(report: Path) -> None:
    table = parquet.read_table(report / "timeline.parquet")
    assert table["as_of"].to_pylist()[0] == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert table["happy_low"].to_pylist() == [0.5, 0.5, None, 0.5, 0.5, 0.5]
    assert table.schema.metadata == {b"kind": b"crowdmood.timeline", b"schema": b"2"}


def test_the_same_timeline_is_the_same_bytes(report: Path, tmp_path: Path) -> None:
    folder.write(timeline(MOODS, changes=[change(1, 4)]), tmp_path / "again")
    for name in folder.WRITERS:
        assert (tmp_path / "again" / name).read_bytes() == (report / name).read_bytes(), name


class Tags(HTMLParser):
    """What a page refers to, and whether every tag that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


CASES = [
    ("nothing", [], []),
    ("one mood", [mood(1)], []),
    ("too few people throughout", [too_few(1), too_few(2)], []),
    ("a zone and a camera", [mood(1), mood(1, zone="away"), mood(1, camera="north")], [change(1, 1, zone="away")]),
    ("more moods than points", [mood(at) for at in range(1, 1500)], [change(n, n * 10) for n in range(1, 60)]),
    ("a change to a mixed mood", [mood(1), mood(2)], [change(1, 2, to="mixed")]),
    ("a network without cheering", [seven_labels(1), seven_labels(2)], [change(1, 2)]),
    ("another network halfway", [seven_labels(1), mood(2), mood(3)], []),
]


@pytest.mark.parametrize(("moods", "changes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_page_is_whole_and_needs_nothing_but_itself(moods: list[Mood], changes: list[MoodChange]) -> None:
    text = page.render(timeline(moods, changes=changes))
    tags = Tags(text)
    assert tags.open == []
    pictures = [reference for reference in tags.references if reference.startswith("data:image/svg+xml;base64,")]
    assert set(tags.references).difference(pictures) == {"timeline.csv", "timeline.json", "timeline.parquet"}
    for picture in pictures:
        svg = base64.b64decode(picture.partition(",")[2])
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert not re.search(rb'href="(?!#)', svg)
        assert len(svg) < 1_000_000


def test_the_page_tells_changes_footage_and_how_it_was_measured() -> None:
    text = page.render(timeline(MOODS, changes=[change(1, 4)], lost={"unreadable": 3}))
    for part in ("60% (50% to 70%)", "00:04", "north.mp4", "3 unreadable", "pacc", "crowdnet/openvino-bf16", "haar"):
        assert part in text
    assert "broke off" not in text


def svg_of(text: str, alt: str) -> str:
    """Return the chart whose description begins like this, as SVG."""
    found = re.search(rf'src="data:image/svg\+xml;base64,([^"]+)"\s+alt="{alt}', text)
    assert found
    return base64.b64decode(found[1]).decode()


def test_the_page_has_a_panel_for_each_label_for_valence_and_for_energy_and_says_which_are_not_known() -> None:
    known, unknown = (page.render(timeline([of(1), of(2)])) for of in (mood, seven_labels))
    panels = svg_of(known, "One line with its interval")
    for title in (*LABELS, "valence (happy less negative)", "energy (cheering and surprise)"):
        assert f">{title}<" in panels
    assert panels.count("not known by the network") == 0
    assert svg_of(unknown, "One line with its interval").count("not known by the network") == 2  # cheering and energy


def test_the_page_lists_people_seen_and_readable_and_a_dash_for_a_share_that_is_not_known() -> None:
    text = page.render(timeline([seven_labels(1)], changes=[replace(change(1, 1), readable=None)]))
    for name, value in (("people seen (median)", "40"), ("readable (median)", "30")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    assert text.count('<td class="n">&ndash;</td>') == 2  # cheering of the minute, and readable of the change


def test_the_page_explains_a_low_fit_and_is_silent_about_a_good_one() -> None:
    low = [replace(mood(at), fit=0.3) for at in (1, 2)]
    assert "Fit below 0.5 in 2 of 3 windows." in page.render(timeline([*low, mood(3)]))
    assert "Fit below" not in page.render(timeline([mood(1), replace(mood(2), fit=None)]))


def test_the_page_says_what_broke_off_and_quotes_names_as_text() -> None:
    told = timeline(
        MOODS, footage="<b>&.mp4", detail="/somewhere/<b>&.mp4 breaks off after <3> frames", incomplete=True
    )
    text = page.render(told)
    assert "broke off before its end" in text
    assert "&lt;b&gt;&amp;.mp4" in text
    assert "<b>&" not in text
    assert "after &lt;3&gt; frames" in text
    assert "/somewhere" not in text


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_an_earlier_report_is_replaced_whole(report: Path) -> None:
    folder.write(timeline([mood(1)]), report)
    assert len((report / "timeline.csv").read_text().splitlines()) == 2
    assert [path.name for path in report.parent.iterdir()] == ["report"]


def test_an_empty_folder_and_one_deep_below_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b"):
        folder.write(timeline([mood(1)]), out)
        assert {path.name for path in out.iterdir()} == folder.WRITERS.keys()


def stranger(out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("the only copy")


def strangers_timeline(out: Path) -> None:
    out.mkdir()
    (out / "timeline.json").write_text('{"kind": "something else"}')


def report_with_notes(out: Path) -> None:
    folder.write(timeline([mood(1)]), out)
    (out / "notes.txt").write_text("my notes")


def plain_file(out: Path) -> None:
    out.write_text("a file")


@pytest.mark.parametrize("there", [stranger, strangers_timeline, report_with_notes, plain_file])
def test_what_is_not_ours_is_left_alone(there: object, tmp_path: Path) -> None:
    there(tmp_path / "out")  # type: ignore[operator]
    before = files(tmp_path)
    with pytest.raises(SettingsError, match=r"out: (holds something other|is no folder)"):
        folder.check(tmp_path / "out")
    with pytest.raises(SettingsError):
        folder.write(timeline(MOODS), tmp_path / "out")
    assert files(tmp_path) == before


def test_a_folder_below_a_file_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be"):
        folder.check(tmp_path / "file" / "report")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("a bug")])
def test_what_fails_in_the_middle_leaves_things_as_they_were(
    error: BaseException, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(told: Timeline, path: Path) -> None:
        path.write_text("half")
        raise error

    before = files(report.parent)
    monkeypatch.setitem(folder.WRITERS, "timeline.json", fail)
    for out in (report, report.parent / "new"):
        with pytest.raises((SettingsError, KeyboardInterrupt, ValueError)):
            folder.write(timeline([mood(1)]), out)
    assert files(report.parent) == before
    assert [path.name for path in report.parent.iterdir()] == ["report"]
