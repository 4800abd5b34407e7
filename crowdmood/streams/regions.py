"""Regions of cameras that were drawn while a run goes on, in the state store: they replace those of the settings."""

import logging
import threading
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from crowdmood.polygons import Point, check_polygon
from crowdmood.streams.connection import Client, Connection
from crowdmood.streams.keys import StateKeys

log = logging.getLogger(__name__)

_CHANGING_MS = 12_000
"""Longer than it takes that every detector follows a change, and that the frames judged before have gone by."""


_Drawn: TypeAlias = Annotated[tuple[Point, ...], Field(min_length=3, max_length=50), AfterValidator(check_polygon)]


class Regions(BaseModel):
    """Where a camera is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    include: tuple[_Drawn, ...] = Field(
        default=(), max_length=20, description="Where faces are searched; none: everywhere. Corners [x, y], 0-1."
    )
    mask: tuple[_Drawn, ...] = Field(
        default=(), max_length=20, description="Where nobody is looked at, also where the others overlap."
    )


class SavedRegions:
    """What was saved for the cameras of one run: a replay has a run of its own, so a live camera's does not reach it.

    Unless said otherwise no call waits for a store that is away: it raises ServerUnavailableError.
    """

    def __init__(self, url: str, key_prefix: str, run_id: str, stop: threading.Event | None = None) -> None:
        self.connection = Connection(url, "state", stop)
        self._keys = StateKeys(key_prefix)
        self._run_id = run_id
        self._key = self._keys.regions(run_id)

    def save(self, camera_id: str, regions: Regions) -> None:
        """Look at a camera there and nowhere else, from now on."""
        text = regions.model_dump_json()
        self._change(camera_id, lambda multi: multi.hset(self._key, camera_id, text))

    def forget(self, camera_id: str) -> None:
        """Look at a camera where the settings say."""
        self._change(camera_id, lambda multi: multi.hdel(self._key, camera_id))

    def changing(self, camera_id: str) -> bool:
        """Whether a frame that was judged some seconds ago may have been looked at as before the last change."""
        key = self._keys.regions_changed(self._run_id, camera_id)
        return bool(self.connection.call(lambda client: client.exists(key), patient=False))

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

    def _change(self, camera_id: str, write: Callable[[Client], object]) -> None:
        def transaction(client: Client) -> None:
            with client.pipeline(transaction=True) as multi:
                write(multi)
                multi.set(self._keys.regions_changed(self._run_id, camera_id), b"", px=_CHANGING_MS)
                multi.execute()

        self.connection.call(transaction, patient=False)
