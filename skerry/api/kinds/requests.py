"""The kind AccessRequest: who may ask and decide, what of it is told, and how it is listed."""

from __future__ import annotations

from collections.abc import Iterator

from skerry.api import accessrequests, v1alpha1
from skerry.api.accessrequests import APPROVED, PENDING
from skerry.api.kinds.access import CREATED_BY_EVERYBODY, EVERYBODY, READ_ON_HOST, giver_at, read_by, user_at
from skerry.api.kinds.action import Action
from skerry.api.kinds.columns import NAME, Column, clusters, joined
from skerry.api.kinds.kind import Kind, Listing, Occurrence
from skerry.api.kinds.tenancy import describe
from skerry.api.meta import Document, Struct


def wanted(spec: Document) -> str:
    """From a spec: `edit in namespace shop on m1`."""
    names = spec.get("namespaces") or []
    where = f" in namespace{'s' * (len(names) > 1)} {', '.join(names)}" if names else ""
    return f"{spec.get('role')}{where} on {clusters(spec.get('clusters'))}"


def describe_request(old: Document, new: Document) -> Iterator[Occurrence]:
    """Who asked for what, and who decided."""
    status, before = new.get("status") or {}, old.get("status") or {}
    if not new or "deletionTimestamp" in new["metadata"]:
        yield from describe(old, new)
        return
    if not old:
        spec = new["spec"]
        asked = f"{status.get('requestedBy')} asks for {wanted(spec)} for {spec.get('duration')}: {spec.get('reason')}"
        yield Occurrence("Requested", asked)
    for approval in (status.get("approvals") or [])[len(before.get("approvals") or []) :]:
        whose = ", who asked for it: Setting access.self-approval is true" if approval.get("own") else ""
        said = f": {approval['comment']}" if approval.get("comment") else ""
        yield Occurrence("ApprovedBy", f"approved by {approval['by']}{whose}{said}", warning=bool(approval.get("own")))
    state = status.get("state")
    if state not in (before.get("state"), PENDING):
        text = f"until {status.get('ends')}" if state == APPROVED else str(status.get("message") or "")
        yield Occurrence(str(state), text)


def _decide(subresource: str, request: type[Struct], description: str) -> Action:
    return Action(
        subresource=subresource,
        verb="create",
        request=request,
        answer=accessrequests.AccessRequest,
        groups=EVERYBODY,
        description=description,
    )


ACCESS_REQUEST = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="AccessRequest",
    plural="accessrequests",
    singular="accessrequest",
    short_names=("areq",),
    owner="tenancy",
    type=accessrequests.AccessRequest,
    verbs=("create", "delete", "get", "list", "watch"),
    access=(
        CREATED_BY_EVERYBODY,
        READ_ON_HOST,
        read_by(user_at("status.requestedBy"), giver_at("spec.clusters.names")),
    ),
    actions=(
        _decide(
            "approve",
            accessrequests.AccessRequestApproval,
            "Approve it: whoever could write the grant, but not the requester.",
        ),
        _decide(
            "deny", accessrequests.AccessRequestDecision, "Deny it while it is pending: whoever could write the grant."
        ),
        _decide(
            "end",
            accessrequests.AccessRequestDecision,
            "End it, and what it gave: the requester, and whoever could write the grant.",
        ),
    ),
    events=describe_request,
    selectable=("status.state", "status.requestedBy"),
    columns=(
        NAME,
        Column(name="Who", path="status.requestedBy", description="Who asks."),
        Column(name="Role", path="spec.role", description="What to be allowed."),
        Column(name="Clusters", path="spec.clusters", cell=clusters, description="Where."),
        Column(
            name="Namespaces",
            path="spec.namespaces",
            cell=lambda names: joined(names) or "*",
            description="In which namespaces; * is the whole cluster.",
        ),
        Column(name="State", path="status.state", description="Pending, Approved, Denied, Expired or Ended."),
        Column(name="Ends", path="status.ends", description="When that state ends, or since when it has it."),
        Column(name="Reason", path="spec.reason", description="Why."),
        Column(name="Message", path="status.message", priority=1, description="What it waits for, or why it ended."),
    ),
    listing=Listing(
        command="requests",
        help="List access requests: who asks for what, and what became of it.\n\nExample: skerry requests -w",
        empty="No access requests. Ask for access: {skerry} request create ROLE --cluster NAME --reason TEXT",
    ),
)

KINDS = (ACCESS_REQUEST,)
