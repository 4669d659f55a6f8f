"""An account as the bus holds it, and which of the host's keys have signed what of it. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from skerry.errors import BadRequest
from skerry.identity import jwt


class HeldAccount(NamedTuple):
    """One account."""

    public: str
    name: str
    issuer: str
    activations: tuple[tuple[str, str], ...]
    """Of each import: the account that it is from, and whose signature allows it."""
    tombstone: bool
    """Nobody can connect to it: it is there to be refused."""
    text: str


def held(public: str, text: str, now: float) -> HeldAccount | None:
    """What a server answered when it was asked for this account; None if it has none, or one that ended by itself."""
    try:
        claims = jwt.decode(text)
        activations = tuple(_activation(each) for each in claims.nats.get("imports") or [])
    except (BadRequest, AttributeError, KeyError, TypeError):
        return None
    if claims.sub != public or (claims.exp and claims.exp <= now):
        return None
    connections = (claims.nats.get("limits") or {}).get("conn", -1)
    return HeldAccount(public, claims.name or public, claims.iss, activations, connections == 0, text)


def _activation(of: dict[str, Any]) -> tuple[str, str]:
    token = of.get("token")
    return str(of["account"]), jwt.decode(token).iss if token else ""


def signers(account: HeldAccount, exporter: str) -> frozenset[str]:
    """Who has signed of an account what a key is for: all of it for the key that signs accounts (`exporter` empty), what it
    imports for the one of the account `exporter`."""
    if not exporter:
        return frozenset((account.issuer,))
    return frozenset(by for source, by in account.activations if source == exporter)
