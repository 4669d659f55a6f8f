"""How an API server is doing, asked with the credential that requests use: for an agent's heartbeat, for the prober."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import NamedTuple

from skerry.errors import Unauthorized
from skerry.member.upstream import Upstream


class Facts(NamedTuple):
    """What changes slowly."""

    version: str
    """gitVersion; empty if it was not told."""
    date: float | None
    """Its clock, in Unix seconds, to the second; None if it did not say."""


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
    """What it says of itself. BadGateway, CredentialError."""
    answer = await upstream.call("GET", "/version")
    return Facts(str(answer.document().get("gitVersion") or "")[:64], _date(answer.date))


def _date(value: bytes | None) -> float | None:
    """Unix seconds of an HTTP date; None if it is none."""
    try:
        return None if value is None else parsedate_to_datetime(value.decode("ascii")).timestamp()
    except (ValueError, OverflowError):
        return None
