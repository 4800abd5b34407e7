"""The routes of webhooks, on a real socket, with a real dispatcher and a real receiver behind them."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from api.webhook_samples import sample
from crowdmood.core.settings import Settings
from crowdmood.domain.mood import to_rfc3339
from crowdmood.store.api_keys import ApiKey, ApiKeyStore
from tests.receiver import Answer, Receiver
from tests.serving import ready
from tests.waiting import eventually
from tests.webhooks import dispatching, endpoint, with_webhooks
from webhooks.deliveries import Delivery, Status
from webhooks.events import EventType
from webhooks.store import WebhookStore


@pytest.fixture
def settings(settings: Settings) -> Settings:
    on_any_port = settings.model_copy(update={"api": settings.api.model_copy(update={"port": 0})})
    return with_webhooks(on_any_port, max_endpoints=3, disable_after_s=3600)


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    with ready(settings) as served, httpx.Client(base_url=served.url) as client:
        yield client


def register(api: httpx.Client, url: str, **settings: Any) -> dict[str, Any]:
    answer = api.post("/webhooks", json={"url": url, **settings})
    assert answer.status_code == 201, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int, kind: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems/{kind}"
    return answer.json()["detail"]


def test_a_webhook_is_registered_shown_changed_and_deleted(api: httpx.Client, receiver: Receiver) -> None:
    made = register(api, receiver.url(), events=["mood.changed", "camera.down"], description="the north board")
    assert made["secret"].startswith("whsec_")
    shown = {key: value for key, value in made.items() if key != "secret"}
    assert shown["status"] == "active"
    assert api.get("/webhooks").json() == [shown]
    assert api.get(f"/webhooks/{made['id']}").json() == shown
    assert made["secret"] not in api.get("/webhooks").text

    changed = api.patch(f"/webhooks/{made['id']}", json={"min_confidence": 0.4, "enabled": False}).json()
    assert changed == shown | {"min_confidence": 0.4, "enabled": False, "status": "disabled"}
    assert problem(api.post(f"/webhooks/{made['id']}/test"), 409, "webhook-disabled").startswith("its owner")
    assert api.patch(f"/webhooks/{made['id']}", json={"enabled": True}).json()["status"] == "active"

    assert api.delete(f"/webhooks/{made['id']}").status_code == 204
    for answer in (
        api.get(f"/webhooks/{made['id']}"),
        api.delete(f"/webhooks/{made['id']}"),
        api.patch(f"/webhooks/{made['id']}", json={}),
        api.post(f"/webhooks/{made['id']}/rotate"),
        api.get(f"/webhooks/{made['id']}/deliveries"),
    ):
        problem(answer, 404, "unknown-webhook")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "url: Field required"),
        ({"url": "ftp://127.0.0.1/"}, "write https://HOST/PATH"),
        ({"url": "https://user:password@127.0.0.1/"}, "do not belong into a URL"),
        ({"url": "https://10.0.0.1/"}, "10.0.0.1 is in a private or local network"),
        ({"url": "https://169.254.169.254/latest"}, "gives out credentials"),
        ({"url": "http://93.184.215.14/"}, "would get it unencrypted"),
        ({"url": "https://127.0.0.1/", "zones": ["nowhere"]}, "there is no zone 'nowhere'"),
        ({"url": "https://127.0.0.1/", "events": []}, "events"),
        ({"url": "https://127.0.0.1/", "events": ["mood.lost"]}, "events.0"),
        ({"url": "https://127.0.0.1/", "min_confidence": 2}, "min_confidence"),
        ({"url": "https://127.0.0.1/", "secret": "mine"}, "secret: Extra inputs"),
        ({"url": "https://127.0.0.1/", "events": ["camera.up"], "adapter": {"name": "xibo"}}, "sends moods only"),
        (
            {
                "url": "https://127.0.0.1/",
                "adapter": {"name": "template", "template": "{% for a in data %}{% endfor %}"},
            },
            "For is refused",
        ),
    ],
)
def test_what_could_never_be_delivered_is_refused(api: httpx.Client, given: dict[str, Any], why: str) -> None:
    assert why in problem(api.post("/webhooks", json=given), 422, "invalid-request")
    assert api.get("/webhooks").json() == []


def test_a_change_is_refused_like_a_registration(api: httpx.Client, receiver: Receiver) -> None:
    made = register(api, receiver.url(), events=["camera.down"])
    refused = api.patch(f"/webhooks/{made['id']}", json={"adapter": {"name": "text"}})
    assert "sends moods only" in problem(refused, 422, "invalid-request")
    refused = api.patch(f"/webhooks/{made['id']}", json={"url": "https://10.1.2.3/"})
    assert "private" in problem(refused, 422, "invalid-request")


def test_of_an_adapter_too_only_what_is_given_changes(api: httpx.Client, receiver: Receiver) -> None:
    made = register(api, receiver.url(), adapter={"name": "xibo", "metric": "mood", "fallback": "none"})
    changed = api.patch(f"/webhooks/{made['id']}", json={"adapter": {"fallback": "house"}})
    assert changed.json()["adapter"] == made["adapter"] | {"fallback": "house"}
    half = {"adapter": {"name": "template", "template": "{{ value"}}
    assert "no template" in problem(api.patch(f"/webhooks/{made['id']}", json=half), 422, "invalid-request")


def test_an_endpoint_whose_host_and_zone_are_gone_can_still_be_changed(
    api: httpx.Client, settings: Settings, server_url: str
) -> None:
    store = WebhookStore(server_url, settings.bus.key_prefix)
    store.add(endpoint("https://gone.invalid/hook", zones=("closed",)), 3)
    store.close()
    changed = api.patch("/webhooks/ep_1", json={"enabled": False, "description": "gone"})
    assert (changed.status_code, changed.json()["status"]) == (200, "disabled"), changed.text
    for again in ({"url": "https://gone.invalid/hook"}, {"zones": ["closed"]}):
        problem(api.patch("/webhooks/ep_1", json=again), 422, "invalid-request")


def test_there_are_only_so_many(api: httpx.Client, receiver: Receiver) -> None:
    for _ in range(3):
        register(api, receiver.url())
    problem(api.post("/webhooks", json={"url": receiver.url()}), 409, "too-many-webhooks")


def test_a_test_arrives_marked_as_one_and_its_body_fits_its_schema(
    api: httpx.Client, settings: Settings, receiver: Receiver
) -> None:
    made = register(api, receiver.url())
    with dispatching(settings):
        for number, type_ in enumerate(EventType, 1):
            sent = api.post(f"/webhooks/{made['id']}/test", json={"type": type_.value})
            assert sent.status_code == 202
            taken = receiver.wait(number)[-1]
            assert taken.id == sent.json()["id"]
            assert taken.json == sent.json()["payload"]
            assert taken.json["test"] is True
            jsonschema.validate(taken.json, api.get(f"/schemas/{type_.value}").json())
            Webhook(made["secret"]).verify(taken.body, taken.headers)
        assert api.post(f"/webhooks/{made['id']}/test").json()["type"] == "mood.changed"
        receiver.wait(6)


def test_what_failed_is_listed_with_its_reason_and_sent_again(
    api: httpx.Client, settings: Settings, receiver: Receiver
) -> None:
    receiver.answer = lambda _: Answer(500)
    made = register(api, receiver.url())
    path = f"/webhooks/{made['id']}"
    with dispatching(settings):
        id_ = api.post(f"{path}/test").json()["id"]
        (listed,) = eventually(
            lambda: [one for one in api.get(f"{path}/deliveries").json()["deliveries"] if one["attempts"]]
        )
        assert (listed["id"], listed["status"]) == (id_, "pending")
        assert listed["attempts"][0]["error"] == "HTTP 500"
        assert listed["next_attempt_at"] > listed["created_at"]
        shown = api.get(path).json()
        assert (shown["status"], shown["last_error"]) == ("failing", "HTTP 500")

        receiver.answer = lambda _: Answer(200)
        assert api.post(f"{path}/deliveries/{id_}/redeliver").json()["status"] == "pending"
        eventually(lambda: api.get(f"{path}/deliveries").json()["deliveries"][0]["status"] == "delivered")
        assert {taken.id for taken in receiver.taken} == {id_}
        assert api.get(path).json()["status"] == "active"

        count = len(receiver.taken)
        again = {"from": listed["created_at"], "statuses": ["delivered"]}
        assert api.post(f"{path}/redeliver", json=again).json() == {"deliveries": 1}
        assert receiver.wait(count + 1)[-1].id == id_
        eventually(lambda: api.get(f"{path}/deliveries").json()["deliveries"][0]["status"] == "delivered")
        nothing = {"to": listed["created_at"], "statuses": ["delivered"]}
        assert api.post(f"{path}/redeliver", json=nothing).json() == {"deliveries": 0}
        assert api.post(f"{path}/redeliver", json={}).json() == {"deliveries": 0}
    problem(api.post(f"{path}/deliveries/msg_none/redeliver"), 404, "unknown-delivery")


def test_a_rotated_secret_is_shown_once_beside_the_end_of_the_old_one(api: httpx.Client, receiver: Receiver) -> None:
    made = register(api, receiver.url())
    assert made["old_secret_until"] is None
    rotated = api.post(f"/webhooks/{made['id']}/rotate").json()
    assert rotated["secret"] != made["secret"]
    assert rotated["old_secret_until"] > rotated["created_at"]
    assert rotated["secret"] not in api.get(f"/webhooks/{made['id']}").text


def test_without_a_key_that_may_manage_nothing_is_returned(
    server_url: str, settings: Settings, api: httpx.Client, receiver: Receiver
) -> None:
    register(api, receiver.url())
    keys = ApiKeyStore(server_url, settings.bus.key_prefix)
    made = {scope: ApiKey.make(scope, scope, time.time_ns() // 1_000_000, None) for scope in ("read", "manage")}
    for _, key in made.values():
        keys.add(key)
    keys.close()
    eventually(lambda: api.get("/webhooks").status_code == 401)
    answers = {
        scope: api.get("/webhooks", headers={"Authorization": f"Bearer {text}"}) for scope, (text, _) in made.items()
    }
    assert {scope: answer.status_code for scope, answer in answers.items()} == {"read": 403, "manage": 200}


NOW_MS = time.time_ns() // 1_000_000
"""Deliveries that ended long ago are gone."""


@given(
    states=st.lists(st.sampled_from(list(Status)), max_size=12),
    limit=st.integers(1, 5),
    status=st.none() | st.sampled_from(list(Status)),
)
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_of_deliveries_hold_each_once_the_newest_first(
    server_url: str, settings: Settings, api: httpx.Client, states: list[Status], limit: int, status: Status | None
) -> None:
    store = WebhookStore(server_url, settings.bus.key_prefix)
    store.remove("ep_pages")
    store.add(endpoint("https://example.com", "ep_pages"), 3)
    for number, state in enumerate(states):
        delivery = Delivery.of(sample(EventType.CAMERA_UP, str(number), NOW_MS), "ep_pages", 100 + number, NOW_MS)
        store.send_again("ep_pages", [replace(delivery, status=state)])
    store.close()
    query: dict[str, Any] = {"limit": limit} | ({} if status is None else {"status": status.value})
    found: list[str] = []
    while True:
        page = api.get("/webhooks/ep_pages/deliveries", params=query).json()
        assert len(page["deliveries"]) <= limit
        found += [one["id"].split("-")[1].split("_")[0] for one in page["deliveries"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert found == [str(number) for number, state in enumerate(states) if status in (None, state)][::-1]


SECONDS = st.none() | st.integers(-1, 7)


@given(
    made=st.lists(st.tuples(st.integers(0, 6), st.sampled_from(list(Status))), max_size=12),
    first=SECONDS,
    last=SECONDS,
    statuses=st.none() | st.lists(st.sampled_from(list(Status)), min_size=1, unique=True),
)
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_for_again_is_what_ended_so_and_was_made_then(
    server_url: str,
    settings: Settings,
    api: httpx.Client,
    made: list[tuple[int, Status]],
    first: int | None,
    last: int | None,
    statuses: list[Status] | None,
) -> None:
    store = WebhookStore(server_url, settings.bus.key_prefix)
    store.remove("ep_again")
    store.add(endpoint("https://example.com", "ep_again"), 3)
    for number, (second, status) in enumerate(made):
        at_ms = NOW_MS + second * 1000
        delivery = Delivery.of(sample(EventType.CAMERA_UP, str(number), NOW_MS), "ep_again", 100 + number, at_ms)
        store.send_again("ep_again", [replace(delivery, status=status)])
    asked: dict[str, Any] = {} if statuses is None else {"statuses": [status.value for status in statuses]}
    asked |= {
        name: to_rfc3339(NOW_MS + second * 1000)
        for name, second in (("from", first), ("to", last))
        if second is not None
    }
    answer = api.post("/webhooks/ep_again/redeliver", json=asked)
    kinds = {Status.EXPIRED, Status.SUPERSEDED, Status.FAILED} if statuses is None else set(statuses)
    again = [
        status in kinds - {Status.PENDING} and (first is None or first <= second) and (last is None or second < last)
        for second, status in made
    ]
    assert answer.json() == {"deliveries": sum(again)}
    now = {one.sequence - 100: one.status for one in store.deliveries("ep_again", lambda _: True, 100)}
    store.close()
    assert now == {number: Status.PENDING if again[number] else status for number, (_, status) in enumerate(made)}


def test_a_path_lists_every_method_that_it_allows(api: httpx.Client) -> None:
    allowed = {path: api.put(path).headers["allow"].split(", ") for path in ("/webhooks", "/webhooks/ep_1", "/mood")}
    assert {path: sorted(methods) for path, methods in allowed.items()} == {
        "/webhooks": ["GET", "POST"],
        "/webhooks/ep_1": ["DELETE", "GET", "PATCH"],
        "/mood": ["GET"],
    }


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b'{"from": {}}', b'{"to": "yesterday"}'])
def test_a_body_that_is_not_what_it_should_be_is_a_problem_like_any_other(api: httpx.Client, body: bytes) -> None:
    answer = api.post("/webhooks/ep_1/redeliver", content=body, headers={"content-type": "application/json"})
    problem(answer, 422, "invalid-request")
