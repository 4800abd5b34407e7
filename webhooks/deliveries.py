"""Deliveries: one event for one endpoint each, their retries and their order. Pure, the time is given."""

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from webhooks.events import Event, EventType

RETRY_AFTER_S = (5.0, 30.0, 120.0, 600.0, 3600.0)
"""Pauses after failures of deliveries that do not expire, in seconds; the last one repeats."""
GIVE_UP_AFTER_S = 24 * 3600.0
FIRST_PERISHABLE_PAUSE_S = 0.5
ATTEMPTS_KEPT = 20
_LONGEST_PERISHABLE_PAUSE_S = 8.0


class Status(StrEnum):
    """The status of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send a delivery.

    Attributes:
        at_ms: Its start, in milliseconds since 1970-01-01 UTC.
        duration_ms: Its duration, in milliseconds.
        status_code: Status code of the response; None without a response.
        error: Why it failed; None when it succeeded.
        retry_after_s: Seconds that the receiver asked us to wait; None when it did not ask.
    """

    at_ms: int
    duration_ms: int
    status_code: int | None
    error: str | None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one endpoint. All times are in milliseconds since 1970-01-01 UTC.

    Attributes:
        id: The `webhook-id`: made from event and endpoint, so that it is the same on every retry and after a crash.
        sequence: Its place in the endpoint's order.
        event: The event.
        created_at_ms: Time of its creation.
        expires_at_ms: When it is no longer worth sending; None: it fails a day after `retry_from_ms`.
        retry_from_ms: Start of the current round of attempts: its creation, or the owner's request to send it again.
        due_at_ms: Time of the next attempt.
        status: Its status.
        tries: Number of attempts of the current round.
        attempts: The newest attempts, oldest first.
    """

    id: str
    sequence: int
    event: Event
    created_at_ms: int
    expires_at_ms: int | None
    retry_from_ms: int
    due_at_ms: int
    status: Status = Status.PENDING
    tries: int = 0
    attempts: tuple[Attempt, ...] = field(default=())

    @classmethod
    def of(cls, event: Event, endpoint_id: str, sequence: int, now_ms: int) -> Self:
        """Return a new delivery."""
        expires_at_ms = None if event.test else event.expires_at_ms
        id_ = f"msg_{event.id}_{endpoint_id}"
        return cls(id_, sequence, event, now_ms, expires_at_ms, now_ms, now_ms)

    @property
    def fresh(self) -> bool:
        """Whether it is a mood in its first round of attempts; it does not wait for deliveries retried for a day."""
        return self.event.type.of_mood and not self.event.test and self.retry_from_ms == self.created_at_ms

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as the state store keeps them."""
        return asdict(self)

    def again(self, now_ms: int) -> Self:
        """Return the delivery for another round, which the owner requested: retried for a day, even if expired."""
        return replace(self, status=Status.PENDING, tries=0, expires_at_ms=None, retry_from_ms=now_ms, due_at_ms=now_ms)

    def after(self, attempt: Attempt, chance: random.Random) -> Self:
        """Return the delivery after one more attempt: delivered, or with the time of the next attempt."""
        tried = replace(self, tries=self.tries + 1, attempts=(*self.attempts, attempt)[-ATTEMPTS_KEPT:])
        if attempt.error is None:
            return replace(tried, status=Status.DELIVERED)
        now_ms = attempt.at_ms + attempt.duration_ms
        pause_s = max(_pause_s(self, chance), attempt.retry_after_s or 0.0)
        return replace(tried, due_at_ms=now_ms + round(pause_s * 1000))

    def refused(self, attempt: Attempt) -> Self:
        """Return the delivery as failed, after an attempt that a retry cannot improve."""
        return replace(
            self, tries=self.tries + 1, attempts=(*self.attempts, attempt)[-ATTEMPTS_KEPT:], status=Status.FAILED
        )

    @property
    def ends_at_ms(self) -> int:
        """When attempts end, in milliseconds since 1970-01-01 UTC."""
        if self.expires_at_ms is not None:
            return self.expires_at_ms
        return self.retry_from_ms + round(GIVE_UP_AFTER_S * 1000)

    def over(self, now_ms: int) -> Status | None:
        """Return the final status of a delivery whose time is over; None before that."""
        if now_ms < self.ends_at_ms:
            return None
        return Status.FAILED if self.expires_at_ms is None else Status.EXPIRED


def _pause_s(delivery: Delivery, chance: random.Random) -> float:
    if delivery.expires_at_ms is None:
        return RETRY_AFTER_S[min(delivery.tries, len(RETRY_AFTER_S) - 1)] * chance.uniform(0.8, 1.2)
    longest = min(math.ldexp(FIRST_PERISHABLE_PAUSE_S, min(delivery.tries, 10)), _LONGEST_PERISHABLE_PAUSE_S)
    return longest * chance.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with an endpoint's pending deliveries.

    Attributes:
        settled: Deliveries that end without another attempt, with their final status.
        next: The delivery to send now; None when none is due.
        wake_at_ms: When a delivery may become due or end, if no new one arrives; None when none is pending.
    """

    settled: tuple[Delivery, ...]
    next: Delivery | None
    wake_at_ms: int | None


def plan(pending: Iterable[Delivery], now_ms: int, hold_until_ms: int = 0) -> Plan:
    """Decide which delivery to send next.

    Deliveries are sent in the order of their sequence, with one exception: a mood does not wait for a failed delivery
    that is retried for a day (a camera's event, or a delivery that the owner requested again), since it would expire.
    After a mood has expired, the newest mood of its crowd replaces all between. Of mood.updated, only the newest one
    is sent.

    Args:
        pending: The endpoint's pending deliveries, in any order.
        now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
        hold_until_ms: Send nothing before this time, which the receiver requested.
    """
    ordered = sorted(pending, key=lambda delivery: delivery.sequence)
    over = [replace(delivery, status=status) for delivery in ordered if (status := delivery.over(now_ms))]
    perished = {delivery.event.subject for delivery in over if delivery.status is Status.EXPIRED}
    left = [delivery for delivery in ordered if not delivery.over(now_ms)]
    stale = _superseded(left, perished)
    settled = (*over, *(replace(delivery, status=Status.SUPERSEDED) for delivery in left if delivery.id in stale))
    left = [delivery for delivery in left if delivery.id not in stale]
    fresh = next((delivery for delivery in left if delivery.fresh), None)
    other = next((delivery for delivery in left if not delivery.fresh), None)
    heads = [head for head in (fresh, other) if head is not None]
    if fresh and other and fresh.sequence < other.sequence:
        heads = [fresh]
    due = [head for head in heads if max(head.due_at_ms, hold_until_ms) <= now_ms]
    wakes = [max(head.due_at_ms, hold_until_ms) for head in heads]
    wakes += [delivery.ends_at_ms for delivery in left]
    return Plan(settled, min(due, key=lambda head: head.sequence, default=None), min(wakes, default=None))


def _superseded(ordered: Sequence[Delivery], perished: set[tuple[str | None, str | None]]) -> set[str]:
    """Return the ids of the moods that a later mood replaces."""
    found: set[str] = set()
    # Types of each crowd's deliveries that are newer than the current one.
    newer: defaultdict[tuple[str | None, str | None], set[EventType]] = defaultdict(set)
    for delivery in reversed(ordered):
        if not delivery.fresh:
            continue
        event, later = delivery.event, newer[delivery.event.subject]
        if event.type is EventType.MOOD_UPDATED and not delivery.tries and EventType.MOOD_UPDATED in later:
            found.add(delivery.id)
        elif event.type is EventType.MOOD_UNAVAILABLE:
            if later and delivery.tries:
                found.add(delivery.id)
        elif later and event.subject in perished:
            found.add(delivery.id)
        later.add(event.type)
    return found
