"""Which addresses a process of the host may be sent to by what people write. Pure.

Whoever may name a URL would otherwise have the host ask its own neighbours: the metadata service of its cloud, which hands
out credentials, is the usual aim (server-side request forgery). Judged is the address that is dialled, never the name.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google Cloud, OpenStack, DigitalOcean
        "169.254.170.2",  # AWS, tasks
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure, the wire server
        "192.0.0.192",  # Oracle Cloud
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS, pods
        "fd20:ce::254",  # Google Cloud
    )
)
"""Of the clouds. Most are link-local, and refused for that; these others look like any."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")


class AddressPolicy(NamedTuple):
    """What may be dialled besides public addresses. Link-local, multicast, unspecified, reserved and
    metadata addresses may not, unless a network names them."""

    private: bool = False
    loopback: bool = False
    networks: tuple[_Network, ...] = ()
    """Whatever lies in these may be dialled all the same: somebody named them."""


def refusal(text: str, policy: AddressPolicy) -> str:
    """Why an address may not be dialled, for people; empty if it may. An IPv6 address that carries one of IPv4 is judged as both."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "not an IP address"
    return next((why for each in (address, *_carried(address)) if (why := _refusal(each, policy))), "")


def is_loopback(text: str) -> bool:
    """True if an address is this machine's own, in whatever form it is written."""
    address = ipaddress.ip_address(text)
    carried = _carried(address)
    return any(each.is_loopback for each in carried) if carried else address.is_loopback


def _refusal(address: _Address, policy: AddressPolicy) -> str:
    if any(address in network for network in policy.networks):
        return ""
    if address in METADATA:
        return "the metadata service of a cloud"
    if address.is_loopback:
        return "" if policy.loopback else "this machine itself"
    if address.is_unspecified or address in _THIS_NETWORK:
        return "unspecified"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if address.is_reserved:
        return "" if _carried(address) else "reserved"
    if not address.is_global and not policy.private and not _carried(address):
        return "private"
    return ""


def _carried(address: _Address) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 addresses inside an IPv6 address: mapped, compatible, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback or address.is_unspecified:
        return ()
    carried = [each for each in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())) if each is not None]
    if address in _NAT64 or address in _COMPATIBLE:
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(carried)
