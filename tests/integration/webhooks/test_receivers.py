"""What real receivers get: each adapter's body, over a connection to the address that was checked and to no other."""

import asyncio
import ipaddress
import socket
import ssl
import subprocess
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from api.webhook_samples import sample
from tests.receiver import Answer, Receiver, receiving
from webhooks import addresses, sending
from webhooks.adapters import Adapter, AdapterName
from webhooks.adapters.body import Body
from webhooks.deliveries import Attempt
from webhooks.endpoints import new_secret
from webhooks.events import EventType
from webhooks.sending import Sender

NOW_MS = 1_780_000_000_000
SECRET = new_secret()
LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]
HELLO = Body(b"hello", "text/plain")


def post(url: str, body: Body = HELLO) -> Attempt:
    async def once() -> Attempt:
        sender = Sender(LOOPBACK)
        try:
            return await sender.send(url, body, [SECRET], "msg_1")
        finally:
            await sender.close()

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("name", "source", "content", "content_type"),
    [
        (AdapterName.XIBO, "", b'[{"metric":"crowd_mood","value":"happy","ttl":5}]', "application/json"),
        (AdapterName.TEXT, "", b"happy 5\n", "text/plain; charset=utf-8"),
        (AdapterName.TEMPLATE, '<mood ttl="{{ ttl }}">{{ value }}</mood>', b'<mood ttl="5">happy</mood>', "text/xml"),
        (
            AdapterName.BROADSIGN,
            "",
            b'{"conditions":[{"name":"crowd_mood_angry","enabled":0},{"name":"crowd_mood_disgust","enabled":0},'
            b'{"name":"crowd_mood_fear","enabled":0},{"name":"crowd_mood_sad","enabled":0},'
            b'{"name":"crowd_mood_surprise","enabled":0},{"name":"crowd_mood_neutral","enabled":0},'
            b'{"name":"crowd_mood_cheering","enabled":0},{"name":"crowd_mood_mixed","enabled":0},'
            b'{"name":"crowd_mood_unavailable","enabled":0},{"name":"crowd_mood_happy","enabled":1}],"ttl":5}',
            "application/json",
        ),
        (
            AdapterName.STANDARD,
            "",
            None,
            "application/json",
        ),
    ],
)
def test_a_receiver_gets_what_the_adapter_is_documented_to_send(
    receiver: Receiver, name: AdapterName, source: str, content: bytes | None, content_type: str
) -> None:
    adapter = Adapter(name, "crowd_mood", "unavailable", source, "text/xml")
    body = adapter.render(sample(EventType.MOOD_CHANGED, "1", NOW_MS), NOW_MS)
    attempt = post(receiver.url("/criteria"), body)
    assert (attempt.status_code, attempt.error) == (204, None)
    (taken,) = receiver.at("/criteria")
    assert taken.body == (content or body.content)
    assert taken.headers["content-type"] == content_type
    Webhook(SECRET).verify(taken.body, taken.headers, json_parse=False)


def test_a_name_is_resolved_once_and_the_receiver_still_hears_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        # What the name stands for next would be refused: the name must not be resolved again.
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", look_up)
    url = f"http://board.example:{receiver.port}/hook?zone=home"
    attempt = post(url)
    assert attempt.error is None
    (taken,) = receiver.taken
    assert asked[0] == "board.example"
    assert "board.example" not in asked[1:]
    assert (taken.path, taken.headers["host"]) == ("/hook?zone=home", f"board.example:{receiver.port}")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for `localhost` that signs itself, and its key."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def test_over_tls_the_certificate_must_be_the_names(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    with receiving(tls) as receiver:
        url = f"https://localhost:{receiver.port}/hook"
        assert "certificate verify failed" in str(post(url).error)  # no authority signed it
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert post(url).error is None
        elsewhere = post(f"https://127.0.0.1:{receiver.port}/hook")
        assert "certificate verify failed" in str(elsewhere.error)  # it is not for this name
        assert len(receiver.taken) == 1


def test_a_receiver_that_accepts_no_connection_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "CONNECT_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(8)]
        for one in waiting:  # no one accepts: the queue is full
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        attempt = post(f"http://127.0.0.1:{full.getsockname()[1]}/")
        for one in waiting:
            one.close()
    assert attempt.error == "no connection within 0.5 s"
    assert attempt.duration_ms < 2000


def test_what_a_receiver_says_is_not_kept(receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(500, {"x-note": "in-a-header"}, body=b"in-the-body" * 1000)
    attempt = post(receiver.url())
    assert (attempt.status_code, attempt.error) == (500, "HTTP 500")
    assert "in-" not in repr(attempt)


def test_a_receiver_that_speaks_no_http_fails_with_a_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    attempt = post(f"http://127.0.0.1:{port}/")
    assert attempt.status_code is None
    assert "ConnectError" in str(attempt.error)


@given(st.from_regex(r"https?://[ -~]{1,40}", fullmatch=True) | st.text(max_size=40).map("http://127.0.0.1:1".__add__))
@settings(max_examples=100, deadline=None)
def test_whatever_address_was_registered_an_attempt_ends_with_a_reason(url: str) -> None:
    async def public(*_: object) -> ipaddress.IPv4Address:
        return ipaddress.IPv4Address("93.184.215.14")

    async def refused(*_: object, **__: object) -> httpx.Response:
        raise httpx.ConnectError("no server is there")

    # Whatever it names, nothing is connected to: what becomes of an odd address before that is what matters.
    with patch.object(sending, "resolve", public), patch.object(httpx.AsyncClient, "send", refused):
        assert post(url).error
