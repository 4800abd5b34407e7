"""Check whether an installation works: its servers respond, and every stage has a worker that is ready."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Literal

from app.embedded import running_servers
from app.stages import PARTS, STAGES
from crowdmood.bus.partitions import AllPartitions
from crowdmood.core.errors import CrowdMoodError, SettingsError
from crowdmood.core.settings import Settings
from crowdmood.store.keys import StateKeys
from crowdmood.store.moods import MoodStore

_TIMEOUT_S = 5.0
_IN_STATE_STORE = ("state", "dispatch")
"""Parts that are checked in the state store. The API is checked over HTTP, all others on the bus."""


@dataclass(frozen=True, slots=True)
class PartHealth:
    """Result of the check of one part.

    Attributes:
        part: One of `PARTS`.
        healthy: Whether it works.
        detail: The workers that are ready, or what is wrong.
    """

    part: str
    healthy: bool
    detail: str


def check(settings: Settings, parts: Sequence[str], host: str = "") -> Iterator[PartHealth]:
    """Check parts of a running installation.

    Args:
        settings: Server addresses; without them, the embedded servers of the data directory are checked.
        parts: Names from `PARTS`.
        host: Count only workers of this host: those whose name starts with it, as default names do. Empty: all hosts.

    Raises:
        SettingsError: There is no such part, or the server that has to be asked is not known.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise SettingsError(f"no part {unknown[0]!r}: use {', '.join(PARTS)}")
    urls = {part: _url(settings, "state" if part in _IN_STATE_STORE else "bus") for part in parts if part != "api"}
    for part in parts:
        try:
            yield PartHealth(part, *_check_part(part, settings, urls.get(part, ""), host))
        except (CrowdMoodError, HTTPException, OSError) as error:
            yield PartHealth(part, False, str(error))


def _check_part(part: str, settings: Settings, url: str, host: str) -> tuple[bool, str]:
    if part == "api":
        ops = settings.api.ops_port
        address = (settings.api.ops_host, ops) if ops else (settings.api.host, settings.api.port)
        with closing(HTTPConnection(*address, timeout=_TIMEOUT_S)) as connection:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            ready = response.status == HTTPStatus.OK
            return ready, "ready" if ready else f"responds with {response.status} {response.reason}"
    if part in _IN_STATE_STORE:
        store = MoodStore(url, settings.bus.key_prefix)
        try:
            store.connection.call(lambda client: client.ping(), patient=False)
            if part == "state":
                return True, "responds"
            # A dispatcher has no heartbeat. Its lease shows that it works.
            lease = StateKeys(settings.bus.key_prefix).dispatcher().lease
            leads = bool(store.connection.call(lambda client: client.exists(lease), patient=False))
            return leads, "delivers" if leads else "no dispatcher delivers"
        finally:
            store.close()
    bus = AllPartitions(url, settings.bus)
    try:
        if part == "bus":
            for one in bus.partitions:
                one.connection.call(lambda client: client.ping(), patient=False)
            return True, "responds"
        prefix = f"{host}-" if host else ""
        found = [one.workers(part) for one in ([bus] if host else bus.partitions)]
        workers = {name: using for some in found for name, using in some.items() if name.startswith(prefix)}
        if not workers:
            return False, "no worker is ready"
        lacking = [str(partition) for partition, some in enumerate(found) if not some]
        # One aggregator reads every partition; the other stages have workers of their own in each partition.
        if lacking and STAGES[part].partitioned:
            return False, f"no worker is ready in partition {', '.join(lacking)}"
        return True, ", ".join(f"{name} ({using})" if using else name for name, using in workers.items())
    finally:
        bus.close()


def server_urls(settings: Settings) -> tuple[str, str]:
    """Return the URLs of the bus and of the state store of a running installation.

    Raises:
        SettingsError: Neither a URL nor a running embedded server is known.
    """
    return _url(settings, "bus"), _url(settings, "state")


def _url(settings: Settings, server: Literal["bus", "state"]) -> str:
    url = settings.bus_url if server == "bus" else settings.state_url
    if url is not None:
        return url.get_secret_value()
    embedded = running_servers(settings.data_dir)
    if embedded is None:
        raise SettingsError(
            f"nothing runs on the data directory {settings.data_dir}: set CROWDMOOD_{server.upper()}_URL, "
            "or set CROWDMOOD_DATA_DIR to the data directory of the running `crowdmood run`"
        )
    return embedded.bus_url if server == "bus" else embedded.state_url
