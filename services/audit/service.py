"""The service audit: what is recorded, and that it stays so."""

from __future__ import annotations

from services.audit.anchors import Anchors
from services.audit.rules import PolicyRules
from services.audit.settings import AuditSettings
from skerry.api.kinds import AUDIT_POLICY
from skerry.controller.controller import Controller
from skerry.controller.publisher import source_of
from skerry.service import Context, Service


def anchors(context: Context[AuditSettings, None]) -> Controller[str]:
    """Each minute it is told where the logs end."""
    source = source_of(context.bucket, context.name)
    controller = context.controller("anchors", Anchors(context.bus, context.recorder, source).reconcile, leader=True)
    controller.add("all")
    return controller


SERVICE: Service[AuditSettings, None] = Service(
    name="audit",
    description="what is recorded of requests, and anchors of the log",
    settings=AuditSettings,
    rules={AUDIT_POLICY: PolicyRules},
    controllers=(anchors,),
)
