"""Tells whether an installation works: its servers answer, and every stage has a worker that is ready."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Literal

from app.embedded import running_servers
from app.stages import STAGES
from crowdmood.bus.partitions import AllPartitions
from crowdmood.core.errors import CrowdMoodError, SettingsError
from crowdmood.core.settings import Settings
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import MoodStore

PARTS = ("bus", "state", *STAGES)
_TIMEOUT_S = 5.0
_OF_STATE = ("state", "dispatch")
"""What the state store tells of; the API tells of itself, and the bus of the others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part.

    Attributes:
        part: One of `PARTS`.
        healthy: Whether it works.
        detail: The workers that are ready, or what is wrong.
    """

    part: str
    healthy: bool
    detail: str


def check(settings: Settings, parts: Sequence[str], of_host: str = "") -> Iterator[Finding]:
    """Look at parts of a running installation.

    Args:
        settings: Where it is; without server addresses, the embedded servers of the data directory.
        parts: Which of `PARTS` to look at.
        of_host: Count only workers that are called after this host, as they are unless they are given a name.

    Raises:
        SettingsError: No such part, or the server that tells of it is not known.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise SettingsError(f"no part {unknown[0]!r}: use {', '.join(PARTS)}")
    urls = {part: _address(settings, "state" if part in _OF_STATE else "bus") for part in parts if part != "api"}
    for part in parts:
        try:
            yield Finding(part, *_look(part, settings, urls.get(part, ""), of_host))
        except (CrowdMoodError, HTTPException, OSError) as error:
            yield Finding(part, False, str(error))


def _look(part: str, settings: Settings, url: str, of_host: str) -> tuple[bool, str]:
    if part == "api":
        ops = settings.api.ops_port
        host, port = (settings.api.ops_host, ops) if ops else (settings.api.host, settings.api.port)
        with closing(HTTPConnection(host, port, timeout=_TIMEOUT_S)) as connection:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            ready = answer.status == HTTPStatus.OK
            return ready, "ready" if ready else f"answers {answer.status} {answer.reason}"
    if part in _OF_STATE:
        store = MoodStore(url, settings.bus.key_prefix)
        try:
            store.connection.call(lambda client: client.ping(), patient=False)
            if part == "state":
                return True, "answers"
            # A dispatcher that works renews its lease: nothing else is told of it.
            lease = StateKeys(settings.bus.key_prefix).dispatcher().lease
            leads = bool(store.connection.call(lambda client: client.exists(lease), patient=False))
            return leads, "delivers" if leads else "none delivers"
        finally:
            store.close()
    bus = AllPartitions(url, settings.bus)
    try:
        if part == "bus":
            for one in bus.partitions:
                one.connection.call(lambda client: client.ping(), patient=False)
            return True, "answers"
        ours = f"{of_host}-" if of_host else ""
        found = [one.workers(part) for one in ([bus] if of_host else bus.partitions)]
        workers = {name: using for some in found for name, using in some.items() if name.startswith(ours)}
        if not workers:
            return False, "no worker is ready"
        lacking = [str(partition) for partition, some in enumerate(found) if not some]
        # One aggregator reads every partition; other stages have workers of their own in each.
        if lacking and STAGES[part].partitioned:
            return False, f"no worker is ready in partition {', '.join(lacking)}"
        return True, ", ".join(f"{name} ({using})" if using else name for name, using in workers.items())
    finally:
        bus.close()


def addresses(settings: Settings) -> tuple[str, str]:
    """Where the bus and the state store of a running installation are.

    Raises:
        SettingsError: Nothing runs there.
    """
    return _address(settings, "bus"), _address(settings, "state")


def _address(settings: Settings, server: Literal["bus", "state"]) -> str:
    url = settings.bus_url if server == "bus" else settings.state_url
    if url is not None:
        return url.get_secret_value()
    embedded = running_servers(settings.data_dir)
    if embedded is None:
        raise SettingsError(
            f"nothing runs on the data directory {settings.data_dir}: set CROWDMOOD_{server.upper()}_URL, "
            "or CROWDMOOD_DATA_DIR to where `crowdmood run` was started with"
        )
    return embedded.bus_url if server == "bus" else embedded.state_url
