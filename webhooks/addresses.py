"""Where deliveries may go: an address given by somebody else must not lead into our own network (SSRF)."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is assigned for the internet."""
_SPECIAL = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("168.63.129.16/32"))
"""Where clouds keep servers of their own that Python may call global: Oracle's, Azure's. Others' are link-local."""


class RefusedAddressError(Exception):
    """A delivery may not, or cannot, go there; the text says why and what to do."""


def parse(url: str) -> SplitResult:
    """The parts of an endpoint's URL.

    Raises:
        RefusedAddressError: It is no http or https URL, or carries what we would have to keep secret or cannot send.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RefusedAddressError(f"no URL: {error}") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise RefusedAddressError("write https://HOST/PATH")
    if not url.isascii() or any(character.isspace() or not character.isprintable() for character in url):
        raise RefusedAddressError("write other characters than ASCII percent-encoded, and names as punycode")
    if parts.username is not None or parts.password is not None:
        raise RefusedAddressError("user and password do not belong into a URL: deliveries are signed instead")
    if parts.fragment:
        raise RefusedAddressError("a fragment (#…) is never sent: leave it out")
    return parts


def is_public(address: Address) -> bool:
    """Whether an address is on the internet, rather than in a private, local or special range, however written."""
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _UNICAST
    return not any(address in network for network in _SPECIAL)


def permitted(addresses: Iterable[Address], scheme: str, allowed: Sequence[Network]) -> Address:
    """The address to connect to: the first that may be.

    Args:
        addresses: What the host's name stands for.
        scheme: `http` is only for allowed networks.
        allowed: Networks that deliveries may go to although they are not public.

    Raises:
        RefusedAddressError: None may be.
    """
    refused = ""
    for address in addresses:
        inner = _embedded(address) or address
        if any(inner in network for network in allowed):
            return address
        if not is_public(address):
            refused = f"{address} is in a private or local network"
        elif scheme == "http":
            refused = f"{address} would get it unencrypted: use https"
        else:
            return address
    raise RefusedAddressError(f"{refused}; CROWDMOOD_WEBHOOKS__ALLOW_NETWORKS may allow its network")


async def resolve(parts: SplitResult, allowed: Sequence[Network], executor: Executor | None = None) -> Address:
    """Resolve an endpoint's host, once, to the one address to connect to.

    Args:
        parts: The parts of its URL.
        allowed: As `permitted` has it.
        executor: Where to wait for the answer.

    Raises:
        RefusedAddressError: It has no address, or none that deliveries may go to.
    """
    loop = asyncio.get_running_loop()
    return permitted(await loop.run_in_executor(executor, _look_up, parts), parts.scheme, allowed)


def resolve_now(parts: SplitResult, allowed: Sequence[Network]) -> Address:
    """The same for who may wait."""
    return permitted(_look_up(parts), parts.scheme, allowed)


def _look_up(parts: SplitResult) -> list[Address]:
    assert parts.hostname is not None
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or _PORTS[parts.scheme], type=socket.SOCK_STREAM)
        # A link-local address comes with its interface: "fe80::1%eth0".
        return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise RefusedAddressError(f"{parts.hostname} has no address: {reason or error}") from None


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
