"""The kind of the service audit."""

from __future__ import annotations

from skerry.api import auditpolicy, v1alpha1
from skerry.api.kinds.access import AUDITOR, READ, Access
from skerry.api.kinds.columns import AGE, NAME, Column, count
from skerry.api.kinds.kind import EVERY_VERB, Kind, Listing
from skerry.api.kinds.tenancy import describe

AUDIT_POLICY = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="AuditPolicy",
    plural="auditpolicies",
    singular="auditpolicy",
    owner="audit",
    type=auditpolicy.AuditPolicy,
    verbs=EVERY_VERB,
    access=(Access(verbs=READ, groups=(AUDITOR,)),),
    events=describe,
    columns=(
        NAME,
        Column(name="Rules", path="spec.rules", cell=count, type="integer", description="How many rules it has."),
        AGE,
    ),
    listing=Listing(
        command="audit-policies",
        help="List audit policies: which requests are recorded.\n\nExample: skerry audit-policies -o yaml",
        empty="No audit policy: what is built in counts. Make one: kubectl apply -f policy.yaml",
    ),
)
KINDS = (AUDIT_POLICY,)
