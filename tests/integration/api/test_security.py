"""Who may do what, on a real socket: keys, limits, headers, and the port that is for operators."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api import service
from api.security import HEAD_BYTES, PHOTO_BYTES
from app import check
from crowdmood.core.errors import SettingsError
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.store.api_keys import ApiKey, ApiKeyStore, Scope
from crowdmood.store.moods import MoodStore
from tests.serving import ready, running

HEADERS = {
    "cache-control",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "cross-origin-resource-policy",
    "content-security-policy",
}


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    return load(state_url=server_url, bus=bus_settings.model_dump(), api={"port": 0})


@pytest.fixture
def keys(server_url: str, bus_settings: BusSettings) -> Iterator[ApiKeyStore]:
    store = ApiKeyStore(server_url, bus_settings.key_prefix)
    yield store
    store.close()


@pytest.fixture
def moods(server_url: str, bus_settings: BusSettings) -> Iterator[MoodStore]:
    store = MoodStore(server_url, bus_settings.key_prefix)
    yield store
    store.close()


def make(keys: ApiKeyStore, scope: Scope, lives_s: float | None = None) -> str:
    now_ms = round(time.time() * 1000)
    text, key = ApiKey.make("test", scope, now_ms, None if lives_s is None else now_ms + round(lives_s * 1000))
    keys.add(key)
    return text


def with_api(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"api": settings.api.model_copy(update=changes)})


def test_without_a_key_a_public_address_is_refused(settings: Settings, keys: ApiKeyStore) -> None:
    public = with_api(settings, host="0.0.0.0")
    with pytest.raises(SettingsError, match=r"no API key exists yet.*`crowdmood keys create NAME`"):
        service.run(public, threading.Event())
    with pytest.raises(SettingsError, match="no API key exists yet"):
        service.run(with_api(settings, trusted_proxies=("127.0.0.1",)), threading.Event())
    make(keys, "read", lives_s=0)  # one that opens nothing is none
    with pytest.raises(SettingsError, match="no API key exists yet"):
        service.run(public, threading.Event())


def test_a_public_address_asks_every_client_for_a_key_but_says_that_it_lives(
    settings: Settings, keys: ApiKeyStore
) -> None:
    key = make(keys, "read")
    with running(with_api(settings, host="0.0.0.0")) as api:
        assert api.eventually("/mood", lambda answer: answer.status_code == 200, key).json()["status"] == "stale"
        for path in ("/mood", "/moods", "/cameras", "/metrics"):
            answer = api.get(path)
            assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized"), path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert api.get(path, key).status_code == 200
            assert api.get(path, key[:-1]).status_code == 401
        for path in ("/livez", "/readyz", "/openapi.json", "/schemas/mood"):
            assert api.get(path).status_code == 200, path


def test_who_may_read_may_not_manage_and_who_may_manage_may_read(settings: Settings, keys: ApiKeyStore) -> None:
    reader, manager = make(keys, "read"), make(keys, "manage")
    with running(settings) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200, manager)
        refused = api.get("/webhooks", reader)
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
        assert refused.json()["detail"] == f"the key {reader.split('_')[1]} allows 'read', not 'manage'"
        assert api.get("/webhooks").status_code == 401
        assert api.get("/webhooks", manager).status_code == 200


def test_only_a_key_that_may_manage_sees_where_frames_come_from(
    settings: Settings, keys: ApiKeyStore, moods: MoodStore
) -> None:
    reader, manager = make(keys, "read"), make(keys, "manage")
    north = {"state": "live", "source": "rtsp://me:hunter2@192.0.2.1/stream?token=hunter2"}
    moods.publish([], run_id="test", checkpoint={}, cameras={"north": north})
    with running(settings) as api:
        answer = api.eventually("/cameras", lambda answer: answer.status_code == 200 and bool(answer.json()), manager)
        assert answer.json()[0]["source"] == "rtsp://192.0.2.1/…"
        read = api.get("/cameras", reader)
        assert (read.status_code, read.json()[0]["source"]) == (200, None)
        assert "192.0.2.1" not in read.text


def test_a_websocket_opens_for_a_key_that_may_read_and_for_no_foreign_page(
    settings: Settings, keys: ApiKeyStore
) -> None:
    def opened(url: str, **headers: str) -> int:
        try:
            with connect(url.replace("http", "ws", 1) + "/mood/stream", additional_headers=headers):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    with ready(settings) as api:
        assert opened(api.url) == 101
        assert opened(api.url, Origin="https://evil.example") == 403
        key = make(keys, "read")
        api.eventually("/mood", lambda answer: answer.status_code == 401)
        assert opened(api.url) == 401
        assert opened(api.url, Authorization=f"Bearer {key}") == 101


def test_without_any_key_this_machine_is_trusted_and_web_pages_are_not(settings: Settings) -> None:
    with ready(settings) as api:
        assert api.get("/mood").status_code == 200
        for origin in ("https://evil.example", "https://127.evil.example", "http://127.0.0.1.evil.example", "null"):
            page = httpx.get(api.url + "/mood", headers={"Origin": origin})
            assert (page.status_code, page.json()["type"]) == (403, "/problems/foreign-origin"), origin
        for origin in (api.url, "http://localhost:8000", "http://127.8.9.10", "http://[::1]:8000"):
            assert httpx.get(api.url + "/mood", headers={"Origin": origin}).status_code == 200, origin


def test_without_any_key_a_name_that_was_made_to_mean_this_machine_opens_nothing(
    settings: Settings, keys: ApiKeyStore
) -> None:
    def asked_as(host: str, path: str = "/mood") -> httpx.Response:
        return httpx.get(api.url + path, headers={"Host": host})

    with ready(settings) as api:
        for host in ("rebound.example", "127.evil.example:8000", "localhost.evil.example", "10.0.0.1", "[::1", ""):
            for path in ("/", "/mood", "/webhooks", "/readyz"):
                refused = asked_as(host, path)
                assert (refused.status_code, refused.json()["type"]) == (421, "/problems/foreign-host"), host
        for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.8.9.10", "[::1]:8000"):
            assert asked_as(host).status_code == 200, host
        key = make(keys, "read")
        api.eventually("/mood", lambda answer: answer.status_code == 401)
        named = httpx.get(api.url + "/mood", headers={"Host": "mood.example", "Authorization": f"Bearer {key}"})
        assert named.status_code == 200  # who has a key may call it as it likes


def test_a_first_key_shuts_a_local_api_and_a_revoked_one_does_not_open_it_again(
    settings: Settings, keys: ApiKeyStore
) -> None:
    with ready(settings) as api:
        assert api.get("/mood").status_code == 200
        key = make(keys, "read")
        api.eventually("/mood", lambda answer: answer.status_code == 401)
        assert api.get("/mood", key).status_code == 200
        assert keys.revoke(key.split("_")[1], round(time.time() * 1000))
        refused = api.eventually("/mood", lambda answer: answer.status_code == 401, key)
        assert "unknown, expired or revoked" in refused.json()["detail"]
        assert api.get("/mood").status_code == 401


def test_a_client_over_its_rate_limit_learns_how_long_to_wait(settings: Settings, keys: ApiKeyStore) -> None:
    key = make(keys, "read")
    with running(with_api(settings, requests_per_s=1)) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 200, key)
        with ThreadPoolExecutor(8) as pool:  # at once: a slow machine would answer one a second
            answers = list(pool.map(lambda _: api.get("/mood", key), range(16)))
        assert {answer.status_code for answer in answers} == {200, 429}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["type"] == "/problems/rate-limited"
        time.sleep(int(refused.headers["retry-after"]))
        assert api.get("/mood", key).status_code == 200


def test_guessing_keys_is_limited_as_well(settings: Settings, keys: ApiKeyStore) -> None:
    make(keys, "manage")
    with running(with_api(settings, requests_per_s=1)) as api:
        api.eventually("/mood", lambda answer: answer.status_code == 401)
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda number: api.get("/mood", f"cm_0123456789ab_{number}"), range(16))
            assert 429 in {answer.status_code for answer in answers}


def refused_by_length(url: str, path: str, length: int) -> tuple[int, str]:
    """The answer to a body of which nothing was sent yet."""
    with contextlib.closing(HTTPConnection(url.removeprefix("http://"), timeout=60)) as connection:
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["type"]


def test_what_is_too_large_is_refused_before_it_is_read(settings: Settings) -> None:
    with running(settings) as api, httpx.Client(base_url=api.url) as client:
        api.eventually("/readyz", lambda answer: answer.status_code == 200)
        assert refused_by_length(api.url, "/predict", PHOTO_BYTES + 1) == (413, "/problems/too-large")
        assert refused_by_length(api.url, "/mood", 65 * 1024) == (413, "/problems/too-large")
        chunks = client.post("/mood", content=(part for part in (b"a", b"b")))
        assert (chunks.status_code, chunks.json()["type"]) == (411, "/problems/length-required")
        assert chunks.headers["connection"] == "close"
        long = client.get("/mood?camera=" + "a" * 9_000)
        assert (long.status_code, long.json()["type"]) == (414, "/problems/url-too-long")
        for headers in ({"X-Note": "a" * HEAD_BYTES}, {f"X-{number}": "a" * 100 for number in range(400)}):
            much = client.get("/mood", headers=headers)
            assert (much.status_code, much.json()["type"]) == (431, "/problems/headers-too-large")
        assert client.get("/mood", headers={"X-Note": "a" * (HEAD_BYTES - 1024)}).status_code == 200


def test_every_answer_carries_the_headers_that_keep_browsers_careful(settings: Settings) -> None:
    with ready(settings) as api:
        for path in ("/mood", "/cameras", "/nowhere", "/moods?limit=0", "/metrics"):
            headers = api.get(path).headers
            assert set(headers) >= HEADERS, path
            assert "access-control-allow-origin" not in headers
            assert "server" not in headers
        assert api.get("/mood").headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_cross_origin_requests_are_allowed_for_the_origins_that_are_named(
    settings: Settings, keys: ApiKeyStore
) -> None:
    make(keys, "read")
    asked = {
        "Origin": "https://boards.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    with ready(with_api(settings, cors_origins=("https://boards.example",))) as api:
        allowed = httpx.options(api.url + "/mood", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://boards.example"
        refused = httpx.options(api.url + "/mood", headers=asked | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in refused.headers
        unknown = httpx.get(api.url + "/mood", headers={"Origin": "https://boards.example"})
        assert unknown.status_code == 401
        assert unknown.headers["access-control-allow-origin"] == "https://boards.example"
    with ready(settings) as api:
        assert "access-control-allow-origin" not in httpx.options(api.url + "/mood", headers=asked).headers


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "X-FORWARDED-PROTO", "X-Forwarded-Host", "Forwarded", "Via", "X-Real-IP", "CF-Connecting-IP"],
)
def test_without_keys_a_request_through_a_proxy_is_refused(settings: Settings, header: str) -> None:
    with ready(settings) as api:
        for path in ("/keys", "/mood"):
            refused = httpx.get(api.url + path, headers={header: "192.0.2.1"})
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/proxied")
            assert f"'{header.lower()}' of a proxy: create a key (`crowdmood keys create`)" in refused.json()["detail"]
        with pytest.raises(InvalidStatus) as caught:
            connect(api.url.replace("http", "ws", 1) + "/mood/stream", additional_headers={header: "192.0.2.1"})
        assert caught.value.response.status_code == 403
        assert api.get("/keys").status_code == 200


def test_with_a_key_a_request_through_a_proxy_is_answered(settings: Settings, keys: ApiKeyStore) -> None:
    key = make(keys, "read")
    with running(settings) as api:
        login = {"Authorization": f"Bearer {key}", "Via": "1.1 proxy", "X-Forwarded-For": "192.0.2.1"}
        api.eventually("/mood", lambda answer: answer.status_code == 200, key)
        assert httpx.get(api.url + "/mood", headers=login).status_code == 200


def test_what_operators_ask_can_be_moved_to_a_port_of_its_own(settings: Settings, keys: ApiKeyStore) -> None:
    make(keys, "read")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(with_api(settings, ops_port=port)) as api:
        ops = f"http://127.0.0.1:{port}"
        api.eventually("/mood", lambda answer: answer.status_code == 401)
        for path in ("/livez", "/readyz", "/metrics"):
            assert httpx.get(ops + path).status_code == 200
            assert api.get(path).status_code == 404
        for path in ("/mood", "/cameras", "/openapi.json"):
            assert httpx.get(ops + path).status_code == 404
        local = settings.model_copy(update={"bus_url": settings.state_url})
        (finding,) = check.check(with_api(local, ops_port=port), ["api"])
        assert finding.healthy, finding.detail


def test_operators_need_a_port_of_another_number(settings: Settings) -> None:
    same = with_api(settings, port=8123, ops_port=8123, ops_host="127.0.0.2")
    with pytest.raises(SettingsError, match="CROWDMOOD_API__PORT and CROWDMOOD_API__OPS_PORT are both 8123"):
        service.run(same, threading.Event())


def test_behind_a_trusted_proxy_the_limit_is_of_each_client(settings: Settings, keys: ApiKeyStore) -> None:
    make(keys, "read")

    def statuses(url: str) -> set[int]:
        return {
            httpx.get(url + "/mood", headers={"X-Forwarded-For": f"192.0.2.{number}"}).status_code
            for number in range(15)
        }

    with ready(with_api(settings, requests_per_s=1, trusted_proxies=("127.0.0.1",))) as api:
        assert statuses(api.url) == {401}
    with ready(with_api(settings, requests_per_s=1)) as api:  # any client may claim another address
        assert 429 in statuses(api.url)
