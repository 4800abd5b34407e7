"""Records of decisions are short, of one form, and found from the index."""

import re
from pathlib import Path

import pytest

from docs import pages

FOLDER = pages.ROOT / "docs/decisions"
RECORDS = sorted(FOLDER.glob("*.md"))
SCREEN = 45
"""Lines that a screen shows."""


def test_records_are_numbered_without_gaps_and_there_are_the_ten_that_newcomers_question() -> None:
    assert [int(record.name[:2]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))
    assert len(RECORDS) >= 10


def test_the_index_lists_every_record_by_its_title() -> None:
    listed = re.findall(
        r"^(\d+)\. \[(.+)\]\(decisions/(.+)\)$", (pages.ROOT / "docs/README.md").read_text(), re.MULTILINE
    )
    titles = [re.fullmatch(r"# (\d+)\. (.+)", record.read_text().splitlines()[0]) for record in RECORDS]
    assert listed == [(*title.groups(), record.name) for title, record in zip(titles, RECORDS, strict=True) if title]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_has_context_decision_and_consequences_on_one_screen(record: Path) -> None:
    text = record.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert all(part.strip() for part in re.split(r"^#.*$", text, flags=re.MULTILINE)[2:])
    assert len(text.splitlines()) <= SCREEN


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_names_only_settings_that_there_are(record: Path) -> None:
    settings = (pages.ROOT / "docs/settings.md").read_text()
    named = set(re.findall(r"CROWDMOOD_\w+", record.read_text()))
    assert {name for name in named if f"`{name}`" not in settings} == set()
