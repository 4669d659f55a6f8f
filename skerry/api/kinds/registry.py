"""Kinds of the registry: clusters and how they join."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from skerry.api import v1alpha1
from skerry.api.agentlist import ClusterAgentList, Rekey, RevokedAgent, short_name
from skerry.api.approval import ClusterDecision
from skerry.api.conditions import (
    APPROVAL_DENIED,
    APPROVAL_PENDING,
    CERTIFICATE_VALID,
    CLEANED,
    CLOCK_SYNCED,
    CREDENTIALS_VALID,
    DESIRED_APPLIED,
    FLAPPING,
    JOINED,
    NO_VERDICT,
    REPAIRED,
    RIGHTS_COMPLETE,
    RIGHTS_MISSING,
    STREAMS_CUT,
    VERSION_SUPPORTED,
    Verdict,
    awaits_approval,
    changed_conditions,
)
from skerry.api.connection import ClusterConnection
from skerry.api.desiredlist import DesiredEntryList, DesiredQuery
from skerry.api.kinds.access import BUILT_IN, REACHED, READ_BY_ROLES, read_by
from skerry.api.kinds.action import Action
from skerry.api.kinds.columns import AGE, NAME, Column, joined, why_not
from skerry.api.kinds.fleet import agents, ceiling, cpu, memory, nodes_ready, platform, readiness, until_and_why
from skerry.api.kinds.kind import Kind, Listing, Occurrence
from skerry.api.kinds.paths import at
from skerry.api.meta import Document

_ROLE, _MODE = at("spec.role"), at("spec.connection.mode")


def describe_cluster(old: Document, new: Document) -> Iterator[Occurrence]:
    """What became of a Cluster."""
    if not new:
        yield Occurrence("Removed", "removed from the host; its credentials are revoked")
        return
    if not old:
        yield from _arrival(new)
        old = {"metadata": {}}
    elif _is_leaving(new) and not _is_leaving(old):
        yield Occurrence("Removing", "removal was asked for: its credentials are revoked and its requests cut")
    if 0 < _revision(old) < _revision(new):
        yield Occurrence("CredentialsReplaced", "the host was given another credential for it")
    yield from _verdicts(changed_conditions(old, new))
    if old.get("spec") != new.get("spec"):
        yield from _holds(old, new)
    yield from _ceiling(old, new)
    yield from _keys(old, new)


def _verdicts(changed: Mapping[str, tuple[Verdict, Verdict]]) -> Iterator[Occurrence]:
    """What its conditions tell; most changes change none."""
    if not changed:
        return
    yield from _troubles(changed)
    before, after = changed.get(JOINED, (NO_VERDICT, NO_VERDICT))
    if before.reason == APPROVAL_PENDING and after.status == "True":
        yield Occurrence("Approved", after.message)
    yield from _recoveries(changed)
    yield from _on_member(changed)
    before, after = changed.get("Ready", (NO_VERDICT, NO_VERDICT))
    if after.status == "True" and before.status != "True":
        yield Occurrence("Ready", after.message or "requests reach it")
    elif after.status != "True" and before.status == "True":
        yield Occurrence(
            "NotReady", f"{after.reason}: {after.message}" if after.message else after.reason, warning=True
        )


def _arrival(new: Document) -> Iterator[Occurrence]:
    if _ROLE(new) != "member":
        yield Occurrence("HostClaimed", "this is the host itself")
        return
    if awaits_approval(new):
        return  # its condition tells so
    mode = _MODE(new) or ""
    how = "joined through its agent" if mode == "agent" else f"joined; the host reaches it by {mode}"
    yield Occurrence("Joined", how)


def _is_leaving(document: Document) -> bool:
    return "deletionTimestamp" in document["metadata"]


def _troubles(changed: Mapping[str, tuple[Verdict, Verdict]]) -> Iterator[Occurrence]:
    for kind, (before, after) in changed.items():
        if after != before and (reason := _TROUBLES.get(kind, {}).get(after.reason)):
            yield Occurrence(reason, after.message, warning=True)


def _recoveries(changed: Mapping[str, tuple[Verdict, Verdict]]) -> Iterator[Occurrence]:
    """What is well again."""
    for kind in (CREDENTIALS_VALID, CERTIFICATE_VALID, CLOCK_SYNCED, VERSION_SUPPORTED):
        before, after = changed.get(kind, (NO_VERDICT, NO_VERDICT))
        if before.status == "False" and after.status == "True":
            yield Occurrence(kind, after.message)
    before, after = changed.get(FLAPPING, (NO_VERDICT, NO_VERDICT))
    if before.status == "True" and after.status == "False":
        yield Occurrence("Stable", after.message)


def _revision(document: Document) -> int:
    return int(_REVISION(document) or 0)


_REVISION = at("status.credentials.revision")
_TROUBLES = {
    JOINED: {reason: reason for reason in ("TakenOver", APPROVAL_PENDING, APPROVAL_DENIED)},
    CREDENTIALS_VALID: {
        "ExpiresSoon": "CredentialsExpireSoon",
        "Expired": "CredentialsExpired",
        "Refused": "CredentialsRefused",
    },
    CERTIFICATE_VALID: {"ExpiresSoon": "CertificateExpiresSoon", "Expired": "CertificateExpired"},
    CLOCK_SYNCED: {"Behind": "ClockBehind", "Ahead": "ClockAhead"},
    VERSION_SUPPORTED: {reason: reason for reason in ("KubernetesTooOld", "AgentTooOld", "AgentTooNew")},
    FLAPPING: {"ReadyChanges": "Flapping"},
    RIGHTS_COMPLETE: {REPAIRED: "RightsRepaired", RIGHTS_MISSING: "RightsMissing"},
}
"""Reasons of conditions that people are told of, whatever the status, each as often as its text changes, and the reasons of
their Events. A credential's or certificate's end is told 30, 7 and 1 day before; what was taken away on a member as repaired,
or as missing with the commands that mend it.
"""


def _holds(old: Document, new: Document) -> Iterator[Occurrence]:
    """Paused, cordoned, and the end of both."""
    for flag, detail, begun, ended in _HOLDS:
        was, is_ = (document.get("spec", {}).get(flag) is True for document in (old, new))
        if is_ and not was:
            yield Occurrence(begun[0], begun[1] + until_and_why(new.get("spec", {}).get(detail)))
        elif was and not is_:
            yield Occurrence(*ended)


_HOLDS = (
    (
        "paused",
        "pause",
        ("Paused", "nothing of the host's is applied on it or withdrawn from it"),
        ("Resumed", "what the host wants on it is applied and withdrawn again"),
    ),
    (
        "unschedulable",
        "cordon",
        ("Cordoned", "nothing new is placed on it"),
        ("Uncordoned", "new things may be placed on it again"),
    ),
)


def _ceiling(old: Document, new: Document) -> Iterator[Occurrence]:
    """What the member's own administrator changed in what the host may do there."""
    before, after = _CEILING(old), _CEILING(new)
    if before is not None and after is not None and before != after:
        now, was = (msgspec.convert(ceiling, v1alpha1.Ceiling).text for ceiling in (after, before))
        if now != was:
            yield Occurrence("CeilingChanged", f"its own administrator set its ceiling: {now} (before: {was})")


_CEILING = at("status.ceiling")


def _keys(old: Document, new: Document) -> Iterator[Occurrence]:
    """Who has its agents get other keys, or revoked one, and when that is done."""
    before, after = _REKEY(old) or {}, _REKEY(new) or {}
    if after and after.get("requested") != before.get("requested"):
        if after.get("by"):
            cut = ", and connections with those of now are cut" if after.get("atOnce") else ""
            yield Occurrence("RekeyRequested", f"{after['by']} has its agents get other keys{cut}")
        else:
            yield Occurrence("AgentRekeyed", "an agent got itself another key")
    elif before and not after:
        yield Occurrence("Rekeyed", "its agents have other keys; those of before are revoked")
    revoked = _REVOKED(new)
    if revoked and revoked != _REVOKED(old):
        agent = short_name(str(revoked.get("key", "")))
        yield Occurrence(
            "AgentRevoked", f"{revoked.get('by')} revoked agent {agent}: it is cut and stays out", warning=True
        )


_REKEY, _REVOKED = at("status.credentials.rekey"), at("status.credentials.revoked")


def _on_member(changed: Mapping[str, tuple[Verdict, Verdict]]) -> Iterator[Occurrence]:
    """Whether what is wanted on a member is in place: no longer, or again; of one that leaves, what ended with it."""
    before, after = changed.get(DESIRED_APPLIED, (NO_VERDICT, NO_VERDICT))
    cleaned = changed.get(CLEANED, (NO_VERDICT, NO_VERDICT))[1]
    cut = changed.get(STREAMS_CUT, (NO_VERDICT, NO_VERDICT))[1]
    if cut.status == "True":
        yield Occurrence(STREAMS_CUT, cut.message)
    if cleaned.status == "True":
        yield Occurrence(CLEANED, cleaned.message)
    if after.reason == "Left" and after != before:
        yield Occurrence("LeftOnCluster", after.message, warning=True)
    elif after.reason == "Problems" and after != before:
        yield Occurrence("DesiredProblems", after.message, warning=True)
    elif after.status == "True" and before.reason == "Problems":
        yield Occurrence("DesiredApplied", after.message)


def describe_join_token(old: Document, new: Document) -> Iterator[Occurrence]:
    """The uses of a JoinToken."""
    before = {each.get("key") for each in _AGENTS(old) or ()}
    for each in (_AGENTS(new) or ()) if old else ():
        if each.get("key") not in before:
            yield Occurrence("Used", f"cluster {each.get('name', '')} joined with it")


_AGENTS = at("status.agents")


def _for(spec: Document | None) -> str:
    """The name or the pattern that a token is for."""
    return str((spec or {}).get("clusterName") or (spec or {}).get("pattern") or "")


def _uses(token: Document) -> str:
    """How often it was used, of how often it may be."""
    status, spec = token.get("status") or {}, token.get("spec") or {}
    return f"{status.get('uses', int(status.get('used') is True))}/{spec.get('uses', 1)}"


def _connect(verb: str, description: str) -> Action:
    return Action(
        subresource="connection",
        verb=verb,
        request=ClusterConnection,
        answer=v1alpha1.Cluster,
        description=description,
    )


def _decide(subresource: str, description: str) -> Action:
    return Action(
        subresource=subresource,
        verb="create",
        request=ClusterDecision,
        answer=v1alpha1.Cluster,
        description=description,
    )


CLUSTER = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="Cluster",
    labelled=True,
    plural="clusters",
    singular="cluster",
    short_names=("cl",),
    owner="registry",
    type=v1alpha1.Cluster,
    verbs=("delete", "get", "list", "patch", "update", "watch"),
    access=(READ_BY_ROLES, read_by(REACHED)),
    actions=(
        _connect("create", "Join a direct member: the host reaches its API server with this kubeconfig."),
        _connect("update", "Give the host another credential for a direct member."),
        _decide("approve", "Let a cluster in that waits for approval."),
        _decide("deny", "Turn a cluster away that waits for approval: it is removed, and its agent ends."),
        Action(
            subresource="desired",
            verb="get",
            request=DesiredQuery,
            answer=DesiredEntryList,
            groups=BUILT_IN,
            description="What the host's services want on a member, entry by entry, and what became of it. Host "
            "administrators see all of it, others what is there because of objects that they may see.",
        ),
        Action(
            subresource="agents",
            verb="get",
            answer=ClusterAgentList,
            description="The agents of a member, each with what was heard of it last and when its credential ends.",
        ),
        Action(
            subresource="rekey",
            verb="create",
            request=Rekey,
            answer=v1alpha1.Cluster,
            description="Have every agent of a member make another key. What is left to do is in status.credentials.rekey.",
        ),
        Action(
            subresource="revoke-agent",
            verb="create",
            request=RevokedAgent,
            answer=v1alpha1.Cluster,
            description="Revoke one agent of a member: it is cut and does not come back, the others go on.",
        ),
    ),
    events=describe_cluster,
    columns=(
        NAME,
        Column(name="Role", path="spec.role", description="host or member."),
        Column(name="Connection", path="spec.connection.mode", description="agent, direct or none."),
        Column(
            name="Ready",
            cell=readiness,
            description="Whether requests reach it now; and whether it is paused, or takes nothing new.",
        ),
        Column(name="Version", path="status.kubernetesVersion", description="Kubernetes version."),
        Column(name="Nodes", path="status.nodes", type="integer", description="Number of nodes."),
        Column(name="RTT", live="rtt", description="Round trip of the last heartbeat."),
        Column(name="Last Heartbeat", live="heartbeat", description="Time since the last heartbeat."),
        AGE,
        Column(name="UID", path="status.uid", priority=1, description="UID of kube-system."),
        Column(
            name="Platform",
            path="status.platform",
            cell=platform,
            priority=1,
            description="Provider, region and distribution, as far as they are known.",
        ),
        Column(
            name="Agent",
            path="status.agent",
            cell=agents,
            priority=1,
            description="Version of its agent, and how many there are if not one.",
        ),
        Column(
            name="Nodes Ready", path="status", cell=nodes_ready, priority=1, description="Nodes that are ready, of all."
        ),
        Column(
            name="CPU",
            path="status",
            cell=cpu,
            priority=1,
            description="Cores that pods ask for, of those they may have.",
        ),
        Column(
            name="Memory",
            path="status",
            cell=memory,
            priority=1,
            description="Memory that pods ask for, of what they may have.",
        ),
        Column(
            name="Ceiling",
            path="status.ceiling",
            cell=ceiling,
            priority=1,
            description="What its own administrator forbids everybody who comes through the host.",
        ),
        Column(
            name="Message",
            path="status.conditions",
            cell=why_not("Ready"),
            priority=1,
            description="Why it is not ready.",
        ),
    ),
    listing=Listing(
        command="clusters",
        help="List clusters: the same table as kubectl get clusters.\n\nExample: skerry clusters -o wide",
        empty="No clusters. Join one: {skerry} token create NAME",
    ),
)
JOIN_TOKEN = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="JoinToken",
    labelled=True,
    plural="jointokens",
    singular="jointoken",
    short_names=("jt",),
    owner="registry",
    type=v1alpha1.JoinToken,
    verbs=("create", "delete", "get", "list", "watch"),
    events=describe_join_token,
    columns=(
        NAME,
        Column(name="Cluster", path="spec", cell=_for, description="The name, or the pattern of names, that it joins."),
        Column(name="Used", path="status.used", type="boolean", description="Whether it is used up."),
        Column(name="Uses", cell=_uses, description="Agents that joined with it, of those that may."),
        Column(name="Expires", path="status.expires", description="After this it is refused."),
        AGE,
        Column(name="Made", path="status.made", cell=joined, priority=1, description="Clusters that joined with it."),
    ),
    listing=Listing(
        command="tokens",
        help="List join tokens, without their secrets.\n\nExample: skerry tokens -w",
        empty="No join tokens. Make one: {skerry} token create NAME",
    ),
)

KINDS = (CLUSTER, JOIN_TOKEN)
