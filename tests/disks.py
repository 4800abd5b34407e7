"""Disks on which a server cannot write its file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.waiting import eventually


@contextmanager
def unable_to_save(client: Any) -> Iterator[None]:
    """Let a real server refuse writes as with a full disk: a folder has the name of the file that it saves."""
    folder = Path(client.config_get("dir")["dir"]) / client.config_get("dbfilename")["dbfilename"]
    folder.mkdir()
    client.config_set("save", "3600 1")
    _save(client)
    try:
        yield
    finally:
        folder.rmdir()
        _save(client)
        client.config_set("save", "")


def _save(client: Any) -> None:
    client.bgsave()
    eventually(lambda: not client.info("persistence")["rdb_bgsave_in_progress"])
