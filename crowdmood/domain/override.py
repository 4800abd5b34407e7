"""Overrides: an operator decides what boards show, whatever the crowd shows. Pure, the time is given."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final, Self

from crowdmood.core import stored
from crowdmood.core.errors import UndecodableError
from crowdmood.core.settings import STADIUM
from crowdmood.domain.mood import to_rfc3339

DEFAULT: Final = "default"
"""In `Override.show`: each board shows its own default."""


@dataclass(frozen=True, slots=True)
class Override:
    """What the boards of a zone show for some time. All times are wall-clock times in milliseconds since 1970 UTC.

    Attributes:
        id: Identifies it: the zone, with the start of an override that was scheduled.
        zone: The zone; `stadium` stands for every zone and camera.
        show: `DEFAULT`, or a creative.
        from_ms: Its start.
        until_ms: Its end, exclusive.
        why: The reason, for operators.
        set_at_ms: When it was set.
        set_by: Name of the API key or the user that set it; None for a client without a key.
    """

    id: str
    zone: str
    show: str
    from_ms: int
    until_ms: int
    why: str
    set_at_ms: int
    set_by: str | None

    @classmethod
    def make(
        cls,
        *,
        zone: str,
        show: str,
        from_ms: int | None,
        until_ms: int,
        why: str,
        now_ms: int,
        set_by: str | None,
        longest_s: float,
    ) -> Self:
        """Return a new override.

        Args:
            zone: See `Override`.
            show: See `Override`.
            from_ms: Its start; None: it starts now, and replaces another of this zone that started when it was set.
            until_ms: See `Override`.
            why: See `Override`.
            now_ms: Wall-clock time.
            set_by: See `Override`.
            longest_s: Longest override, in seconds.

        Raises:
            ValueError: It ends too early or too late; the text says so.
        """
        starts_ms = now_ms if from_ms is None else from_ms
        if until_ms <= max(starts_ms, now_ms):
            raise ValueError(f"until: {to_rfc3339(until_ms)} is not after the start, or has passed")
        if until_ms - starts_ms > longest_s * 1000:
            raise ValueError(
                f"until: an override lasts {longest_s:g} s at most (CROWDMOOD_API__OVERRIDE_MAX_S), so until "
                f"{to_rfc3339(starts_ms + math.floor(longest_s * 1000))}"
            )
        id_ = zone if from_ms is None else f"{zone}@{to_rfc3339(from_ms)}"
        return cls(id_, zone, show, starts_ms, until_ms, why, now_ms, set_by)

    def in_force(self, now_ms: float) -> bool:
        """Return whether it applies at a time."""
        return self.from_ms <= now_ms < self.until_ms

    def note(self) -> dict[str, str]:
        """Return what moods and changes say about it, JSON."""
        return {"show": self.show, "from": to_rfc3339(self.from_ms), "until": to_rfc3339(self.until_ms)}

    def to_dict(self) -> dict[str, str | None]:
        """Return the public JSON object."""
        return {
            "id": self.id,
            "zone": self.zone,
            **self.note(),
            "why": self.why,
            "set_at": to_rfc3339(self.set_at_ms),
            "set_by": self.set_by,
        }

    def to_json(self) -> str:
        """Return the override as it is stored."""
        return stored.to_json(asdict(self))


class Overrides:
    """All overrides, and which one applies to a crowd.

    Args:
        overrides: Overrides, in any order.
        zones: The cameras of each zone.
    """

    def __init__(self, overrides: Iterable[Override] = (), zones: Mapping[str, Iterable[str]] | None = None) -> None:
        # The stadium before zones, then the newest: an earlier decision for a zone must not undo a stop of everything.
        self.all = sorted(overrides, key=lambda one: (one.zone != STADIUM, -one.set_at_ms))
        self._zones = {zone: frozenset(cameras) for zone, cameras in (zones or {}).items()}

    def of(self, zone: str, camera: str | None, now_ms: float) -> Override | None:
        """Return the override that applies to a crowd, or None.

        An override of the stadium applies to every zone and camera, one of a zone to the zone and its cameras.

        Args:
            zone: The crowd's zone.
            camera: The camera, for the crowd of a single camera.
            now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
        """
        return next((one for one in self._about(zone, camera) if one.in_force(now_ms)), None)

    def next_start_ms(self, zone: str, camera: str | None, now_ms: float) -> float:
        """Return when the next override of a crowd starts, infinity without one; see `of`."""
        return min((one.from_ms for one in self._about(zone, camera) if one.from_ms > now_ms), default=math.inf)

    def _about(self, zone: str, camera: str | None) -> Iterable[Override]:
        for one in self.all:
            if one.zone in (STADIUM, zone) or camera in self._zones.get(one.zone, ()):
                yield one


def read_all(raw: Mapping[bytes, bytes]) -> list[Override]:
    """Return the overrides of stored texts, by their ids; skip those that cannot be read."""
    found = []
    for id_, text in raw.items():
        try:
            found.append(stored.from_json(Override, text))
        except UndecodableError as error:
            stored.skipped("override", id_, error)
    return found
