"""Every filter and cursor, on moods that are really in a state store: against the plain meaning of the words."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import examples, history
from api.answers import Board
from api.app import create_app
from crowdmood.core.settings import AggregatorSettings, BusSettings, Settings
from crowdmood.domain.mood import Mood, MoodChange, to_rfc3339
from crowdmood.store.moods import MoodReader, MoodStore

MINUTES = 30
ZONES = ("stadium", "home", "away")
CAMERAS = ("north", "south")


def at_ms(minute: int) -> int:
    return examples.OK.as_of_ms + minute * 60_000


# Two matches, the earlier one replayed after the later one: event time goes back where publication goes on.
MOODS = [
    replace(examples.OK, as_of_ms=at_ms(minute), zone=zone, camera=camera, people=minute)
    for minute in (*range(10, MINUTES), *range(10))
    for zone, camera in (*((zone, None) for zone in ZONES), *(("stadium", camera) for camera in CAMERAS))
]
CHANGES = [
    replace(examples.CHANGE, as_of_ms=at_ms(minute), zone=zone, sequence=minute + 1)
    for minute in (*range(10, MINUTES, 3), *range(0, 10, 3))
    for zone in ZONES
]


RUNS = ("live", "replay-1")


def run_of(item: Mood | MoodChange) -> str:
    return RUNS[item.as_of_ms < at_ms(10)]


@dataclass
class Replicas:
    """Two replicas of the API on one state store."""

    portal: BlockingPortal
    clients: list[httpx.AsyncClient]

    def get(self, replica: int, path: str, query: dict[str, Any]) -> httpx.Response:
        client = self.clients[replica % len(self.clients)]
        return self.portal.call(lambda: client.get(path, params=query))


@pytest.fixture(scope="module")
def replicas(server_url: str) -> Iterator[Replicas]:
    bus = BusSettings(key_prefix="test-paging")
    store = MoodStore(server_url, bus.key_prefix)
    for run in RUNS:
        moods, changes = ([item for item in items if run_of(item) == run] for items in (MOODS, CHANGES))
        store.publish(moods, changes=changes, run_id=run, checkpoint={}, cameras={})
    store.close()
    api_settings = Settings(state_url=server_url, bus=bus, aggregator=AggregatorSettings(stale_after_s=3600))
    apps = [create_app(api_settings, MoodReader(server_url, bus.key_prefix)) for _ in range(2)]
    with start_blocking_portal() as portal:
        lifespans = [portal.wrap_async_context_manager(app.router.lifespan_context(app)) for app in apps]
        with lifespans[0], lifespans[1]:
            transports = [httpx.ASGITransport(app) for app in apps]
            clients = [httpx.AsyncClient(transport=transport, base_url="http://localhost") for transport in transports]
            both = Replicas(portal, clients)
            for replica in range(2):
                while both.get(replica, "/mood", {}).json()["status"] == "stale":
                    pass
            yield both


def wanted(items: list[Any], query: dict[str, Any]) -> list[dict[str, Any]]:
    """What the filters mean, the newest publication first."""

    def holds(item: Mood | MoodChange) -> bool:
        as_of = to_rfc3339(item.as_of_ms)
        return (
            item.zone == query.get("zone", "stadium")
            and getattr(item, "camera", None) == query.get("camera")
            and query.get("run") in (None, run_of(item))
            and query.get("from", "") <= as_of
            and as_of < query.get("to", "~")
        )

    return [item.to_dict() for item in reversed(items) if holds(item)]


TIMES = st.integers(-1, MINUTES + 1).map(lambda minute: to_rfc3339(at_ms(minute)))
SCOPES = st.one_of(
    st.just({}),
    st.sampled_from(ZONES).map(lambda zone: {"zone": zone}),
    st.sampled_from(CAMERAS).map(lambda camera: {"camera": camera}),
)


@st.composite
def filters(draw: st.DrawFn) -> dict[str, Any]:
    first, last = draw(TIMES), draw(TIMES)
    chosen = draw(st.sampled_from([{}, {"from": first}, {"to": last}, {"from": first, "to": last}]))
    run = draw(st.sampled_from([{}, *({"run": run} for run in (*RUNS, "replay"))]))
    return chosen | draw(SCOPES) | run | {"limit": draw(st.integers(1, 40))}


MANY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(query=filters(), scanned=st.sampled_from([500, 10_000]), page=st.sampled_from([7, 50, 500]))
def test_the_pages_of_any_filter_hold_what_it_means_once_whichever_replica_gives_them(
    replicas: Replicas, query: dict[str, Any], scanned: int, page: int
) -> None:
    for path, items in (("moods", MOODS), ("changes", CHANGES)):
        if path == "changes" and "camera" in query:
            continue
        with pytest.MonkeyPatch.context() as patch:
            # However little one request may look at.
            patch.setattr(history, "PAGE", page)
            patch.setattr(history, "MOST_SCANNED", page * 2 if scanned == 500 else scanned)
            read, cursor, number = list[dict[str, Any]](), None, 0
            while number == 0 or cursor is not None:
                given_cursor = {} if cursor is None else {"cursor": cursor}
                response = replicas.get(number, f"/{path}", query | given_cursor)
                assert response.status_code == 200, response.text
                assert len(response.json()[path]) <= query["limit"]
                read += response.json()[path]
                cursor, number = response.json()["next"], number + 1
                assert number < 1_000
        assert read == wanted(items, query)


QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["zone", "camera", "Zone", "limit", ""]),
        st.one_of(st.sampled_from([*ZONES, *CAMERAS, "", "x" * 65]), st.text(max_size=5)),
    ),
    max_size=3,
)


@MANY
@given(query=QUERIES, tag=st.sampled_from([None, "", "*", '"x"', "same", "W/same", '"x", same']))
def test_the_shortcut_of_polls_answers_as_the_application_does(
    replicas: Replicas, query: list[tuple[str, str]], tag: str | None
) -> None:
    etag = replicas.get(0, "/mood", {}).headers["etag"]
    headers = {} if tag is None else {"If-None-Match": tag.replace("same", etag)}

    def ask(replica: int) -> httpx.Response:
        client = replicas.clients[replica]
        return replicas.portal.call(lambda: client.get("/mood", params=query, headers=headers))

    quick, other = ask(0), ask(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Board, "holds", lambda *_: False)
        full = ask(0)
    for response in (quick, other):
        assert (response.status_code, response.content) == (full.status_code, full.content)
        assert response.headers.get("etag") == full.headers.get("etag")
        assert set(response.headers) == set(full.headers)
