"""The page of a report: figures as tables, plots as images, and no faces."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Row = Mapping[str, Any]


def write(out: Path, title: str, body: str) -> None:
    """Write `report.html` with a heading, `body`, and every plot that lies in the folder `out`."""
    plots = "".join(
        f'<img src="{name}" alt="{name.removesuffix(".png")}">' for name in sorted(p.name for p in out.glob("*.png"))
    )
    heading = html.escape(title)
    page = f'<!doctype html><meta charset="utf-8"><title>{heading}</title><h1>{heading}</h1>{body}{plots}\n'
    (out / "report.html").write_text(page, encoding="utf-8")
    print(f"{out / 'report.html'}")


def of_faces(figures: Mapping[str, Any]) -> str:
    """Return the HTML of the figures on FER2013's faces."""
    body = _table([{"figure": key, "value": value} for key, value in figures.items() if _is_plain(value)])
    body += _table([{"label": label, **scores} for label, scores in figures["per_class"].items()])
    body += "".join(
        f"<h2>{name}</h2>{_table([figures[name]])}" for name in ("consistency", "face_check") if name in figures
    )
    return body + "<h2>worst mistakes</h2>" + _table(figures["worst_mistakes"])


def of_crowd(figures: Mapping[str, Any], examples: Mapping[str, Sequence[Row]]) -> str:
    """Return the HTML of the figures on faces of crowds, with examples by file name.

    Args:
        figures: `model_id`, `data`, and the section `crowd`.
        examples: Rows of mistakes by kind.
    """
    crowd = figures["crowd"]
    sizes = {"all sizes": crowd, **{f"{name} px": part for name, part in crowd["by_size"].items()}}
    names = [name for name, value in crowd.items() if not isinstance(value, dict)]
    body = _table([{"figure": "data", "value": figures["data"]}])
    body += _table([{"figure": name, **{size: part[name] for size, part in sizes.items()}} for name in names])
    body += "<h2>recall</h2>" + _table(
        [{"label": label, **{size: part["recall"][label] for size, part in sizes.items()}} for label in crowd["recall"]]
    )
    body += "<h2>worst mistakes</h2>"
    return body + "".join(
        f"<h3>{html.escape(kind)}</h3>{_table(rows) or '<p>none</p>'}" for kind, rows in examples.items()
    )


def _is_plain(value: object) -> bool:
    return isinstance(value, int | float | str)


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(key)}</th>" for key in rows[0])
    lines = ("".join(f"<td>{_cell(value)}</td>" for value in row.values()) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else html.escape(str(value))
