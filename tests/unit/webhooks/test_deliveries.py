"""What goes next to an endpoint, when, and what is given up: time lines without a clock."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdmood.core import stored
from webhooks.deliveries import GIVE_UP_AFTER_S, RETRY_AFTER_S, Attempt, Delivery, Status, plan
from webhooks.endpoints import Endpoint, Health, Secret
from webhooks.events import Event, EventType

CHANGED, UPDATED, UNAVAILABLE = EventType.MOOD_CHANGED, EventType.MOOD_UPDATED, EventType.MOOD_UNAVAILABLE
DOWN = EventType.CAMERA_DOWN
DAY_MS = round(GIVE_UP_AFTER_S * 1000)


def delivery(sequence: int, type_: EventType = CHANGED, *, expires: int | None = None, **changes: object) -> Delivery:
    zone, camera = ("stadium", None) if type_.of_mood else (None, "north")
    event = Event(f"e{sequence}", type_, 0, {}, zone, camera, expires)
    return replace(Delivery.of(event, "ep_1", sequence, 0), **changes)


def failed(at_ms: int = 0, retry_after_s: float | None = None) -> Attempt:
    return Attempt(at_ms, 0, 500, "HTTP 500", retry_after_s)


def outcome(pending: list[Delivery], now_ms: int, hold_until_ms: int = 0) -> tuple[dict[int, str], int | None]:
    """What is settled by sequence, and the sequence of what goes next."""
    todo = plan(pending, now_ms, hold_until_ms)
    return {one.sequence: one.status.value for one in todo.settled}, todo.next.sequence if todo.next else None


@pytest.mark.parametrize(
    ("pending", "now_ms", "settled", "goes"),
    [
        ([], 0, {}, None),
        ([delivery(2), delivery(1)], 0, {}, 1),
        # A mood that waits for its retry is not overtaken by a newer one, nor by a camera's event …
        ([delivery(1, due_at_ms=10), delivery(2), delivery(3, DOWN)], 5, {}, None),
        # … but a camera's event that waits does not hold a mood back, only those of cameras.
        ([delivery(1, DOWN, due_at_ms=10), delivery(2, DOWN), delivery(3)], 5, {}, 3),
        ([delivery(1, DOWN, due_at_ms=10), delivery(2, DOWN)], 5, {}, None),
        # When one has perished, the newest goes instead of all between; another crowd's are their own.
        (
            [delivery(1, expires=5, tries=3, due_at_ms=9), delivery(2, expires=99), delivery(3, expires=99)],
            5,
            {1: "expired", 2: "superseded"},
            3,
        ),
        ([delivery(1, expires=5), delivery(2, DOWN), delivery(3)], 5, {1: "expired"}, 2),
        # Of mood.updated only the newest goes, unless the older was tried and is still good.
        ([delivery(1, UPDATED, expires=9), delivery(2, UPDATED, expires=9)], 1, {1: "superseded"}, 2),
        ([delivery(1, UPDATED, expires=9, tries=1), delivery(2, UPDATED, expires=9)], 1, {}, 1),
        ([delivery(1, UPDATED, expires=9), delivery(2, CHANGED, expires=9)], 1, {}, 1),
        # That there is no mood is old news once there is one, and is sent in its turn otherwise.
        ([delivery(1, UNAVAILABLE, tries=1, due_at_ms=9), delivery(2, UPDATED)], 1, {1: "superseded"}, 2),
        ([delivery(1, UNAVAILABLE), delivery(2, UPDATED)], 1, {}, 1),
        # What does not perish is given up after a day.
        ([delivery(1, DOWN)], DAY_MS, {1: "failed"}, None),
        ([delivery(1, DOWN)], DAY_MS - 1, {}, 1),
        # What its owner asks for again neither perishes nor holds a mood back.
        ([delivery(1, expires=5).again(100)], 100, {}, 1),
        ([replace(delivery(1).again(100), due_at_ms=200), delivery(2)], 100, {}, 2),
    ],
)
def test_what_goes_next(pending: list[Delivery], now_ms: int, settled: dict[int, str], goes: int | None) -> None:
    assert outcome(pending, now_ms) == (settled, goes)


def test_a_receiver_that_asks_to_wait_gets_nothing_before() -> None:
    pending = [delivery(1, expires=50), delivery(2, DOWN)]
    assert outcome(pending, 10, hold_until_ms=100) == ({}, None)
    assert plan(pending, 10, 100).wake_at_ms == 50  # when the mood perishes
    assert outcome(pending, 100, hold_until_ms=100) == ({1: "expired"}, 2)


@given(
    st.lists(
        st.tuples(st.sampled_from([*EventType]), st.integers(0, 20), st.integers(0, 2), st.none() | st.integers(1, 20)),
        max_size=8,
    ),
    st.integers(0, 25),
)
def test_whatever_is_pending_it_is_sent_settled_or_waited_for(
    given_ones: list[tuple[EventType, int, int, int | None]], now_ms: int
) -> None:
    pending = [
        delivery(place, type_, expires=expires, due_at_ms=due, tries=tries)
        for place, (type_, due, tries, expires) in enumerate(given_ones)
    ]
    todo = plan(pending, now_ms)
    settled = {one.id for one in todo.settled}
    left = [one for one in pending if one.id not in settled]
    assert all(one.status is not Status.PENDING for one in todo.settled)
    assert todo.next is None or (todo.next.id not in settled and todo.next.due_at_ms <= now_ms)
    if left and todo.next is None:
        assert todo.wake_at_ms is not None and todo.wake_at_ms > now_ms  # never asleep for ever, never spinning
    if not left:
        assert todo.wake_at_ms is None


def test_what_does_not_perish_is_retried_in_ever_longer_pauses_for_a_day() -> None:
    chance, one, pauses = random.Random(1), delivery(1, DOWN), []
    now_ms = 0
    while one.over(now_ms) is None:
        tried = one.after(failed(now_ms), chance)
        pauses.append((tried.due_at_ms - now_ms) / 1000)
        one, now_ms = tried, tried.due_at_ms
    assert one.over(now_ms) is Status.FAILED
    assert all(0.8 * due <= pause <= 1.2 * due for pause, due in zip(pauses, RETRY_AFTER_S, strict=False))
    assert all(0.8 * 3600 <= pause <= 1.2 * 3600 for pause in pauses[4:])
    assert 24 <= len(pauses) <= 36
    assert len(one.attempts) == 20  # the newest


def test_a_mood_is_retried_soon_with_jitter_until_it_perishes() -> None:
    firsts = {delivery(1, expires=5000).after(failed(), random.Random(seed)).due_at_ms for seed in range(50)}
    assert min(firsts) >= 250 and max(firsts) <= 500 and len(firsts) > 20
    one, now_ms = delivery(1, expires=5000), 0
    while one.over(now_ms) is None:
        one = one.after(failed(now_ms), random.Random(now_ms))
        now_ms = one.due_at_ms
    assert one.over(now_ms) is Status.EXPIRED
    assert 3 <= one.tries <= 8


def test_a_receivers_wish_to_wait_makes_a_pause_longer_and_never_shorter() -> None:
    one = delivery(1, DOWN)
    assert one.after(failed(0, 60.0), random.Random(1)).due_at_ms == 60_000
    assert one.after(failed(0, 0.0), random.Random(1)).due_at_ms >= 4_000


def test_the_id_is_of_event_and_endpoint() -> None:
    event = Event("changed-17-0", CHANGED, 0, {}, "stadium", None)
    assert Delivery.of(event, "ep_1", 5, 0).id == "msg_changed-17-0_ep_1"
    assert (
        Delivery.of(event, "ep_1", 9, 7).id
        == Delivery.of(event, "ep_1", 5, 0).id
        != Delivery.of(event, "ep_2", 5, 0).id
    )


def test_a_delivery_is_kept_and_read_as_it_was() -> None:
    one = delivery(1, expires=5).after(failed(), random.Random(1))
    assert stored.from_json(Delivery, stored.to_json(one.to_dict())) == one


def test_health_says_since_when_it_fails_and_why_it_was_disabled() -> None:
    health = Health().after(failed(1000), 10).after(failed(5000), 10)
    assert (health.failing_since_ms, health.last_error, health.disabled_at_ms) == (1000, "HTTP 500", None)
    assert health.after(Attempt(6000, 5, 204, None), 10) == Health(last_success_ms=6000)
    assert "HTTP 500" in str(health.after(failed(11_000), 10).reason)
    gone = Health().after(Attempt(7, 3, 410, "HTTP 410"), 10)
    assert (gone.disabled_at_ms, gone.reason) == (10, "it answered 410 Gone: it wants no more deliveries")
    assert Health().after(failed(1000, 5.0), 10).hold_until_ms == 6000


def test_failures_between_which_nothing_was_tried_do_not_add_up_to_failing_for_long() -> None:
    hour_ms = 3_600_000
    matchday = Health().after(failed(hour_ms), 3 * 86_400)
    week_later = matchday.after(failed(7 * 24 * hour_ms), 3 * 86_400)
    assert (week_later.disabled_at_ms, week_later.failing_since_ms) == (None, 7 * 24 * hour_ms)
    # What is retried with the longest pauses, or after the day that the receiver asked for, is tried all the time.
    for pause_ms, retry_after_s in ((round(1.2 * hour_ms), None), (24 * hour_ms, 86_400.0)):
        health, now_ms = Health(), hour_ms
        while health.disabled_at_ms is None:
            health = health.after(failed(now_ms, retry_after_s), 3 * 86_400)
            now_ms += pause_ms
        assert (health.failing_since_ms, health.disabled_at_ms) == (hour_ms, 73 * hour_ms)


def test_a_replaced_secret_signs_until_its_grace_is_over() -> None:
    def endpoint(*secrets: Secret) -> Endpoint:
        return Endpoint("ep_1", "", (), (), False, 0, 0, None, "", True, 1, secrets)  # type: ignore[arg-type]

    once = endpoint(Secret("old")).rotated(1000, 5)
    assert once.signing(5999) == (once.secrets[0].value, "old")
    assert once.signing(6000) == (once.secrets[0].value,)
    twice = once.rotated(3000, 60)
    assert len(twice.signing(5999)) == 3
    assert "old" not in twice.signing(6000)
    assert len(once.rotated(7000, 5).secrets) == 2
    assert "old" not in repr(once)
