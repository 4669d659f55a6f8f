"""Where a host listens and what it is called, from its options."""

from __future__ import annotations

import pytest

from skerry.cli.failure import Failure
from skerry.cli.layout import Layout, endpoint
from skerry.cli.plan import UpOptions

LOOPBACK = UpOptions(listen="127.0.0.1:18443", bus="127.0.0.1:14222")


def test_without_an_address_all_is_loopback() -> None:
    layout = Layout.of(LOOPBACK)
    assert layout.api == "https://127.0.0.1:18443"
    assert layout.bus_public == ["tls://127.0.0.1:14222"]
    assert str(layout.listen) == "127.0.0.1:18443"


def test_with_addresses_all_interfaces_listen_and_the_first_is_preferred() -> None:
    layout = Layout.of(UpOptions(addresses=["host.example", "10.0.0.1"]))
    assert (str(layout.listen), str(layout.bus)) == (":8443", ":4222")
    assert layout.api == "https://host.example:8443"
    assert layout.bus_public == ["tls://host.example:4222", "tls://10.0.0.1:4222"]
    assert layout.bus_local == "127.0.0.1:4222"
    assert {"host.example", "10.0.0.1", "127.0.0.1", "localhost"} <= set(layout.names)


def test_an_ipv6_address_is_bracketed_and_opens_both_families() -> None:
    layout = Layout.of(UpOptions(addresses=["2001:db8::1"]))
    assert layout.api == "https://[2001:db8::1]:8443"
    assert str(layout.listen) == ":8443"


def test_an_address_without_a_host_is_all_of_both_families() -> None:
    layout = Layout.of(UpOptions(listen=":18443", bus=":14222"))
    assert (str(layout.listen), str(layout.bus)) == (":18443", ":14222")
    assert layout.front_door_local == "https://127.0.0.1:18443"


@pytest.mark.parametrize("address", ["", "a b", "host:80", "http://x", "a,b"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Failure, match="--address"):
        Layout.of(UpOptions(addresses=[address]))


@pytest.mark.parametrize("text", ["", "8443", "host:", "host:http", "host:70000", "host:\u00b2"])
def test_what_is_no_place_to_listen_at_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="--listen"):
        endpoint(text, "--listen")
