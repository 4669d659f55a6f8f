"""The keys of a member's agents: which are, which were replaced, which are revoked. Rules, pure.

A key is replaced by one that proves itself with both signatures; the first stays good for the connections that it has, and
until it is known that its agent has stored the second: only then it is revoked, so that a lost answer or a crash leaves an agent
that works. A revoked key stays so for as long as the account lives, because a renewal credential has no end.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from services.registry.secrets import MemberSecret, ReplacedKey
from skerry.api.agentlist import named, short_name
from skerry.errors import Conflict, Forbidden, NotFound, Unauthorized

MOST = 1000
"""Keys that a member's agents may leave behind: each is 70 bytes of its account, which every server holds."""
CAP_S = 8 * 3600.0 + 600.0
"""A replaced key is revoked after so long, whatever its agent says: the longest session, and some minutes for clocks."""


def after_rekey(secret: MemberSecret, old: str, new: str, now: float) -> MemberSecret:
    """With `new` in the place of `old`; the same again where that was done. Unauthorized, Conflict."""
    before = secret.replaced.get(old)
    if before is not None and before.by == new and new in secret.agents:
        return secret
    if old not in secret.agents:
        raise Unauthorized(
            f"the key {short_name(old)} is none of this cluster's agents' now: it was replaced already, or revoked. Two agents "
            "may run with one directory; if nobody knows of the other, remove the cluster and join it again"
        )
    if new in secret.agents or new in secret.replaced or new in secret.revoked:
        raise Conflict(f"the key {short_name(new)} is not new to this cluster: the agent must make another one")
    if len(secret.replaced) + len(secret.revoked) >= MOST:
        raise Conflict(
            f"the agents of this cluster have left {MOST} keys behind: remove it and join it again, with a new account"
        )
    replaced = {
        key: msgspec.structs.replace(each, by=new) if each.by == old else each for key, each in secret.replaced.items()
    }
    agents = {key: since for key, since in secret.agents.items() if key != old}
    return msgspec.structs.replace(
        secret, agents={**agents, new: now}, replaced={**replaced, old: ReplacedKey(by=new, at=now)}
    )


def retired(secret: MemberSecret, nkey: str, used: frozenset[str]) -> frozenset[str]:
    """Which of the keys that `nkey` replaced are over, by its own word."""
    return frozenset(key for key, each in secret.replaced.items() if each.by == nkey and key not in used)


def overdue(secret: MemberSecret, heard: frozenset[str], now: float, *, at_once: bool) -> frozenset[str]:
    """Replaced keys whose time is over although their agents did not say so. Only of agents that were heard with the new key:
    another one may not have got it yet.
    """
    return frozenset(
        key for key, each in secret.replaced.items() if each.by in heard and (at_once or now - each.at >= CAP_S)
    )


def due_s(secret: MemberSecret, now: float) -> float | None:
    """In how many seconds the next replaced key's time is over; None if there is none."""
    return min((max(each.at + CAP_S - now, 0.0) for each in secret.replaced.values()), default=None)


def with_revoked(secret: MemberSecret, keys: Iterable[str], now: float) -> MemberSecret:
    """With these keys revoked. They stay among the replaced ones until every server was told: `forgotten`."""
    gone = {key: now for key in keys if key not in secret.revoked}
    agents = {key: since for key, since in secret.agents.items() if key not in gone}
    replaced = secret.replaced | {key: ReplacedKey(by="", at=now) for key in gone if key not in secret.replaced}
    return msgspec.structs.replace(secret, agents=agents, replaced=replaced, revoked={**secret.revoked, **gone})


def untold(secret: MemberSecret) -> frozenset[str]:
    """Revoked keys of which no server was told yet, as far as is known."""
    return frozenset(secret.replaced.keys() & secret.revoked.keys())


def forgotten(secret: MemberSecret, told: frozenset[str]) -> MemberSecret:
    """After servers were told that these are revoked."""
    left = {key: each for key, each in secret.replaced.items() if key not in told}
    return msgspec.structs.replace(secret, replaced=left)


def check_join(secret: MemberSecret, nkey: str) -> None:
    """Check that a key which joins was not taken from this member's agents before. Forbidden."""
    if nkey in secret.revoked or nkey in secret.replaced:
        raise Forbidden(
            f"the key {short_name(nkey)} was revoked or replaced: nobody joins with it again; start the agent with a new --state"
        )


def chosen(secret: MemberSecret, text: str, cluster: str) -> str:
    """The key of the agent that is to be revoked, by what it begins with; of one that is revoked already too. NotFound, Conflict."""
    matching = named(text, secret.agents) or named(text, untold(secret)) or named(text, secret.revoked)
    if not matching:
        known = ", ".join(map(short_name, sorted(secret.agents))) or "none"
        raise NotFound(f"cluster {cluster!r} has no agent {text[:60]!r}; there is: {known}")
    if len(matching) > 1:
        raise Conflict(f"{text!r} may be {', '.join(sorted(matching))}: say more of it")
    if secret.agents.keys() == {matching[0]}:
        raise Conflict(
            f"{short_name(matching[0])} is the last agent of cluster {cluster!r}: remove the cluster instead: skerry cluster "
            f"remove {cluster}"
        )
    return matching[0]


def with_successor(secret: MemberSecret, nkey: str) -> frozenset[str]:
    """The keys of one agent: its own, and those that it replaced."""
    return frozenset({nkey, *(key for key, each in secret.replaced.items() if each.by == nkey)})
