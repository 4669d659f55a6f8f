"""`clusters/<name>/agents`: the agents of a member, each with what was heard of it last and how long its credential lives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from skerry.api.meta import ListMeta, Struct
from skerry.api.v1alpha1 import described

SHORT = 10
"""Characters of an nkey that name an agent: 42 bits are its own, and logs, tokens and `nats server report` have it too."""
SHORTEST = 4
"""Characters that somebody must say of a name: the first two are those of every user's nkey."""


def short_name(nkey: str) -> str:
    """The name of an agent for people: what its public nkey begins with."""
    return nkey[:SHORT]


def named(text: str, nkeys: Iterable[str]) -> list[str]:
    """The keys that somebody may mean: those that begin so, in capitals or not."""
    said = text.upper()
    return [nkey for nkey in nkeys if len(said) >= SHORTEST and nkey.startswith(said)]


class ListedAgent(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One agent process; of a key whose process was not heard, the key."""

    name: Annotated[str, described("What its public nkey begins with.")]
    nkey: Annotated[str, described("Its public nkey.")]
    epoch: Annotated[str, described("Of the process: another one after each start. Empty: it was not heard.")] = ""
    version: Annotated[str, described("Of Skerry.")] = ""
    connected: Annotated[
        str, described("True, False, or Unknown while the registry has not listened for long enough to know.")
    ]
    last_heartbeat: Annotated[str, described("RFC 3339; empty if none was heard.")] = ""
    lead: Annotated[bool, described("Whether it is the one that applies what the host wants on the member.")] = False
    expires: Annotated[str, described("RFC 3339: when its credential ends unless it is renewed.")] = ""
    since: Annotated[str, described("RFC 3339: when its key became one of the member's.")] = ""


class Rekey(Struct, frozen=True, kw_only=True):
    """How the agents of a member are to get other keys."""

    at_once: Annotated[
        bool,
        described("Whether connections with the keys of now are cut as soon as there are others, not left to end."),
    ] = False


class RevokedAgent(Struct, frozen=True, kw_only=True):
    """Which agent of a member is revoked."""

    agent: Annotated[str, described("Its name, or as much of its public nkey as no other agent has.")]


class ClusterAgentList(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """All agents of a member."""

    metadata: Annotated[ListMeta, described("Nothing: all are in one answer.")] = ListMeta()
    items: Annotated[list[ListedAgent], described("The agents.")] = []
