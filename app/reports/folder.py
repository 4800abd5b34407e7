"""The folder of a report: it appears when everything in it is complete, and takes nobody else's place."""

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
"""What a report consists of: file name to what writes it."""


def check(out: Path) -> None:
    """Make sure that a report may be written here: a new folder, an empty one, or one that holds an earlier report.

    Raises:
        SettingsError: Something else is there, or the folder cannot be written.
    """
    try:
        if out.exists() and not out.is_dir():
            raise SettingsError(f"{out}: is no folder; give another name")
        names = {path.name for path in out.iterdir()} if out.exists() else set()
        if names and not (names <= WRITERS.keys() and _is_timeline(out / "timeline.json")):
            raise SettingsError(
                f"{out}: holds something other than an earlier report; give another folder or remove it"
            )
        parent = next(folder for folder in out.absolute().parents if folder.exists())
    except OSError as error:
        raise SettingsError(f"{out}: cannot be read: {error.strerror}") from None
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise SettingsError(f"{out}: cannot be written: {parent} is no folder that may be written to")


def write(timeline: Timeline, out: Path) -> None:
    """Write a report in place of nothing or of an earlier one.

    Raises:
        SettingsError: Something else is there, or the folder cannot be written.
    """
    check(out)
    with _replaced(out) as folder:
        for name, writer in WRITERS.items():
            writer(timeline, folder / name)


@contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """A folder that takes the place of `out` at the end, and disappears when something fails."""
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
