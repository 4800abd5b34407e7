"""Check which addresses deliveries may go to: a client's URL must not lead into our own network (SSRF)."""

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
"""The part of IPv6 that is assigned for the internet."""
_SPECIAL = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("168.63.129.16/32"))
"""Ranges of internal servers of Oracle's and Azure's clouds, which Python classifies as global.

Other clouds use link-local addresses.
"""


_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254"),
    )
)
"""Servers of clouds that give out credentials; no setting allows them."""


class RefusedAddressError(Exception):
    """A delivery may not or cannot go to an address; the text gives the reason and the remedy."""


def parse(url: str) -> SplitResult:
    """Return the parts of an endpoint's URL.

    Raises:
        RefusedAddressError: The URL is not http or https, or contains a password, a fragment or characters outside
            ASCII.
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
    """Return whether an address is on the internet, not in a private, local or special range.

    IPv6 addresses that embed an IPv4 address are checked by the embedded one.
    """
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _UNICAST
    return not any(address in network for network in _SPECIAL)


def permitted(addresses: Iterable[Address], scheme: str, allowed: Sequence[Network]) -> Address:
    """Return the first permitted address, to connect to.

    Args:
        addresses: The addresses of the host.
        scheme: `http` is permitted for allowed networks only.
        allowed: Networks that deliveries may go to although they are not public.

    Raises:
        RefusedAddressError: None of the addresses is permitted.
    """
    refused = ""
    for address in addresses:
        inner = _embedded(address) or address
        if inner in _METADATA:
            raise RefusedAddressError(f"{address} gives out credentials of a cloud's machine: no delivery goes there")
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
    """Resolve an endpoint's host once and return the address to connect to.

    Args:
        parts: The parts of the endpoint's URL.
        allowed: See `permitted`.
        executor: Runs the blocking lookup; None: the loop's default executor.

    Raises:
        RefusedAddressError: The host has no address, or no permitted one.
    """
    loop = asyncio.get_running_loop()
    return permitted(await loop.run_in_executor(executor, _look_up, parts), parts.scheme, allowed)


def resolve_now(parts: SplitResult, allowed: Sequence[Network]) -> Address:
    """Return the same as `resolve`, and block until the lookup ends."""
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
    """Return the IPv4 address that an IPv6 address embeds, or None."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
