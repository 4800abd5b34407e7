"""The web page of a report."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from app.reports import page
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import Mood, MoodChange
from tests.timelines import change, mood, seven_labels, timeline, too_few

MOODS = [mood(1), mood(2), mood(2, camera="north"), too_few(3), mood(4), mood(9)]
VOID = {"meta", "link", "img", "br"}


class Tags(HTMLParser):
    """References of a page, and the tags that are not closed."""

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
    ("a network without cheering", [seven_labels(1), seven_labels(2)], [change(1, 2)]),
    ("another network halfway", [seven_labels(1), mood(2), mood(3)], []),
]


@pytest.mark.parametrize(("moods", "changes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_page_is_well_formed_and_refers_only_to_the_data_files(moods: list[Mood], changes: list[MoodChange]) -> None:
    text = page.render(timeline(moods, changes=changes))
    tags = Tags(text)
    assert tags.open == []
    images = [reference for reference in tags.references if reference.startswith("data:image/svg+xml;base64,")]
    assert set(tags.references).difference(images) == {"timeline.csv", "timeline.json", "timeline.parquet"}
    for image in images:
        svg = base64.b64decode(image.partition(",")[2])
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert not re.search(rb'href="(?!#)', svg)
        assert len(svg) < 1_000_000


def test_page_shows_changes_footage_and_method() -> None:
    text = page.render(timeline(MOODS, changes=[change(1, 4)], lost={"unreadable": 3}))
    for part in ("60% (50% to 70%)", "00:04", "north.mp4", "3 unreadable", "pacc", "crowdnet/openvino-bf16", "haar"):
        assert part in text
    assert "This report is incomplete" not in text


def svg_of(text: str, alt: str) -> str:
    """Return the SVG chart whose alternative text begins with `alt`."""
    found = re.search(rf'src="data:image/svg\+xml;base64,([^"]+)"\s+alt="{alt}', text)
    assert found
    return base64.b64decode(found[1]).decode()


def test_page_has_a_panel_for_each_figure_and_marks_those_without_a_label() -> None:
    known, unknown = (page.render(timeline([of(1), of(2)])) for of in (mood, seven_labels))
    panels = svg_of(known, "One line with its interval")
    for title in (*LABELS, "valence (happy minus negative)", "energy (cheering and surprise)"):
        assert f">{title}<" in panels
    assert panels.count("not available from this network") == 0
    assert (
        svg_of(unknown, "One line with its interval").count("not available from this network") == 2
    )  # cheering and energy


def test_page_shows_medians_of_people_and_a_dash_for_an_unknown_share() -> None:
    text = page.render(timeline([seven_labels(1)], changes=[replace(change(1, 1), readable=None)]))
    for name, value in (("people seen (median)", "40"), ("readable (median)", "30")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    assert text.count('<td class="n">&ndash;</td>') == 2  # cheering of the minute, and readable of the change


def test_page_explains_a_low_fit_only() -> None:
    low = [replace(mood(at), fit=0.3) for at in (1, 2)]
    assert "Fit below 0.5 in 2 of 3 windows." in page.render(timeline([*low, mood(3)]))
    assert "Fit below" not in page.render(timeline([mood(1), replace(mood(2), fit=None)]))


def test_page_marks_an_incomplete_report_and_escapes_names() -> None:
    made = timeline(
        MOODS, footage="<b>&.mp4", detail="/somewhere/<b>&.mp4 breaks off after <3> frames", incomplete=True
    )
    text = page.render(made)
    assert "This report is incomplete" in text
    assert "&lt;b&gt;&amp;.mp4" in text
    assert "<b>&" not in text
    assert "after &lt;3&gt; frames" in text
    assert "/somewhere" not in text
