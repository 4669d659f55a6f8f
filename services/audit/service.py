"""The service audit: what is recorded, and that it stays so."""

from __future__ import annotations

from services.audit.rules import PolicyRules
from services.audit.settings import AuditSettings
from skerry.api.kinds import AUDIT_POLICY
from skerry.service import Service

SERVICE: Service[AuditSettings, None] = Service(
    name="audit",
    description="what is recorded of requests, and anchors of the log",
    settings=AuditSettings,
    rules={AUDIT_POLICY: PolicyRules},
)
