"""The folder of a report. It appears when it is complete, and it replaces nothing but an earlier report."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.reports import data, page
from app.reports.timeline import Timeline
from crowdmood.core.errors import SettingsError

WRITERS: Final[dict[str, Callable[[Timeline, Path], None]]] = {
    "index.html": page.write,
    "timeline.csv": data.write_csv,
    "timeline.json": data.write_json,
    "timeline.parquet": data.write_parquet,
}
"""Files of a report, with the functions that write them."""


def check(out: Path) -> None:
    """Check that a report may be written here: the folder is new or empty, or holds an earlier report.

    Raises:
        SettingsError: The folder holds something else, or it cannot be written.
    """
    try:
        if out.exists() and not out.is_dir():
            raise SettingsError(f"{out}: is not a folder; give another name")
        names = {path.name for path in out.iterdir()} if out.exists() else set()
        if names and not (names <= WRITERS.keys() and _is_timeline(out / "timeline.json")):
            raise SettingsError(
                f"{out}: holds something other than an earlier report; give another folder, or remove it"
            )
        parent = next(folder for folder in out.absolute().parents if folder.exists())
    except OSError as error:
        raise SettingsError(f"{out}: cannot be read: {error.strerror}") from None
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise SettingsError(f"{out}: cannot be written: {parent} is not a writable folder")


def write(timeline: Timeline, out: Path) -> None:
    """Write a report into a new or empty folder, or replace an earlier report.

    Raises:
        SettingsError: The folder holds something else, or it cannot be written.
    """
    check(out)
    with _replaced(out) as folder:
        for name, writer in WRITERS.items():
            writer(timeline, folder / name)


@contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `out` at the end, and that is removed when something fails."""
    target = out.resolve()
    partial = target.parent / f".{target.name}.partial-{os.getpid()}"
    earlier = partial.with_suffix(".earlier")
    try:
        partial.mkdir(parents=True)
        yield partial
        if target.exists():
            target.rename(earlier)
        partial.rename(target)
    except OSError as error:
        raise SettingsError(f"{out}: cannot be written: {error.strerror or error}") from None
    finally:
        if earlier.exists() and not target.exists():
            earlier.rename(target)
        shutil.rmtree(earlier, ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)


def _is_timeline(path: Path) -> bool:
    try:
        given = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(given, dict) and given.get("kind") == data.KIND
