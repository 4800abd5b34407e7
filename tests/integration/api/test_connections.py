"""What one client may keep open, on the real server: connections, requests whose bodies are slow, and streams."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api import protocol, security
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.store.api_keys import ApiKey, ApiKeyStore, Scope
from tests.serving import Running, ready, running
from tests.waiting import eventually


@pytest.fixture
def settings(server_url: str, bus_settings: BusSettings) -> Settings:
    return load(state_url=server_url, bus=bus_settings.model_dump(), api={"port": 0, "predict": True})


@pytest.fixture
def keys(server_url: str, bus_settings: BusSettings) -> Iterator[ApiKeyStore]:
    store = ApiKeyStore(server_url, bus_settings.key_prefix)
    yield store
    store.close()


def make(keys: ApiKeyStore, scope: Scope) -> str:
    text, key = ApiKey.make("test", scope, round(time.time() * 1000), None)
    keys.add(key)
    return text


def with_api(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"api": settings.api.model_copy(update=changes)})


def connected(api: Running) -> socket.socket:
    host, port = api.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def head(method: str, path: str, *lines: str, key: str | None = None) -> bytes:
    login = [] if key is None else [f"Authorization: Bearer {key}"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *login, *lines, "", ""]).encode()


def answer_of(connection: socket.socket) -> tuple[int, str]:
    """The status of the next answer, and the type of its problem."""
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.status, json.loads(answer.read())["type"] if answer.status >= 400 else ""


def closed_in_time(connection: socket.socket) -> bool:
    """Whether the server closes the connection, to which a byte is sent every now and then."""
    end = time.monotonic() + 90
    connection.settimeout(0.2)
    while time.monotonic() < end:
        try:
            connection.send(b" ")
            if not connection.recv(65_536):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def test_slow_bodies_without_a_key_are_refused_and_closed(
    settings: Settings, keys: ApiKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 3.0)  # also for what follows an answer
    make(keys, "manage")
    with running(settings) as api, contextlib.ExitStack() as stack:
        api.eventually("/keys", lambda answer: answer.status_code == 401)
        slow = [stack.enter_context(connected(api)) for _ in range(150)]
        for connection in slow:
            connection.sendall(head("POST", "/keys", "Content-Type: application/json", "Content-Length: 60000") + b"{")
        assert {answer_of(connection) for connection in slow} == {(401, "/problems/unauthorized")}
        with ThreadPoolExecutor(len(slow)) as pool:
            assert list(pool.map(closed_in_time, slow)) == [True] * len(slow)


def test_the_scope_is_checked_before_the_body_of_every_route(settings: Settings, keys: ApiKeyStore) -> None:
    reader = make(keys, "read")
    with running(settings) as api:
        api.eventually("/keys", lambda answer: answer.status_code == 401)
        paths = api.get("/openapi.json").json()["paths"]
        taking = {
            (method.upper(), path.replace("{", "").replace("}", ""))
            for path, operations in paths.items()
            for method, operation in operations.items()
            if "requestBody" in operation
        }
        assert taking >= {("POST", "/keys"), ("POST", "/webhooks"), ("POST", "/predict")}
        for method, path in taking:
            for key, refusal in ((None, (401, "/problems/unauthorized")), (reader, (403, "/problems/forbidden"))):
                with connected(api) as connection:
                    connection.sendall(head(method, path, "Content-Length: 1000", key=key))
                    assert answer_of(connection) == refusal, (method, path)


def test_a_body_that_does_not_arrive_in_time_is_not_waited_for(
    settings: Settings, keys: ApiKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "BODY_WITHIN_S", 1.0)
    key = make(keys, "manage")
    with running(settings) as api:
        api.eventually("/keys", lambda answer: answer.status_code == 200, key)
        for method, path in (("POST", "/keys"), ("PUT", "/cameras/north/regions"), ("PATCH", "/webhooks/ep_1")):
            with connected(api) as connection:
                connection.sendall(head(method, path, "Content-Length: 1000", key=key) + b"{")
                assert answer_of(connection) == (408, "/problems/too-slow")
                assert closed_in_time(connection)


def test_a_client_that_leaves_before_the_end_of_its_body_is_no_error(
    settings: Settings, keys: ApiKeyStore, caplog: pytest.LogCaptureFixture
) -> None:
    key = make(keys, "manage")
    with running(settings) as api:
        api.eventually("/keys", lambda answer: answer.status_code == 200, key)
        with connected(api) as connection:
            connection.sendall(head("POST", "/keys", "Content-Length: 1000", key=key) + b"{")
            api.get("/livez")  # once this is answered, that was read
        api.get("/livez")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_key_holds_no_more_streams_than_it_may(settings: Settings, keys: ApiKeyStore) -> None:
    key, most = make(keys, "read"), settings.api.max_streams
    with running(with_api(settings, requests_per_s=0)) as api, contextlib.ExitStack() as stack:
        api.eventually("/readyz", lambda answer: answer.status_code == 200)
        api.eventually("/mood", lambda answer: answer.status_code == 200, key)
        held, refused = [], 0
        for _ in range(600):
            connection = connected(api)
            connection.sendall(head("GET", "/mood/stream", key=key))
            status, problem = answer_of(connection)
            if status == 200:
                held.append(stack.enter_context(connection))
                continue
            assert (status, problem) == (429, "/problems/too-many-streams")
            assert connection.recv(1) == b""
            connection.close()
            refused += 1
        assert (len(held), refused) == (most, 600 - most)
        with pytest.raises(InvalidStatus) as caught:
            connect(
                api.url.replace("http", "ws", 1) + "/mood/stream", additional_headers={"Authorization": f"Bearer {key}"}
            )
        assert caught.value.response.status_code == 429
        assert api.get("/mood", key).status_code == 200  # polling goes on
        held[0].close()

        def opens() -> bool:
            with connected(api) as connection:
                connection.sendall(head("GET", "/mood/stream", key=key))
                return answer_of(connection)[0] == 200

        eventually(opens)


def test_streams_are_counted_by_address_and_by_key(settings: Settings, keys: ApiKeyStore) -> None:
    first, second, third = (make(keys, "read") for _ in range(3))
    limited = with_api(settings, max_streams=2, trusted_proxies=("127.0.0.1",), requests_per_s=0)
    with running(limited) as api, contextlib.ExitStack() as stack:
        api.eventually("/readyz", lambda answer: answer.status_code == 200)
        api.eventually("/mood", lambda answer: answer.status_code == 200, third)

        def stream(key: str, address: str) -> int:
            connection = stack.enter_context(connected(api))
            connection.sendall(head("GET", "/mood/stream", f"X-Forwarded-For: {address}", key=key))
            return answer_of(connection)[0]

        assert [stream(first, "192.0.2.1"), stream(first, "192.0.2.2"), stream(first, "192.0.2.3")] == [200, 200, 429]
        assert [stream(second, "192.0.2.1"), stream(third, "192.0.2.1")] == [200, 429]
        assert stream(third, "192.0.2.4") == 200


def test_an_address_holds_no_more_connections_than_it_may(settings: Settings) -> None:
    with ready(with_api(settings, max_connections=10)) as api, contextlib.ExitStack() as stack:
        # The connections of `ready` close first.
        def idle() -> list[socket.socket]:
            with contextlib.ExitStack() as trial:
                found = [trial.enter_context(connected(api)) for _ in range(10)]
                found[-1].sendall(head("GET", "/livez"))
                assert answer_of(found[-1])[0] == 200
                trial.pop_all()
                return found

        held = eventually(idle, 60, (AssertionError, ConnectionError))
        for connection in held:
            stack.enter_context(connection)
        polite = [stack.enter_context(connected(api)) for _ in range(10)]
        assert {answer_of(connection) for connection in polite} == {(429, "/problems/too-many-connections")}
        abrupt = stack.enter_context(connected(api))
        with contextlib.suppress(ConnectionError):
            assert abrupt.recv(1) == b""
        held[0].sendall(head("GET", "/livez"))
        assert answer_of(held[0])[0] == 200
        for connection in (*held, *polite):
            connection.close()
        api.eventually("/livez", lambda answer: answer.status_code == 200)


def test_a_websocket_is_a_stream_and_no_longer_a_connection(settings: Settings) -> None:
    limited = with_api(settings, max_connections=2, max_streams=4)
    with ready(limited) as api, contextlib.ExitStack() as stack:
        url = api.url.replace("http", "ws", 1) + "/mood/stream"

        def socket_of() -> object:
            return stack.enter_context(connect(url))

        for _ in range(4):
            eventually(socket_of, 60, (InvalidStatus, ConnectionError, EOFError))
        with pytest.raises(InvalidStatus) as caught:
            connect(url)
        assert caught.value.response.status_code == 429


def test_requests_in_progress_are_counted_by_key(
    settings: Settings, keys: ApiKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "BODY_WITHIN_S", 60.0)
    key, other = make(keys, "manage"), make(keys, "manage")
    limited = with_api(settings, max_connections=3, trusted_proxies=("127.0.0.1",), requests_per_s=0)
    with running(limited) as api, contextlib.ExitStack() as stack:
        api.eventually("/keys", lambda answer: answer.status_code == 200, other)
        for number in range(3):
            connection = stack.enter_context(connected(api))
            address = f"X-Forwarded-For: 192.0.2.{number}"
            connection.sendall(head("POST", "/keys", "Content-Length: 1000", address, key=key) + b"{")
        login = {"Authorization": f"Bearer {key}"}
        refused = eventually(
            lambda: httpx.get(api.url + "/keys", headers=login, timeout=60),
            until=lambda answer: answer.status_code == 429,
        )
        assert refused.json()["type"] == "/problems/too-many-connections"
        assert refused.headers["retry-after"] == "5"
        assert api.get("/keys", other).status_code == 200
