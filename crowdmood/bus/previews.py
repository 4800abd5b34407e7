"""Observe one frame of a camera and its result on the bus, without consuming anything."""

import time
from typing import Any

import redis

from crowdmood.bus.connection import Client
from crowdmood.bus.streams import Bus
from crowdmood.core.errors import ServerUnavailableError, SettingsError, UnansweredError, UndecodableError
from crowdmood.core.settings import BusSettings
from crowdmood.domain.messages import Emotions, Frame

_TURN_MS = 1000
"""Longest wait in one partition before the next one is searched."""
_WAITING_SEARCHED = 8
"""Number of frames waiting for a detector that are searched; frames are large."""


class Previews:
    """The bus as the API uses it for previews; synchronous, and safe to use from several threads.

    Args:
        url: The bus's URL.
        settings: Settings of the bus.
    """

    def __init__(self, url: str, settings: BusSettings) -> None:
        numbers = range(settings.partitions)
        self._buses = [Bus(url, settings.model_copy(update={"partition": number})) for number in numbers]

    def next_frame(self, camera_id: str, within_s: float) -> tuple[Frame, Emotions]:
        """Return the next frame of a camera and its faces.

        Args:
            camera_id: The camera.
            within_s: Longest wait for both, in seconds.

        Raises:
            UnansweredError: No frame arrived, it was not classified in time, or this user may not read frames.
        """
        deadline = time.monotonic() + within_s
        try:
            while time.monotonic() < deadline:
                for bus in self._buses:
                    found = _next_frame(bus, camera_id, min(time.monotonic() + _TURN_MS / 1000, deadline))
                    if found is not None:
                        return found[1], _emotions_of(bus, *found, deadline)
        except SettingsError:
            raise UnansweredError(
                "the API may not read frames on the bus: give its user the streams `frames` and `emotions` as well"
            ) from None
        except (ServerUnavailableError, redis.RedisError):
            raise UnansweredError("the bus is unreachable") from None
        raise UnansweredError(f"no frame of {camera_id} arrived within {within_s:g} s")

    def close(self) -> None:
        """Close the sockets."""
        for bus in self._buses:
            bus.close()


def _next_frame(bus: Bus, camera_id: str, deadline: float) -> tuple[bytes, Frame] | None:
    """Return the entry id and the frame: a frame that waits for a detector, else the next that is published."""

    def waiting(client: Client) -> Any:
        return client.xrange(bus.keys.stream("frames"), "-", "+", count=_WAITING_SEARCHED)

    for entry_id, fields in bus.connection.call(waiting, patient=False):
        if fields.get(b"camera_id") == camera_id.encode():
            return entry_id, Frame.from_fields(fields)
    after: Any = "$"
    while (left_ms := round((deadline - time.monotonic()) * 1000)) > 0:
        for entry_id, fields in _read(bus, bus.keys.stream("frames"), after, left_ms):
            after = entry_id
            if fields.get(b"camera_id") == camera_id.encode():
                return entry_id, Frame.from_fields(fields)
    return None


def _emotions_of(bus: Bus, entry_id: bytes, frame: Frame, deadline: float) -> Emotions:
    # Entry ids are the server's time in milliseconds, so the result is not older than its frame.
    after: Any = b"%d-0" % (int(entry_id.partition(b"-")[0]) - 1)
    while (left_ms := round((deadline - time.monotonic()) * 1000)) > 0:
        for position, fields in _read(bus, bus.keys.stream("emotions"), after, left_ms):
            after = position
            if fields.get(b"camera_id") != frame.ref.camera_id.encode():
                continue
            try:
                emotions = Emotions.from_fields(fields)
            except UndecodableError:
                continue
            if emotions.ref == frame.ref:
                return emotions
    raise UnansweredError(f"a frame of {frame.ref.camera_id} arrived and was not classified in time")


def _read(bus: Bus, key: str, after: Any, block_ms: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
    def operation(client: Client) -> Any:
        return client.xread({key: after}, count=16, block=min(block_ms, _TURN_MS))

    pages: Any = dict(bus.connection.call(operation, patient=False) or ())
    found: list[tuple[bytes, dict[bytes, bytes]]] = pages.get(key.encode(), [])
    return found
