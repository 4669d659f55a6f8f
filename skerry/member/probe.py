"""How an API server is doing, asked with the credential that requests use: for an agent's heartbeat, for the prober."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from skerry.api.decode import decoded
from skerry.errors import Unauthorized
from skerry.member.upstream import Upstream


class _Metadata(msgspec.Struct, frozen=True):
    remaining: int = msgspec.field(name="remainingItemCount", default=0)


class _Nodes(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw] = []
    metadata: _Metadata = _Metadata()


class Facts(NamedTuple):
    """What changes slowly."""

    version: str
    """gitVersion; empty if it was not told."""
    nodes: int | None
    """None if the credential may not count them."""


async def unready(upstream: Upstream) -> str:
    """Why it is not ready, for people; empty if it is.

    Unauthorized (it refuses the credential), BadGateway (unreachable, slow), CredentialError.
    """
    answer = await upstream.call("GET", "/readyz")
    if answer.status == 401:
        raise Unauthorized(f"{upstream.url} refuses {upstream.role.name}'s own credential ({upstream.proof})")
    if answer.status in {403, 404}:
        answer = await upstream.call("GET", "/version")
    return "" if answer.status == 200 else f"{upstream.url} is not ready: {answer.message()}"


async def facts(upstream: Upstream) -> Facts:
    """Version and number of nodes. BadGateway, CredentialError."""
    version = await upstream.call("GET", "/version")
    answer = await upstream.call("GET", "/api/v1/nodes?limit=1")
    found = str(version.document().get("gitVersion") or "")[:64]
    return Facts(found, _count(answer.body) if answer.status == 200 else None)


def _count(body: bytes) -> int | None:
    try:
        found = decoded(body, _Nodes)
    except msgspec.DecodeError:
        return None
    return len(found.items) + found.metadata.remaining
