"""What was found when a cluster joined, looked at again each minute for as long as it is a member.

Is it the same cluster, may our account still impersonate, do the four bindings serve, is the cluster marked: any of it can
be taken away, by a clean-up, a restore, a policy. A binding that an entry of desired state keeps in place is put right by
its applier, and only looked at here; without an entry it is repaired here, and told. What does not serve all the same is
named with the command that mends it. An agent and the host's prober look in the same way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from skerry.api.kinds.access import ROLES
from skerry.api.names import PREFIX
from skerry.member import bindings, checks
from skerry.member.bindings import nobody
from skerry.member.identity import RightsMissing, owner_of
from skerry.member.upstream import Upstream

log = logging.getLogger("skerry.member")

LOOK_S = 60.0
"""Between two looks, unless a setting says otherwise."""
KEPT_S = 5.0
"""A binding that an entry keeps in place may be about to be put right: it is looked at again after so long."""


class Findings(NamedTuple):
    """The result of a look. Both are for people, and empty if all is as it was."""

    missing: str = ""
    """What our account may not repair, and the commands that do."""
    repaired: str = ""
    """What was not right, and is again."""


class MembershipCheck:
    """Looks at one cluster on behalf of one host."""

    def __init__(self, upstream: Upstream, host: str, host_uid: str, kept: Callable[[str], bool] = nobody) -> None:
        """`kept` says whether an entry keeps the ClusterRoleBinding of a name in place."""
        self._upstream, self._host, self._host_uid, self._kept = upstream, host, host_uid, kept
        self._markable = True
        self._looking = asyncio.Lock()
        self._ended = asyncio.Event()

    async def end(self) -> None:
        """The cluster leaves: nothing is made right any more, and when this returns nothing is being made right."""
        self._ended.set()
        async with self._looking:
            return

    async def look(self) -> Findings:
        """One look. WrongCluster, Unproved, Unauthorized, BadGateway (nothing can be said), CredentialError."""
        async with self._looking:
            try:
                metadata = await self._upstream.identify()
                await checks.impersonation_of(self._upstream)
                joined = self._host_uid if owner_of(metadata)[0] == self._host_uid else ""
                repaired = [f"ClusterRoleBinding {name}" for name in await self._bindings(joined)]
            except RightsMissing as error:
                return Findings() if self._ended.is_set() else Findings(missing=error.message)
            if not self._ended.is_set():
                await self._mark(metadata)
            return Findings(repaired=", ".join(repaired))

    async def _bindings(self, joined: str) -> tuple[str, ...]:
        """Names of those that were made right. Labels of a host that had the cluster go where `joined` is the UID of the one that
        has it: until that one had seen it, it wrote them anew. RightsMissing, BadGateway.
        """
        try:
            return await bindings.ensure(self._upstream, joined, self._left_alone)
        except RightsMissing:
            if not any(self._left_alone(PREFIX + role) for role in ROLES):
                raise
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), KEPT_S)
        return await bindings.ensure(self._upstream, joined, self._left_alone)

    def _left_alone(self, name: str) -> bool:
        return self._ended.is_set() or self._kept(name)

    async def _mark(self, metadata: dict[str, Any]) -> None:
        """Make the mark if there is none. Another host's is left alone: who took a cluster over has it."""
        if self._markable:
            self._markable = await bindings.mark(self._upstream, self._host, self._host_uid, metadata)
