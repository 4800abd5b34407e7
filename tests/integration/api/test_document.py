"""What the OpenAPI document says of every resource holds, whatever is asked: as schemathesis finds out."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error, positive_data_acceptance

from api import examples
from api.app import create_app
from crowdmood.core.settings import BusSettings, Settings, load
from crowdmood.store.api_keys import SCOPES, ApiKey, ApiKeyStore
from crowdmood.store.moods import MoodReader, MoodStore
from tests.serving import Running, running

# Nothing is read before an application's lifespan starts: its document needs no server. A stream has no end: its own
# tests read it.
_UNUSED = "redis://127.0.0.1:1"
document = schemathesis.openapi.from_dict(
    create_app(Settings(state_url=_UNUSED, bus_url=_UNUSED), MoodReader(_UNUSED, "test")).openapi()
).exclude(path="/mood/stream")
document.config.generation.update(
    with_security_parameters=False
)  # every request has our key; `ignored_auth` leaves it out


@dataclass(frozen=True)
class Served:
    """A running API with some history, and a key that opens everything."""

    api: Running
    key: str


@pytest.fixture(scope="module")
def served(server_url: str) -> Iterator[Served]:
    bus = BusSettings(key_prefix="test-document")
    store = MoodStore(server_url, bus.key_prefix)
    cameras = {"north": {"state": "live"}, "south": {"state": "frozen"}}
    store.publish(
        [examples.OK, examples.INSUFFICIENT],
        changes=[examples.CHANGE],
        run_id="test",
        checkpoint={},
        cameras=cameras,
    )
    store.close()
    text, key = ApiKey.make("everything", SCOPES, round(time.time() * 1000), None)
    with closing(ApiKeyStore(server_url, bus.key_prefix)) as keys:
        keys.add(key)
    limits = {"port": 0, "requests_per_s": 0}
    with running(load(state_url=server_url, bus_url=server_url, bus=bus.model_dump(), api=limits)) as api:
        api.eventually("/cameras", lambda response: len(response.json()) == 2, text)
        yield Served(api, text)


@document.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_the_document_says(case: Any, served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.key}"}
    # A failure that is documented is one of the answers: no worker runs here. Any other has an unknown status.
    excluded = [not_a_server_error]
    if case.path.startswith("/webhooks") or case.path.endswith("/regions"):
        # No schema says where deliveries may go, what a template may contain or whether sides cross.
        excluded.append(positive_data_acceptance)
    case.call_and_validate(base_url=served.api.url, headers=headers, timeout=60, excluded_checks=excluded)
