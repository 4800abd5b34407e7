"""Where deliveries may go: every spelling of our own network is refused, unless it is allowed."""

import asyncio
import ipaddress
from ipaddress import ip_address, ip_network

import pytest

from webhooks.addresses import RefusedAddressError, is_public, parse, permitted, resolve
from webhooks.sending import retry_after

PUBLIC = "93.184.215.14"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",  # carriers' own, and some clouds' metadata
        "100.100.100.200",  # Alibaba's metadata
        "169.254.169.254",  # most clouds' metadata
        "168.63.129.16",  # Azure's, at an address that looks public
        "192.0.0.192",  # Oracle's
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",  # Amazon's metadata
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",  # the same through NAT64
        "64:ff9b:1::1",
        "2002:7f00:1::",  # 127.0.0.1 through 6to4
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
        "2001:db8::1",
        "::127.0.0.1",
        "fec0::1",
    ],
)
def test_what_is_not_on_the_internet_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_what_is_on_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_the_first_address_that_may_be_is_taken() -> None:
    addresses = [ip_address("10.0.0.1"), ip_address(PUBLIC), ip_address("8.8.8.8")]
    assert permitted(addresses, "https", []) == ip_address(PUBLIC)


@pytest.mark.parametrize(
    ("address", "scheme", "why"),
    [
        ("10.0.0.1", "https", "10.0.0.1 is in a private or local network; CROWDMOOD_WEBHOOKS__ALLOW_NETWORKS may"),
        (PUBLIC, "http", "unencrypted: use https"),
    ],
)
def test_what_may_not_be_is_refused_with_the_way_out(address: str, scheme: str, why: str) -> None:
    with pytest.raises(RefusedAddressError, match=why):
        permitted([ip_address(address)], scheme, [])


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254"],
)
def test_no_setting_allows_a_metadata_address(address: str) -> None:
    everything = [ip_network("0.0.0.0/0"), ip_network("::/0")]
    with pytest.raises(RefusedAddressError, match="credentials"):
        permitted([ip_address(address)], "http", everything)


def test_an_allowed_network_may_be_reached_also_unencrypted_and_no_other() -> None:
    allowed = [ipaddress.ip_network("10.20.0.0/16")]
    assert permitted([ip_address("10.20.3.4")], "http", allowed) == ip_address("10.20.3.4")
    assert permitted([ip_address("::ffff:10.20.3.4")], "http", allowed) == ip_address("::ffff:10.20.3.4")
    with pytest.raises(RefusedAddressError):
        permitted([ip_address("10.21.0.1")], "http", allowed)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "write https://HOST/PATH"),
        ("file:///etc/passwd", "write https://HOST/PATH"),
        ("https://", "write https://HOST/PATH"),
        ("https://host:0/", "write https://HOST/PATH"),
        ("https://host:99999/", "no URL"),
        ("https://[::1/", "no URL"),
        ("https://user@host/", "do not belong into a URL"),
        ("https://user:password@host/", "do not belong into a URL"),
        ("https://host/#part", "fragment"),
        ("https://host/a b", "percent-encoded"),
        ("https://hóst/", "percent-encoded"),
        ("https://host/\r\nx", "percent-encoded|write https"),
    ],
)
def test_what_is_no_address_to_post_to_is_refused(url: str, why: str) -> None:
    with pytest.raises(RefusedAddressError, match=why):
        parse(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_every_spelling_of_this_machine_is_refused_when_it_is_resolved(host: str) -> None:
    with pytest.raises(RefusedAddressError, match="private or local"):
        asyncio.run(resolve(parse(f"https://{host}/"), []))


def test_a_name_without_an_address_says_so() -> None:
    with pytest.raises(RefusedAddressError, match=r"nowhere.invalid has no address"):
        asyncio.run(resolve(parse("https://nowhere.invalid/"), []))


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("99999999", 86_400.0),
        ("-5", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:17:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_a_day(value: str | None, wait_s: float | None) -> None:
    assert retry_after(value, 1000.0) == wait_s
