"""What was found when a cluster joined, looked at again each minute for as long as it is a member.

Is it the same cluster, may our account still impersonate, are the four bindings what they were, is the cluster marked: any
of it can be taken away, by a clean-up, a restore, a policy. What our account may repair is repaired and told; what it
may not is named with the command that does. An agent and the host's prober look in the same way.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from skerry.member import bindings, checks
from skerry.member.bindings import HOST_ANNOTATION, HOST_NAME_ANNOTATION
from skerry.member.identity import RightsMissing
from skerry.member.upstream import Upstream

log = logging.getLogger("skerry.member")

LOOK_S = 60.0
"""Between two looks, unless a setting says otherwise."""


class Findings(NamedTuple):
    """The result of a look. Both are for people, and empty if all is as it was."""

    missing: str = ""
    """What our account may not repair, and the commands that do."""
    repaired: str = ""
    """What was not right, and is again."""


class MembershipCheck:
    """Looks at one cluster on behalf of one host."""

    def __init__(self, upstream: Upstream, host: str, host_uid: str) -> None:
        self._upstream, self._host, self._host_uid = upstream, host, host_uid
        self._foreign = ""
        self._markable = True

    async def look(self) -> Findings:
        """One look. WrongCluster, Unproved, Unauthorized, BadGateway (nothing can be said), CredentialError."""
        try:
            metadata = await self._upstream.identify()
            await checks.impersonation_of(self._upstream)
            repaired = [f"ClusterRoleBinding {name}" for name in await bindings.ensure(self._upstream)]
        except RightsMissing as error:
            return Findings(missing=error.message)
        await self._mark(metadata)
        return Findings(repaired=", ".join(repaired))

    async def _mark(self, metadata: dict[str, Any]) -> None:
        """Make the mark if there is none. Another host's is left alone: who took a cluster over has it."""
        annotations = metadata.get("annotations") or {}
        owner = str(annotations.get(HOST_ANNOTATION) or "")
        if owner and owner != self._host_uid and owner != self._foreign:
            name = str(annotations.get(HOST_NAME_ANNOTATION) or "")[:64]
            log.warning("the cluster is marked as a member of another host", extra={"host": name, "uid": owner[:64]})
        self._foreign = owner if owner != self._host_uid else ""
        if not owner and self._markable:
            self._markable = await bindings.mark(self._upstream, self._host, self._host_uid)
