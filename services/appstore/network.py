"""Where the App Store may fetch from, as AppStore host says it, and what a failed fetch means for a repository. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, TypeAlias

from skerry.api.validation import is_subdomain
from skerry.http.outbound import OutboundError, OutboundPolicy, Refused
from skerry.httpwire.addresses import AddressPolicy

REDIRECTS = 3
DEADLINE_S = 60.0
MIB = 1 << 20
MOST_PEM = 256 * 1024
"""Bytes of certificates, or of a key."""
ALLOW_RULE = "a host name such as charts.corp.example, or a network such as 10.20.0.0/16"

Reason: TypeAlias = Literal[
    "Unreachable", "Unauthorized", "TLSError", "NotARepository", "TooLarge", "NetworkDenied", "RateLimited"
]
"""Of condition Ready of a repository that could not be read."""


def parsed(allow: str) -> str | IPv4Network | IPv6Network:
    """A host or a network that may be dialled though it is private. ValueError."""
    if is_subdomain(allow) and not allow.replace(".", "").isdigit():
        return allow
    try:
        return ip_network(allow)
    except ValueError as error:
        raise ValueError(f"{allow[:80]!r} is neither {ALLOW_RULE} ({error})") from error


def policy(allow: Iterable[str], *, plain_http: bool, max_bytes: int, deadline_s: float = DEADLINE_S) -> OutboundPolicy:
    """What may be fetched. What is no host or network in `allow` counts for nothing."""
    hosts: set[str] = set()
    networks: list[IPv4Network | IPv6Network] = []
    for each in allow:
        try:
            place = parsed(each)
        except ValueError:
            continue
        if isinstance(place, str):
            hosts.add(place)
        else:
            networks.append(place)
    return OutboundPolicy(
        addresses=AddressPolicy(networks=tuple(networks)),
        plain=plain_http,
        private_hosts=frozenset(hosts),
        redirects=REDIRECTS,
        max_bytes=max_bytes,
        deadline_s=deadline_s,
    )


def failure(error: OutboundError) -> tuple[Reason, str]:
    """What a failed fetch means, and what to do about it."""
    message = str(error)
    if error.problem == "Address":
        return "NetworkDenied", message if error.refused is None else denied(error.refused)
    if error.problem == "Redirect":
        return "NetworkDenied", f"{message}; give the address that it leads to as spec.url"
    if error.problem == "Status":
        return _by_status(error.status, message)
    return _REASONS.get(error.problem, "Unreachable"), message


def denied(refused: Refused) -> str:
    """What is said of an address that may not be dialled: a private one may, when its name or network is allowed; others must be
    named themselves, because a name may be made to mean them at any time.
    """
    host, address, why = refused
    which = f"{host} is {why}" if host == address else f"{host} resolves to {address}, which is {why}"
    what = "it" if why == "private" else ip_network(address).compressed
    return f"{which}: add {what} to spec.network.allow of AppStore host"


def _by_status(status: int, message: str) -> tuple[Reason, str]:
    if status in (401, 403):
        return "Unauthorized", f"{message}: set its credential (skerry app repo add … --username U --password-file F)"
    if status == 429:
        return "RateLimited", f"{message}: it is asked again later; a longer spec.syncPeriod asks it less"
    if status in (404, 410):
        return (
            "NotARepository",
            f"{message}: spec.url is the address below which index.yaml, or the charts of a registry, lie",
        )
    return "Unreachable", message


_REASONS: dict[str, Reason] = {
    "TLS": "TLSError",
    "TooLarge": "TooLarge",
    "URL": "NotARepository",
    "Protocol": "NotARepository",
}
