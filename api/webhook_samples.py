"""Sample events with which owners test their endpoints."""

from dataclasses import replace

from api import examples
from webhooks.events import Event, EventType, Watch

_VALID_FOR_MS = 5_000


def sample(type_: EventType, id_: str, now_ms: int) -> Event:
    """Return an event of a type, marked as a test.

    Args:
        type_: The type.
        id_: Makes the event's id unique.
        now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
    """
    watch, position = Watch("0-0", "0-0"), f"{now_ms}-0".encode()
    mood = replace(examples.OK, as_of_ms=now_ms, window_start_ms=now_ms - 10_000, valid_until_ms=now_ms + _VALID_FOR_MS)
    updated = watch.updated(position, mood, recorded=False)
    unavailable = watch.updated(position, mood.as_stale(), recorded=False)
    assert updated and unavailable
    change = replace(examples.CHANGE, sequence=1, as_of_ms=now_ms, valid_until_ms=mood.valid_until_ms)
    row = {"since_ms": now_ms, "detail": "a test"}
    down, up = (
        next(iter(watch.cameras_seen({"north": {"state": state, **row}}, now_ms))) for state in ("down", "live")
    )
    events = (watch.changed(position, change, recorded=False), updated, unavailable, down, up)
    return next(replace(event, id=f"test-{id_}", test=True) for event in events if event.type is type_)
