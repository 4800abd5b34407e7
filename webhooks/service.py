"""The process `crowdmood dispatch`: stands by until no other one leads, then sends until it is stopped."""

import asyncio
import ipaddress
import logging
import threading

from crowdmood.bus.lease import Lease
from crowdmood.core.health import READINESS
from crowdmood.core.process import identity
from crowdmood.core.settings import Settings, required_url
from crowdmood.store.moods import MoodReader
from webhooks.dispatcher import Dispatcher
from webhooks.sending import Sender
from webhooks.store import WebhookStore

log = logging.getLogger("crowdmood.webhooks")

_LEASE_S = 3.0
"""Seconds after a dispatcher's death until another one may replace it."""


def run(settings: Settings, stop: threading.Event, worker_name: str) -> None:
    """Deliver webhooks.

    Args:
        settings: The settings.
        stop: Set when to stop; the caller handles signals (`crowdmood.core.process.stop_signals`).
        worker_name: The same after a restart, so that a restarted process acquires its former lease at once.

    Raises:
        SettingsError: The address of the state store is not set.
        LeadershipLostError: Another dispatcher has acquired the lease.
    """
    url = required_url(settings.state_url, "state")
    store = WebhookStore(url, settings.bus.key_prefix, stop, settings.webhooks.deliveries_hours * 3600)
    lease = Lease(store.connection, store.keys.dispatcher(), identity(worker_name), _LEASE_S)
    try:
        if lease.wait(stop, READINESS.renew):
            asyncio.run(_dispatch(settings, url, store, lease, stop))
            lease.release()
    finally:
        store.close()


async def _dispatch(settings: Settings, url: str, store: WebhookStore, lease: Lease, stop: threading.Event) -> None:
    allowed = [ipaddress.ip_network(network) for network in settings.webhooks.allow_networks]
    reader = MoodReader(url, settings.bus.key_prefix)
    await Dispatcher(settings, store, reader, lease, Sender(allowed), stop).run()
