"""How an API server is doing, asked with the credential that requests use: for an agent's heartbeat, for the prober."""

from __future__ import annotations

from skerry.errors import Unauthorized
from skerry.member.upstream import Upstream


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


async def version(upstream: Upstream) -> str:
    """gitVersion; empty if it was not told. BadGateway, CredentialError."""
    answer = await upstream.call("GET", "/version")
    return str(answer.document().get("gitVersion") or "")[:64]
