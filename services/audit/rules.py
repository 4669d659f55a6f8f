"""Admission of AuditPolicies."""

from __future__ import annotations

from services.audit.policies import admit
from skerry.admission import Admitted, Rules
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document


class PolicyRules(Rules):
    """One policy, whose rules can be read: what cannot is refused, and the last good one stays."""

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """Invalid for one that cannot be."""
        return Admitted(admit(document))

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """The same."""
        return Admitted(admit(document))
