"""Regions of cameras that were drawn during a run, in the state store: they narrow those of the settings."""

import hashlib
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import redis
from pydantic import BaseModel, ConfigDict, Field

from crowdmood.bus.connection import Client, Connection
from crowdmood.core import stored
from crowdmood.core.errors import UndecodableError
from crowdmood.core.polygons import Polygon
from crowdmood.store import audit
from crowdmood.store.audit import Actor
from crowdmood.store.keys import StateKeys


class Regions(BaseModel):
    """The regions of a camera's frames in which faces are searched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    include: tuple[Polygon, ...] = Field(
        default=(), description="Where faces are searched; none: everywhere. Corners are shares of width and height."
    )
    mask: tuple[Polygon, ...] = Field(
        default=(), description="Where no faces are searched, also where the other regions overlap."
    )


class Saved(NamedTuple):
    """The saved regions of a camera.

    Attributes:
        regions: The regions; None when none were saved, or when they cannot be read.
        version: Identifies these regions; it differs whenever their text differs.
    """

    regions: Regions | None
    version: str


class SavedRegions:
    """The saved regions of one run's cameras: a replay has its own run, so a live camera's do not apply to it.

    While the store is unreachable, calls raise ServerUnavailableError at once unless they take `patient`. Changes are
    recorded in the audit log; without `who`, the operating system's user makes them.
    """

    def __init__(self, url: str, key_prefix: str, run_id: str, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "state", stop)
        self._keys = StateKeys(key_prefix)
        self._key = self._keys.regions(run_id)

    def find(self, camera_id: str) -> Saved:
        """Return the saved regions of a camera and their version."""
        text: Any = self.connection.call(lambda client: client.hget(self._key, camera_id), patient=False)
        return Saved(None if text is None else _read(camera_id, text), _version(text))

    def save(
        self,
        camera_id: str,
        regions: Regions,
        expected: Callable[[str], bool] | None = None,
        who: Actor | None = None,
    ) -> str | None:
        """Narrow a camera's regions to these, from now on.

        Args:
            camera_id: The camera.
            regions: The new regions, which replace the saved ones.
            expected: Returns whether the version to replace is the one that the caller knows; None accepts any.
            who: Who saves them.

        Returns:
            The new version; None when the saved version is not the expected one, and nothing was saved.
        """
        text = stored.to_json(regions.model_dump(mode="json")).encode()
        return _version(text) if self._replace(camera_id, text, expected, who) else None

    def forget(self, camera_id: str, expected: Callable[[str], bool] | None = None, who: Actor | None = None) -> bool:
        """Delete a camera's saved regions; return False when the saved version is not the expected one."""
        return self._replace(camera_id, None, expected, who)

    def all(self, *, patient: bool = False) -> dict[str, Regions]:
        """Return the saved regions by camera; skip those that cannot be read.

        Args:
            patient: Whether to wait while the store is unreachable.
        """
        raw: Any = self.connection.call(lambda client: client.hgetall(self._key), patient=patient)
        read = ((name.decode(errors="replace"), text) for name, text in raw.items())
        return {name: regions for name, text in read if (regions := _read(name, text)) is not None}

    def close(self) -> None:
        """Close the sockets."""
        self.connection.close()

    def _replace(
        self, camera_id: str, new: bytes | None, expected: Callable[[str], bool] | None, who: Actor | None
    ) -> bool:
        def transaction(client: Client) -> bool:
            with client.pipeline(transaction=True) as multi:
                while True:
                    multi.watch(self._key)
                    text: Any = multi.hget(self._key, camera_id)
                    if expected is not None and not expected(_version(text)):
                        return False
                    if new is None and text is None:
                        return True
                    multi.multi()
                    if new is None:
                        multi.hdel(self._key, camera_id)
                    else:
                        multi.hset(self._key, camera_id, new)
                    action: audit.Action = "regions.deleted" if new is None else "regions.saved"
                    before, after = audit.shown(text), audit.shown(new)
                    audit.append(multi, self._keys, who, action, camera_id, before=before, after=after)
                    try:
                        multi.execute()
                    except redis.WatchError:
                        continue
                    return True

        return self.connection.call(transaction, patient=False)


def _read(camera_id: str, text: bytes) -> Regions | None:
    try:
        given = stored.parse(text)
        return stored.build(Regions, {name: given[name] for name in Regions.model_fields if name in given})
    except UndecodableError as error:
        stored.skipped("regions", camera_id, error)
        return None


def _version(text: bytes | None) -> str:
    return hashlib.blake2b(text or b"", digest_size=12).hexdigest()
