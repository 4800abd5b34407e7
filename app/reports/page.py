"""The timeline as one web page, which needs no server, no network and no other file."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from app.replay import LOW_FIT, LOW_FIT_NOTE, leading_label, low_fits, minutes
from app.reports import charts
from app.reports.timeline import WHOLE_STADIUM, CameraSummary, Scope, Timeline
from crowdmood import __version__
from crowdmood.domain.labels import LABELS
from crowdmood.domain.mood import MoodChange, Shares
from crowdmood.domain.palette import LABEL_COLOURS, STACKED

_TEMPLATE: Final = Path(__file__).with_name("page.html")


def write(timeline: Timeline, path: Path) -> None:
    """Write the page to a file."""
    path.write_text(render(timeline), encoding="utf-8")


def render(timeline: Timeline) -> str:
    """Return the page as HTML. The same timeline gives the same text."""
    footage = ", ".join(camera.footage for camera in timeline.cameras)
    others = [scope for scope in timeline.moods if scope != WHOLE_STADIUM]
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        footage=escape(footage),
        start=charts.clock(timeline.start_ms / 1000),
        end=charts.clock(timeline.end_ms / 1000),
        warning=("" if timeline.complete else _warning(timeline.cameras)) + _fit_note(timeline),
        figures="".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in _figures(timeline)),
        window_s=f"{timeline.window_ms / 1000:g}",
        min_faces=timeline.min_faces,
        labels=_legend((label, LABEL_COLOURS[label]) for label in reversed(STACKED)),
        states=_legend(_states(timeline)),
        overview=_data_url(charts.overview(timeline)),
        intervals=_data_url(charts.intervals(timeline)),
        changes=_changes(timeline.changes),
        minutes=_minutes(timeline),
        cameras=_cameras(timeline.cameras),
        others=_others(timeline, others) if len(others) > 1 else "",
        method="".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in _method(timeline)),
    )


def _warning(cameras: Iterable[CameraSummary]) -> str:
    details = "; ".join(escape(camera.detail) for camera in cameras if camera.detail)
    return (
        '<section class="warning"><strong>This report is incomplete.</strong> '
        "Some footage breaks off before its end, or the run was stopped. The report covers the part that was read. "
        f"{details}</section>"
    )


def _fit_note(timeline: Timeline) -> str:
    low, windows = low_fits(timeline.stadium)
    if not low:
        return ""
    return (
        f'<section class="warning"><strong>Fit below {LOW_FIT} in {low} of {windows} windows.</strong> '
        f"{LOW_FIT_NOTE}</section>"
    )


def _figures(timeline: Timeline) -> Iterable[tuple[str, str]]:
    people, readable, windows = timeline.people(), timeline.readable(), timeline.windows()
    published = windows.get("ok", 0)
    yield "duration", charts.clock((timeline.end_ms - timeline.start_ms) / 1000)
    yield "changes", str(len(timeline.changes_of(WHOLE_STADIUM)))
    yield "people seen (median)", "&ndash;" if people is None else f"{people:g}"
    yield "readable (median)", "&ndash;" if readable is None else f"{readable:g}"
    yield "windows with a mood", f"{published / max(sum(windows.values()), 1):.0%}"
    yield "faces classified", f"{sum(camera.faces for camera in timeline.cameras):,}"
    yield "frames counted", f"{sum(camera.frames for camera in timeline.cameras):,}"
    yield "frames lost", f"{sum(timeline.lost().values()):,}"


def _method(timeline: Timeline) -> Iterable[tuple[str, str]]:
    for name, field in (("shares estimated by", "method"), ("network", "model"), ("detector", "detector")):
        yield name, ", ".join(timeline.distinct(field)) or "none: no face was seen"
    yield "windows", f"{timeline.window_ms / 1000:g} s long, one every {timeline.hop_ms / 1000:g} s of match time"
    yield "shares published from", f"{timeline.min_faces} readable people"
    yield "CrowdMood", __version__


def _legend(items: Iterable[tuple[str, str]]) -> str:
    return "".join(f'<li><i style="background:{colour}"></i>{escape(name)}</li>' for name, colour in items)


def _states(timeline: Timeline) -> Iterable[tuple[str, str]]:
    seen = {period.state for camera in timeline.cameras for period in camera.periods}
    return [(state, colour) for state, colour in charts.STATE_COLOURS.items() if state in seen]


def _changes(changes: Sequence[MoodChange]) -> str:
    if not changes:
        return '<p class="faint">None: no other label led clearly for long enough.</p>'
    rows = (
        (
            str(change.sequence),
            charts.clock(change.as_of_ms / 1000),
            escape(change.zone),
            _label(change.from_label) if change.from_label else "&ndash;",
            _label(change.to_label),
            _share_of(change),
            str(change.people),
            "&ndash;" if change.readable is None else str(change.readable),
        )
        for change in changes
    )
    return _table(("#number", "#at", "zone", "from", "to", "#share (90 % interval)", "#people", "#readable"), rows)


def _share_of(change: MoodChange) -> str:
    label = change.to_label
    share, low, high = (shares.get(label) for shares in (change.shares, change.low, change.high))
    if share is None or low is None or high is None:
        return "&ndash;"
    return f"{share:.0%} ({low:.0%} to {high:.0%})"


def _minutes(timeline: Timeline) -> str:
    rows = (
        (
            str(minute + 1),
            str(count),
            _label(leading_label(means) or "too few readable people"),
            _bar(means),
            *(_percent(means.get(label), "&ndash;" if means else "") for label in LABELS),
        )
        for minute, count, means in minutes(timeline.stadium)
    )
    heads = ("#minute", "#windows", "leading", "shares", *(f"#{label}" for label in LABELS))
    return _table(heads, rows)


def _cameras(cameras: Iterable[CameraSummary]) -> str:
    rows = (
        (
            escape(camera.camera),
            escape(camera.footage),
            *(_seconds(camera, state) for state in ("live", "idle", "ended")),
            f"{camera.frames:,}",
            f"{camera.faces:,}",
            str(camera.late),
            ", ".join(f"{count} {escape(reason)}" for reason, count in camera.lost.items()) or "0",
        )
        for camera in cameras
    )
    return _table(("camera", "footage", "#live", "#idle", "#ended", "#frames", "#faces", "#late", "lost"), rows)


def _seconds(camera: CameraSummary, state: str) -> str:
    return charts.clock(camera.seconds(state))


def _others(timeline: Timeline, scopes: Iterable[Scope]) -> str:
    parts = (
        f"<details><summary>{escape(scope.name)}</summary>"
        f'<div class="wide"><img src="{_data_url(charts.stacked(timeline, scope))}" '
        f'alt="Stacked areas of {escape(scope.name)}"></div></details>'
        for scope in scopes
    )
    return f"<section><h2>Each zone and camera</h2>{''.join(parts)}</section>"


def _label(label: str) -> str:
    colour = LABEL_COLOURS.get(label)
    dot = f'<i style="background:{colour}"></i>' if colour else ""
    return f'<span class="label">{dot}{escape(label)}</span>'


def _percent(share: float | None, missing: str) -> str:
    return missing if share is None else f"{share:.0%}"


def _bar(means: Shares) -> str:
    known = ((label, share) for label in STACKED if (share := means.get(label)) is not None)
    parts = (f'<i style="width:{share:.1%};background:{LABEL_COLOURS[label]}"></i>' for label, share in known)
    return f'<span class="bar">{"".join(parts)}</span>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. Columns whose head begins with `#` hold numbers and are aligned right."""
    kinds = [' class="n"' if head.startswith("#") else "" for head in heads]
    head = "".join(f"<th{kind}>{escape(name.lstrip('#'))}</th>" for kind, name in zip(kinds, heads, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _data_url(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
