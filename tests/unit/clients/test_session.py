"""What the client decides, without I/O: when it asks, retries, gives up and returns the default. The clock is given."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from api import examples
from crowdmood_client.core import Item, Read, Reply, Request, Run, Session, Step, Wait
from crowdmood_client.errors import ClientError, KeyRefusedError, UnreachableError

OK = examples.OK.to_json().encode()


def mood(valid_ms: int | None = 5_000, status: int = 200, **headers: str) -> Reply:
    valid = {} if valid_ms is None else {"mood-valid-ms": str(valid_ms)}
    return Reply(status, {"etag": '"1"'} | valid | headers, OK if status == 200 else b"")


def problem(status: int, type_: str = "about:blank", **headers: str) -> Reply:
    body = json.dumps({"type": type_, "title": "It failed.", "status": status, "detail": "because"})
    return Reply(status, headers, body.encode())


WRONG_KEY = problem(401, "/problems/unauthorized")
UNKNOWN_ZONE = problem(404, "/problems/unknown-zone")
NO_ANSWER = UnreachableError("no answer")


@dataclass
class Script:
    """Carries out steps: each request gets the next reply, each pause moves the clock on."""

    retries: int = 2
    replies: list[Reply | ClientError] = field(default_factory=list)
    now_s: float = 100.0
    takes_s: float = 0.0
    requests: list[Request] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    reported: list[ClientError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session = Session(self.retries, 45, lambda: self.now_s, self.reported.append)

    def leading(self, *replies: Reply | ClientError, zone: str | None = None) -> str:
        return self.run(lambda session: session.leading("neutral", zone, None), *replies)[0]

    def run(
        self, name: Callable[[Session], Any], *replies: Reply | ClientError, items: int = 0
    ) -> tuple[Any, list[Any]]:
        """Run steps to their end, or until they have handed out so many items."""
        self.replies += replies
        run: Run[Any] = Run(name(self.session))
        found: list[Any] = []
        while run.step is not None:
            if isinstance(run.step, Item):
                found.append(run.step.value)
                if len(found) == items:
                    return None, found
                run.send(None)
            else:
                self.carry_out(run, run.step)
        assert self.replies == []
        return run.result, found

    def carry_out(self, run: Run[Any], step: Step) -> None:
        if isinstance(step, Wait):
            self.waits.append(step.seconds)
            self.now_s += step.seconds
            run.send(None)
            return
        if isinstance(step, Request):
            self.requests.append(step)
            self.now_s += self.takes_s
        reply = self.replies.pop(0)
        if isinstance(reply, ClientError):
            run.fail(reply)
        elif isinstance(step, Read):
            run.send(reply.body or None)
        else:
            run.send(reply)


def test_an_answer_is_acted_on_until_its_time_is_over_and_not_a_millisecond_longer() -> None:
    script = Script()
    assert script.leading(mood(5_000)) == "happy"
    script.now_s = 104.999
    assert script.leading() == "happy"
    script.now_s = 105.0
    assert script.leading(mood(0, status=304)) == "neutral"
    assert [request.headers for request in script.requests] == [{}, {"If-None-Match": '"1"'}]
    assert script.session.problem is None


def test_the_time_of_an_answer_counts_from_before_its_request() -> None:
    script = Script(takes_s=3.0)
    assert script.leading(mood(5_000)) == "happy"
    script.now_s = 105.0
    assert script.leading(mood(2_999)) == "neutral"  # it was valid when it was sent, and no longer when it arrived


def test_a_retry_counts_the_time_from_its_own_request() -> None:
    script = Script()
    found, _ = script.run(lambda session: session.mood(None, None), problem(503, **{"retry-after": "9"}), mood(5_000))
    assert (found.status, script.waits) == ("ok", [9.0])
    script.now_s = 113.999
    assert script.leading() == "happy"


@pytest.mark.parametrize(("control", "valid_s"), [("private, max-age=4", 4), ("no-cache", 0), ("", 0)])
def test_an_older_api_says_whole_seconds(control: str, valid_s: int) -> None:
    script = Script()
    assert script.leading(mood(None, **{"cache-control": control})) == ("happy" if valid_s else "neutral")
    script.now_s += valid_s - 0.001
    if valid_s:
        assert script.leading() == "happy"
    script.now_s += 0.002
    assert script.leading(mood(0)) == "neutral"


@pytest.mark.parametrize("refusal", [WRONG_KEY, problem(403, "/problems/forbidden"), UNKNOWN_ZONE])
def test_what_is_wrong_from_the_first_call_on_raises_at_every_call(refusal: Reply) -> None:
    script = Script()
    for _ in range(3):
        with pytest.raises(ClientError, match="because"):
            script.leading(refusal)
    assert script.reported == []


def test_a_wrong_key_raises_at_the_first_answer_however_late_it_comes() -> None:
    script = Script()
    assert script.leading(NO_ANSWER) == "neutral"
    script.now_s += 10
    with pytest.raises(KeyRefusedError):
        script.leading(WRONG_KEY)


def test_a_key_that_was_good_for_one_zone_is_reported_for_another() -> None:
    script = Script()
    assert script.leading(mood()) == "happy"
    assert script.leading(WRONG_KEY, zone="home") == "neutral"
    assert isinstance(script.session.problem, KeyRefusedError)


def test_a_zone_that_is_gone_later_is_reported_and_does_not_hold_up_others() -> None:
    script = Script()
    assert script.leading(mood(0), zone="home") == "neutral"
    assert script.leading(UNKNOWN_ZONE, zone="home") == "neutral"
    assert [error.type for error in script.reported] == ["/problems/unknown-zone"]
    assert script.leading(mood()) == "happy"
    assert script.session.problem is script.reported[0]
    assert script.leading(mood(), zone="home") == "happy"
    assert script.session.problem is None


def test_a_proxys_404_is_a_failure_that_may_pass() -> None:
    script = Script()
    assert script.leading(problem(404)) == "neutral"
    script.now_s += 10
    assert script.leading(mood()) == "happy"


def test_each_kind_of_problem_is_reported_once_until_the_api_answers() -> None:
    script = Script()
    for reply in (NO_ANSWER, NO_ANSWER, problem(503), problem(503), mood(0), problem(503)):
        script.leading(reply)
        script.now_s += 100
    assert [error.status for error in script.reported] == [None, 503, 503]


def test_after_a_failure_leading_does_not_ask_for_longer_and_longer() -> None:
    script = Script()
    script.leading(NO_ANSWER)
    for number in range(8):
        longest_s = min(0.25 * 2**number, 5)
        script.now_s += longest_s / 2 - 0.001
        assert script.leading() == "neutral"
        script.now_s += longest_s / 2 + 0.002
        assert script.leading(NO_ANSWER) == "neutral"
    assert len(script.requests) == 9


def test_leading_asks_no_earlier_than_the_api_wants() -> None:
    script = Script()
    assert script.leading(problem(429, "/problems/rate-limited", **{"retry-after": "30"})) == "neutral"
    script.now_s += 29.9
    assert script.leading() == "neutral"
    script.now_s += 0.2
    assert script.leading(mood()) == "happy"


def test_leading_returns_a_valid_answer_although_a_newer_one_cannot_be_had() -> None:
    script = Script()
    assert script.leading(mood(5_000)) == "happy"
    head = Reply(200, {"content-type": "text/event-stream"})
    event = Reply(200, {}, b"event: mood\nid: 1-0\ndata: " + OK + b"\n\n")
    _, (yielded,) = script.run(lambda session: session.stream(None, None, None), head, event, items=1)
    assert yielded.kind == "mood"
    assert script.leading(NO_ANSWER) == "happy"
    script.now_s += 1
    assert script.leading(mood(5_000)) == "happy"  # it is still asked for
    assert script.session.problem is None


@pytest.mark.parametrize("failure", [NO_ANSWER, *(problem(status) for status in (408, 425, 429, 502, 503, 504))])
def test_failures_that_may_pass_are_retried_with_growing_pauses(failure: Reply | ClientError) -> None:
    script = Script(retries=4)
    cameras, _ = script.run(lambda session: session.cameras(), *[failure] * 4, Reply(200, {}, b"[]"))
    assert cameras == []
    assert all(0.125 * 2**i <= wait_s <= 0.25 * 2**i for i, wait_s in enumerate(script.waits))
    assert len(script.waits) == 4


def test_the_last_failure_is_raised() -> None:
    script = Script(retries=1)
    with pytest.raises(ClientError, match="HTTP 503: because"):
        script.run(lambda session: session.cameras(), NO_ANSWER, problem(503))
    assert len(script.requests) == 2


@pytest.mark.parametrize(
    "refusal", [WRONG_KEY, UNKNOWN_ZONE, problem(422), problem(500), problem(503, **{"retry-after": "60"})]
)
def test_what_a_retry_cannot_mend_is_raised_at_once(refusal: Reply) -> None:
    script = Script()
    with pytest.raises(ClientError):
        script.run(lambda session: session.mood(None, None), refusal)
    assert script.waits == []


@pytest.mark.parametrize("body", [b"", b"[]", b"hello", b"{}", b'{"as_of": NaN}', OK.replace(b'"happy"', b"7")])
def test_an_answer_that_is_none_is_an_error(body: bytes) -> None:
    with pytest.raises(ClientError, match="this is not an answer of CrowdMood"):
        Script().run(lambda session: session.mood(None, None), Reply(200, {}, body))


def test_a_304_without_an_earlier_answer_is_an_error() -> None:
    with pytest.raises(ClientError, match="this is not an answer of CrowdMood"):
        Script().run(lambda session: session.mood(None, None), Reply(304, {}))


def test_pages_are_read_until_there_is_no_next_one() -> None:
    script = Script()
    pages = [Reply(200, {}, b'{"moods":[%s],"next":%s}' % (OK, cursor)) for cursor in (b'"7"', b'"8"', b"null")]
    _, found = script.run(lambda session: session.moods("2026-05-01T15:00:00Z", None, None, "home", None), *pages)
    assert len(found) == 3
    common = {"from": "2026-05-01T15:00:00Z", "zone": "home", "limit": "1000"}
    assert [request.query for request in script.requests] == [
        common,
        common | {"cursor": "7"},
        common | {"cursor": "8"},
    ]


def test_a_stream_reconnects_for_ever_with_pauses_that_grow_to_ten_seconds() -> None:
    script = Script()
    head = Reply(200, {"content-type": "text/event-stream"})
    event = Reply(200, {}, b"event: mood\nid: 1-0\ndata: " + OK + b"\n\n")
    failures = [NO_ANSWER] * 40
    _, found = script.run(
        lambda session: session.stream(None, None, None), head, event, Reply(200, {}), *failures, head, event, items=3
    )
    assert [one.kind for one in found] == ["mood", "lost", "mood"]
    assert [request.headers.get("Last-Event-ID") for request in script.requests] == [None, *["1-0"] * 41]
    assert 0.125 <= script.waits[0] <= 0.25
    assert all(5 <= wait_s <= 10 for wait_s in script.waits[6:])
    assert len(script.waits) == 41


def test_an_event_of_an_unknown_kind_is_passed_over_and_counts_as_read() -> None:
    script = Script()
    head = Reply(200, {"content-type": "text/event-stream"})
    events = b"event: weather\nid: 1-0\ndata: rain\n\nevent: mood\nid: 2-0\ndata: " + OK + b"\n\n"
    _, (found,) = script.run(lambda session: session.stream(None, None, None), head, Reply(200, {}, events), items=1)
    assert (found.kind, found.id) == ("mood", "2-0")


@pytest.mark.parametrize(("type_", "status"), [("too-slow", 408), ("stopping", 503), ("store-unavailable", 503)])
def test_an_end_that_may_pass_reconnects_and_one_of_the_key_raises(type_: str, status: int) -> None:
    head = Reply(200, {"content-type": "text/event-stream"})

    def end(type_: str, status: int) -> Reply:
        data = json.dumps({"type": f"/problems/{type_}", "title": "It ends.", "status": status, "detail": "because"})
        return Reply(200, {}, f"event: end\nid: 3-0\ndata: {data}\n\n".encode())

    script = Script()
    _, (lost,) = script.run(lambda session: session.stream(None, None, None), head, end(type_, status), items=1)
    assert (lost.kind, lost.id, lost.error.type) == ("lost", "3-0", f"/problems/{type_}")
    with pytest.raises(KeyRefusedError, match="because"):
        script.run(lambda session: session.stream(None, None, None), head, end("unauthorized", 401))
