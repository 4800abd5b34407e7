"""What every adapter gives and what those for signage players read from an event."""

import json
import math
from dataclasses import dataclass
from typing import Any, Self

from webhooks.events import Event, EventType

UNAVAILABLE_TTL_S = 60
"""How long players are told that there is no mood, in seconds: their own default takes over afterwards."""


@dataclass(frozen=True, slots=True)
class Body:
    """What is posted.

    Attributes:
        content: The bytes that are sent and signed.
        content_type: Their media type.
    """

    content: bytes
    content_type: str

    @classmethod
    def of_json(cls, value: Any) -> Self:
        """A value as compact JSON."""
        return cls(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), "application/json")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a signage player can be told: one enum and a time to live.

    Attributes:
        value: An expression, `mixed`, or the fallback when there is no mood to act on.
        ttl_s: Whole seconds for which it may be acted on, at least 1.
    """

    value: str
    ttl_s: int

    @classmethod
    def of(cls, event: Event, now_ms: int, fallback: str) -> Self:
        """Read a mood's event.

        Args:
            event: The event; one of a camera reads as no mood.
            now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
            fallback: What stands for no mood.
        """
        value = event.data.get("to" if event.type is EventType.MOOD_CHANGED else "dominant")
        if value is None or event.expires_at_ms is None:
            return cls(fallback, UNAVAILABLE_TTL_S)
        return cls(value, max(1, math.ceil((event.expires_at_ms - now_ms) / 1000)))
