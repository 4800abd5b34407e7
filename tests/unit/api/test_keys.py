"""Keys and their limits, without a server."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.limits import RateLimit
from crowdmood.core.errors import UndecodableError
from crowdmood.core.settings.serving import is_local
from crowdmood.store.api_keys import ApiKey, read_table, split

NOW_MS = 1_800_000_000_000


def test_a_key_opens_with_its_own_secret_only() -> None:
    text, key = ApiKey.make("board", "read", NOW_MS, None)
    other, _ = ApiKey.make("board", "read", NOW_MS, None)
    key_id, secret = split(text)
    assert key_id == key.key_id
    assert key.opens(secret, NOW_MS)
    assert not key.opens(split(other)[1], NOW_MS)
    assert not key.opens(secret + "x", NOW_MS)
    assert not key.opens("", NOW_MS)


def test_what_is_kept_of_a_key_does_not_hold_its_secret_and_is_salted() -> None:
    text, key = ApiKey.make("board", "manage", NOW_MS, None)
    secret = split(text)[1]
    assert secret not in key.to_json()
    assert len(secret) >= 43  # 32 random bytes
    again = replace(key, salt="00" * 16)
    assert not again.opens(secret, NOW_MS)


def test_manage_includes_read_and_read_does_not_include_manage() -> None:
    reader, manager = (ApiKey.make("x", scope, NOW_MS, None)[1] for scope in ("read", "manage"))  # type: ignore[arg-type]
    assert reader.allows("read") and not reader.allows("manage")
    assert manager.allows("read") and manager.allows("manage")


def test_a_key_opens_until_it_expires_and_never_again_once_revoked() -> None:
    text, key = ApiKey.make("board", "read", NOW_MS, NOW_MS + 1_000)
    secret = split(text)[1]
    assert key.opens(secret, NOW_MS + 999)
    assert not key.opens(secret, NOW_MS + 1_000)
    assert not replace(key, revoked_at_ms=NOW_MS).opens(secret, NOW_MS)


def test_a_key_is_read_back_as_it_was_written_and_what_is_none_is_passed_over() -> None:
    _, key = ApiKey.make("board", "read", NOW_MS, NOW_MS + 1)
    assert ApiKey.from_json(key.to_json()) == key
    assert read_table({b"x": b"{}", b"y": b"no json", key.key_id.encode(): key.to_json().encode()}) == {key.key_id: key}
    with pytest.raises(UndecodableError):
        ApiKey.from_json("[]")


@given(st.text())
def test_any_text_can_be_taken_for_a_key_without_harm(text: str) -> None:
    key_id, secret = split(text)
    assert not secret or text == f"cm_{key_id}_{secret}"


def test_a_burst_is_let_through_and_then_the_steady_rate() -> None:
    limit = RateLimit(per_s=10, burst_s=2)
    assert [limit.wait_s("a", 0) for _ in range(20)] == [0] * 20
    assert limit.wait_s("a", 0) == pytest.approx(0.1)
    assert limit.wait_s("b", 0) == 0
    assert limit.wait_s("a", 0.05) == pytest.approx(0.05)
    assert limit.wait_s("a", 0.1) == 0
    assert limit.wait_s("a", 0.1) > 0


@given(st.lists(st.floats(0, 0.3), max_size=300), st.floats(0.5, 50))
def test_no_more_than_the_burst_and_the_rate_ever_get_through(pauses: list[float], per_s: float) -> None:
    limit, now_s, passed = RateLimit(per_s, burst_s=2), 0.0, 0
    for pause in pauses:
        now_s += pause
        passed += limit.wait_s("a", now_s) == 0
    assert passed <= max(2 * per_s, 1) + now_s * per_s + 1e-6


@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=200))
def test_a_client_that_waits_as_requested_is_let_through(pauses: list[float]) -> None:
    limit, now_s = RateLimit(3), 0.0
    for pause in pauses:
        now_s += pause
        wait_s = limit.wait_s("a", now_s)
    assert limit.wait_s("a", now_s + wait_s) == 0 or wait_s == 0


def test_names_that_ask_no_more_are_forgotten() -> None:
    limit = RateLimit(per_s=100)
    for number in range(30_000):
        limit.wait_s(str(number), number / 1_000)
    assert len(limit) <= 10_001


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("127.8.8.8", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.0.2.1", False),
        ("no such name", False),
    ],
)
def test_only_loopback_addresses_are_this_machine_alone(host: str, local: bool) -> None:
    assert is_local(host) is local
