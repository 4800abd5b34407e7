"""`crowdmood dispatch` as a process, killed again and again: nothing is lost, and nothing comes under a second id."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crowdmood.core.process import SUPERVISED_VARIABLE
from crowdmood.core.settings import BusSettings
from crowdmood.store.moods import MoodStore
from tests.receiver import Answer, Receiver
from tests.waiting import eventually
from tests.webhooks import change, endpoint, publish
from webhooks.events import EventType
from webhooks.store import WebhookStore

ROOT = Path(__file__).parents[3]
CHANGES = 60


def started(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "app", "dispatch", "--name", "dispatch-0"]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE)


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def environment(server_url: str, bus_settings: BusSettings) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "CROWDMOOD_STATE_URL": server_url,
        "CROWDMOOD_BUS__KEY_PREFIX": bus_settings.key_prefix,
        "CROWDMOOD_WEBHOOKS__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        SUPERVISED_VARIABLE: "this-test",  # a dispatcher that is started again takes its own lease at once
    }


def test_a_dispatcher_killed_again_and_again_loses_nothing_and_gives_no_event_a_second_id(
    environment: dict[str, str], webhooks: WebhookStore, moods: MoodStore, receiver: Receiver
) -> None:
    def received() -> int:
        return len({taken.id for taken in receiver.taken})

    receiver.answer = lambda _: Answer(204, after_s=0.05)
    there = endpoint(receiver.url(), events=(EventType.MOOD_CHANGED,))
    webhooks.add(there, 10)
    process = started(environment)
    eventually(lambda: webhooks.watch() or process.poll() is not None)
    kills = 0
    for sequence in range(1, CHANGES + 1):
        publish(moods, changed=change(sequence, valid_s=600))  # it does not perish within this test
        if sequence % 15 == 0:
            eventually(lambda wanted=sequence - 10: received() >= wanted, 80)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            process = started(environment)
            kills += 1
    with ended(process):
        eventually(lambda: received() == CHANGES, 80)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        _, said = process.communicate()
    ids = {}
    for taken in receiver.taken:
        ids.setdefault(taken.json["data"]["sequence"], set()).add(taken.id)
    assert kills == 4
    assert {sequence: len(known) for sequence, known in ids.items()} == dict.fromkeys(range(1, CHANGES + 1), 1)
    first_arrivals = list(dict.fromkeys(taken.json["data"]["sequence"] for taken in receiver.taken))
    assert first_arrivals == sorted(first_arrivals)
    # What was in hand when it died may come twice, under the same id: at most one a death.
    assert CHANGES <= len(receiver.taken) <= CHANGES + kills
    assert there.secrets[0].value.encode() not in said


def test_without_a_state_store_it_says_what_to_set() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CROWDMOOD_")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-m", "app", "dispatch"], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert b"CROWDMOOD_STATE_URL is not set" in done.stderr
