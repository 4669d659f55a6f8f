"""The trust roots of the host that this agent believes: pinned when it joined, and what a root that it has says since.

What is believed is kept in the agent's state before it is used or told, so a restart believes no less and no more.
"""

from __future__ import annotations

import logging

from services.agent.store import AgentStore, Membership
from skerry.errors import SkerryError, Unauthorized
from skerry.identity.trust import check_statement, is_signed

log = logging.getLogger("skerry.agent")


class MembershipTrust:
    """Of one membership. Called, it gives the roots that are believed."""

    def __init__(self, store: AgentStore, membership: Membership) -> None:
        self._store, self._member = store, membership.member
        self._roots = membership.roots
        self.problem = ""
        """Why the host is not believed any more, for people; empty if it is."""

    def __call__(self) -> tuple[str, ...]:
        """The roots that are believed."""
        return self._roots

    def is_signed(self, data: bytes, signature: bytes) -> bool:
        """Whether the host signed it."""
        return is_signed(self._roots, data, signature)

    async def told(self, statement: str) -> bool:
        """What a heartbeat was answered: empty, or the host's statement of other roots than these. Whether it is another one
        by that that is believed, or nobody any more."""
        if not statement:
            self.problem = ""
            return False
        try:
            roots = check_statement(statement, self._roots)
        except Unauthorized as error:
            return self._lost(error.message)
        try:
            await self._store.believe(roots)
        except (OSError, SkerryError) as error:
            log.warning("a new trust root of the host cannot be kept", extra={"reason": str(error)})
            return False
        log.info("the trust root of the host is being replaced", extra={"believed": list(roots)})
        self._roots, self.problem = roots, ""
        return True

    def _lost(self, reason: str) -> bool:
        text = (
            "the trust root of the host was replaced while this agent was away: it must join anew. On the host: skerry cluster "
            f"remove {self._member}; skerry token create {self._member}; then start this agent with that token"
        )
        if text == self.problem:
            return False
        self.problem = text
        log.error("%s", text, extra={"reason": reason})
        return True
