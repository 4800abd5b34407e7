"""Regions of cameras that were drawn while a run goes on, in the state store: they replace those of the settings."""

import logging
import threading
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crowdmood.bus.connection import Connection
from crowdmood.core.polygons import Polygon
from crowdmood.store.keys import StateKeys

log = logging.getLogger(__name__)


class Regions(BaseModel):
    """Where a camera is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    include: tuple[Polygon, ...] = Field(
        default=(), description="Where faces are searched; none: everywhere. Corners are shares of width and height."
    )
    mask: tuple[Polygon, ...] = Field(
        default=(), description="Where nobody is looked at, also where the others overlap."
    )


class SavedRegions:
    """What was saved for the cameras of one run: a replay has a run of its own, so a live camera's does not reach it.

    Unless said otherwise no call waits for a store that is away: it raises ServerUnavailableError.
    """

    def __init__(self, url: str, key_prefix: str, run_id: str, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "state", stop)
        self._key = StateKeys(key_prefix).regions(run_id)

    def save(self, camera_id: str, regions: Regions) -> None:
        """Look at a camera there and nowhere else, from now on."""
        text = regions.model_dump_json()
        self.connection.call(lambda client: client.hset(self._key, camera_id, text), patient=False)

    def forget(self, camera_id: str) -> None:
        """Look at a camera where the settings say."""
        self.connection.call(lambda client: client.hdel(self._key, camera_id), patient=False)

    def all(self, *, patient: bool = False) -> dict[str, Regions]:
        """What was saved, by camera; what cannot be read is passed over.

        Args:
            patient: Whether to wait for a store that is away.
        """
        raw: Any = self.connection.call(lambda client: client.hgetall(self._key), patient=patient)
        found = {}
        for camera_id, text in raw.items():
            try:
                found[camera_id.decode()] = Regions.model_validate_json(text)
            except ValidationError as error:
                log.warning("passed over the regions of camera %s: %s", camera_id.decode(errors="replace"), error)
        return found

    def close(self) -> None:
        """Give the sockets back."""
        self.connection.close()
