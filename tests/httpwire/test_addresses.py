"""Which addresses may be dialled: what is judged is every meaning that an address has."""

from __future__ import annotations

import ipaddress

import pytest

from skerry.httpwire.addresses import METADATA, AddressPolicy, is_loopback, refusal

PUBLIC, OPEN = AddressPolicy(), AddressPolicy(private=True, loopback=True)

NEVER = (
    "169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254",
    "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1", "0.0.0.0", "0.1.2.3", "::", "240.0.0.1", "255.255.255.255", "4000::1",
    "::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1", "::ffff:0.0.0.0", "64:ff9b::224.0.0.1",
)  # fmt: skip
PRIVATE = (
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1",
    "192.0.2.1",
)  # fmt: skip
LOOPBACK = ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1")
PUBLIC_ONES = ("1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1")


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_dialled(address: str) -> None:
    assert refusal(address, OPEN)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_dialled_where_the_policy_says_so(address: str) -> None:
    assert refusal(address, PUBLIC) == "private"
    assert refusal(address, AddressPolicy(private=True)) == ""


@pytest.mark.parametrize("address", LOOPBACK)
def test_the_machine_itself_is_dialled_where_the_policy_says_so(address: str) -> None:
    assert refusal(address, AddressPolicy(private=True)) == "this machine itself"
    assert refusal(address, OPEN) == ""
    assert is_loopback(address)


@pytest.mark.parametrize("address", PUBLIC_ONES)
def test_public_addresses_are_dialled(address: str) -> None:
    assert refusal(address, PUBLIC) == ""
    assert not is_loopback(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "010.0.0.1", "1.2.3.4.5"])
def test_what_is_no_address_is_refused(text: str) -> None:
    assert refusal(text, OPEN) == "not an IP address"


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.20.0.0/16", "10.20.1.1", "10.21.1.1"),
        ("10.20.0.0/16", "::ffff:10.20.1.1", "::ffff:10.21.1.1"),
        ("169.254.169.254/32", "169.254.169.254", "169.254.169.253"),
        ("127.0.0.0/8", "127.0.0.1", "::1"),
        ("fd12::/16", "fd12::1", "fd13::1"),
    ],
)
def test_what_lies_in_a_network_that_is_named_is_dialled(network: str, inside: str, outside: str) -> None:
    policy = AddressPolicy(networks=(ipaddress.ip_network(network),))
    assert (refusal(inside, policy), bool(refusal(outside, policy))) == ("", True)


def test_services_of_clouds_are_named_as_what_they_are() -> None:
    assert {refusal(str(each), OPEN) for each in METADATA} == {"the metadata service of a cloud"}
