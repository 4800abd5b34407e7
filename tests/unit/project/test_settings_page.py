"""The page that lists the settings, and what the README shows of it, are as the code has them."""

from pathlib import Path

from typer.testing import CliRunner

from app.cli import app
from crowdmood.core.settings import table

ROOT = Path(__file__).parents[3]


def test_the_page_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["config", "--page"])
    assert printed.exit_code == 0
    # To mend it: crowdmood config --page > docs/settings.md
    assert (ROOT / "docs/settings.md").read_text() == printed.output


def test_a_row_has_default_bounds_and_choices() -> None:
    rows = {row.split("`")[1]: row for row in table.rows() if "`" in row}
    assert "| `32` | from 1 to 100 000 |" in rows["CROWDMOOD_BUS__MAX_BACKLOG"]
    assert "| `auto` | `auto`, `human`, `json` |" in rows["CROWDMOOD_LOG__FORMAT"]
    assert "| depends on the machine | from 1 to 256 |" in rows["CROWDMOOD_RUN__DETECTORS"]
    assert "| `false` | `true`, `false` |" in rows["CROWDMOOD_DETECTOR__ALIGN"]
    assert "|  |  |" in rows["CROWDMOOD_BUS_URL"]


def test_every_setting_of_the_readme_is_a_row_of_the_page() -> None:
    shown = (ROOT / "README.md").read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = [line for line in shown.splitlines() if line.startswith("| `CROWDMOOD_")]
    assert len(rows) >= 10
    assert [row for row in rows if row not in set(table.rows())] == []
