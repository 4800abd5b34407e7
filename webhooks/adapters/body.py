"""The body that every adapter returns, and the reading that adapters for signage players make it from."""

import json
import math
from dataclasses import dataclass
from typing import Any, Self

from crowdmood.domain.mood import to_ms
from crowdmood.domain.override import DEFAULT
from webhooks.events import Event, EventType

UNAVAILABLE_TTL_S = 60
"""Time to live of the fallback, in seconds; afterwards players use their own default."""


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request.

    Attributes:
        content: The bytes that are signed and sent.
        content_type: Their media type.
    """

    content: bytes
    content_type: str

    @classmethod
    def of_json(cls, value: Any) -> Self:
        """Return a value as compact JSON."""
        return cls(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), "application/json")


@dataclass(frozen=True, slots=True)
class Reading:
    """A mood as signage players take it: one value and a time to live.

    Attributes:
        value: An expression, `mixed`, the creative of an override, or the fallback when there is no mood to act on.
        ttl_s: Whole seconds for which it may be acted on, at least 1.
    """

    value: str
    ttl_s: int

    @classmethod
    def of(cls, event: Event, now_ms: int, fallback: str) -> Self:
        """Return the reading of an event.

        Args:
            event: The event; an event of a camera gives the fallback.
            now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
            fallback: The value while there is no mood.
        """
        if event.overridden and (show := event.data["override"]["show"]) != DEFAULT:
            left_ms = to_ms(event.data["override"]["until"]) - now_ms
            return cls(show, math.ceil(left_ms / 1000)) if left_ms > 0 else cls(fallback, UNAVAILABLE_TTL_S)
        value = event.data.get("to" if event.type is EventType.MOOD_CHANGED else "dominant")
        if value is None or event.expires_at_ms is None:
            return cls(fallback, UNAVAILABLE_TTL_S)
        return cls(value, max(1, math.ceil((event.expires_at_ms - now_ms) / 1000)))
