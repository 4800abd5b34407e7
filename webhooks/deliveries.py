"""Deliveries: one event on its way to one endpoint, when it is tried, and what goes next. Pure, the time is given."""

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from webhooks.events import Event, EventType

RETRY_AFTER_S = (5.0, 30.0, 120.0, 600.0, 3600.0)
"""Pauses after the first failures of what does not perish, in seconds; the last one repeats."""
GIVE_UP_AFTER_S = 24 * 3600.0
FIRST_PERISHABLE_PAUSE_S = 0.5
ATTEMPTS_KEPT = 20
_LONGEST_PERISHABLE_PAUSE_S = 8.0


class Status(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try.

    Attributes:
        at_ms: When it began, in milliseconds since 1970-01-01 UTC.
        duration_ms: How long it took, in milliseconds.
        status_code: What the receiver answered; None when it did not.
        error: Why it failed; None when it did not.
        retry_after_s: How long the receiver asked us to wait, in seconds; None when it did not.
    """

    at_ms: int
    duration_ms: int
    status_code: int | None
    error: str | None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint.

    Attributes:
        id: The `webhook-id`: of event and endpoint, so that it is the same on every retry and after a crash.
        sequence: Its place in the endpoint's order.
        event: What happened.
        created_at_ms: When it was made, in milliseconds since 1970-01-01 UTC.
        expires_at_ms: When it is no longer worth sending; None: it is given up a day after `retry_from_ms`.
        retry_from_ms: When its current round of attempts began: at its creation, or when its owner asked for it again.
        due_at_ms: When it is tried next.
        status: What became of it.
        tries: Attempts of the current round.
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
        """A new delivery."""
        expires_at_ms = None if event.test else event.expires_at_ms
        id_ = f"msg_{event.id}_{endpoint_id}"
        return cls(id_, sequence, event, now_ms, expires_at_ms, now_ms, now_ms)

    @property
    def fresh(self) -> bool:
        """Whether it is a mood on its first way, which does not wait for what may be retried for a day."""
        return self.event.type.of_mood and not self.event.test and self.retry_from_ms == self.created_at_ms

    def to_dict(self) -> dict[str, Any]:
        """As the state store keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(
            **{
                **fields,
                "event": Event.from_dict(fields["event"]),
                "status": Status(fields["status"]),
                "attempts": tuple(Attempt(**attempt) for attempt in fields["attempts"]),
            }
        )

    def again(self, now_ms: int) -> Self:
        """The same delivery as its owner asks for it again: tried for a day, perished or not."""
        return replace(self, status=Status.PENDING, tries=0, expires_at_ms=None, retry_from_ms=now_ms, due_at_ms=now_ms)

    def after(self, attempt: Attempt, chance: random.Random) -> Self:
        """The delivery after one more attempt, delivered or with the time of the next one."""
        tried = replace(self, tries=self.tries + 1, attempts=(*self.attempts, attempt)[-ATTEMPTS_KEPT:])
        if attempt.error is None:
            return replace(tried, status=Status.DELIVERED)
        now_ms = attempt.at_ms + attempt.duration_ms
        pause_s = max(_pause_s(self, chance), attempt.retry_after_s or 0.0)
        return replace(tried, due_at_ms=now_ms + round(pause_s * 1000))

    def refused(self, attempt: Attempt) -> Self:
        """The delivery after an attempt that no other one can better."""
        return replace(
            self, tries=self.tries + 1, attempts=(*self.attempts, attempt)[-ATTEMPTS_KEPT:], status=Status.FAILED
        )

    @property
    def ends_at_ms(self) -> int:
        """When it is tried no more, in milliseconds since 1970-01-01 UTC."""
        if self.expires_at_ms is not None:
            return self.expires_at_ms
        return self.retry_from_ms + round(GIVE_UP_AFTER_S * 1000)

    def over(self, now_ms: int) -> Status | None:
        """What becomes of it without another attempt, because its time is over; None when it is not."""
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
    """What to do about an endpoint's pending deliveries.

    Attributes:
        settled: Those that end without another attempt, with what became of them.
        next: The one to send now; None when nothing is due.
        wake_at_ms: When something may be due or over, if nothing new comes; None when nothing is pending.
    """

    settled: tuple[Delivery, ...]
    next: Delivery | None
    wake_at_ms: int | None


def plan(pending: Iterable[Delivery], now_ms: int, hold_until_ms: int = 0) -> Plan:
    """Decide what goes next.

    Order is the sequence's, but a mood does not wait for what failed and waits to be retried for a day (a camera's
    event, a delivery that was asked for again): it would perish meanwhile. When a mood has perished, the newest of its
    crowd goes instead of all between; of mood.updated only ever the newest goes.

    Args:
        pending: The endpoint's pending deliveries, in any order.
        now_ms: Wall-clock time in milliseconds since 1970-01-01 UTC.
        hold_until_ms: Nothing is sent before, because the receiver said so.
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
    """Ids of the moods in whose place a later one goes."""
    found: set[str] = set()
    # Of each crowd, what there is beyond the delivery that is looked at.
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
