"""From the state store's entries to deliveries: makes the events and selects the endpoints of each."""

from collections.abc import Iterable, Sequence

from crowdmood.domain.mood import Mood, MoodChange
from crowdmood.domain.override import Override, Overrides
from crowdmood.store.moods import CameraTable
from crowdmood.store.positions import Position
from webhooks.deliveries import Delivery
from webhooks.endpoints import Endpoint
from webhooks.events import NO_MOOD, Event, EventType, Watch


def events_of(
    watch: Watch,
    published: Sequence[tuple[Position, Mood | MoodChange | None]],
    table: CameraTable,
    now_ms: int,
    stale_after_s: float,
    overrides: Iterable[Override] = (),
) -> list[Event]:
    """Return the new events in order, and advance the watch.

    Args:
        watch: How far the state store was read.
        published: Moods and changes since then, each with the position after it.
        table: The current state of each camera.
        now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
        stale_after_s: Age in seconds from which a mood is stale.
        overrides: The overrides.
    """
    # The settings of a dispatcher need not name the cameras of zones: the zones' moods do.
    read = [item for _, item in published if isinstance(item, Mood)]
    zones = {mood.zone: mood.cameras for mood in (*watch.newest.values(), *read) if mood.camera is None}
    applying = Overrides(overrides, zones)
    events = list(watch.overrides_seen(applying, now_ms))
    for position, item in published:
        camera = item.camera if isinstance(item, Mood) else None
        withheld = item is not None and (item.override or applying.of(item.zone, camera, now_ms)) is not None
        if isinstance(item, Mood):
            recorded = _recorded(item.cameras, table)
            event = watch.updated(position.moods, item, recorded=recorded, overridden=withheld)
            events += [event] if event else []
        elif isinstance(item, MoodChange) and not withheld:
            crowd = watch.newest.get(f"{item.zone}/")
            cameras = crowd.cameras if crowd else table
            events.append(watch.changed(position.changes, item, recorded=_recorded(cameras, table)))
        watch.moods, watch.changes = position.moods.decode(), position.changes.decode()
    events += watch.overrides_seen(applying, now_ms)  # of crowds that were new
    events += watch.grown_stale(now_ms, stale_after_s)
    events += watch.cameras_seen(table, now_ms)
    return events


def wanted(
    watch: Watch, events: Iterable[Event], endpoints: Sequence[Endpoint], now_ms: int
) -> list[tuple[Endpoint, Event]]:
    """Return which endpoint receives which event, and record in the watch when each received a mood.

    Args:
        watch: When each endpoint received its last mood.
        events: The new events, in order.
        endpoints: The endpoints that are enabled.
        now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
    """
    ids = {endpoint.id for endpoint in endpoints}
    watch.told = {key: at_ms for key, at_ms in watch.told.items() if key.partition("/")[0] in ids}
    return [
        (endpoint, event) for event in events for endpoint in endpoints if _receives(watch, event, endpoint, now_ms)
    ]


def deliveries_of(
    wanted: Sequence[tuple[Endpoint, Event]], sequences: Iterable[int], now_ms: int
) -> dict[str, list[Delivery]]:
    """Return the deliveries by endpoint, in the order of the events."""
    made: dict[str, list[Delivery]] = {}
    for (endpoint, event), sequence in zip(wanted, sequences, strict=True):
        made.setdefault(endpoint.id, []).append(Delivery.of(event, endpoint.id, sequence, now_ms))
    return made


def _receives(watch: Watch, event: Event, endpoint: Endpoint, now_ms: int) -> bool:
    """Return whether an endpoint receives an event; record in the watch when it does.

    It receives a mood.updated only after its minimum interval and before the mood expires. After a mood.unavailable it
    receives the next mood.updated at once, also without a subscription to that type: otherwise it would use its default
    until the next change.
    """
    key = f"{endpoint.id}/{event.zone}/{event.camera or ''}"
    if not endpoint.wants(event, has_none=watch.told.get(key) == NO_MOOD):
        return False
    if event.type is EventType.MOOD_UNAVAILABLE:
        watch.told[key] = NO_MOOD
    if event.type is not EventType.MOOD_UPDATED:
        return True
    if event.expires_at_ms is not None and event.expires_at_ms <= now_ms:
        return False
    if event.at_ms - watch.told.get(key, NO_MOOD) < endpoint.min_interval_s * 1000:
        return False
    watch.told[key] = event.at_ms
    return True


def _recorded(cameras: Iterable[str], table: CameraTable) -> bool:
    """Return whether all of these cameras are recorded footage, whose event time is not the wall clock's."""
    rows = [table[camera] for camera in cameras if camera in table]
    return bool(rows) and all(row.get("recorded") for row in rows)
