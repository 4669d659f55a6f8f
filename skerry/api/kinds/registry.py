"""Kinds of the registry: clusters and how they join."""

from __future__ import annotations

from skerry.api import v1alpha1
from skerry.api.agentlist import ClusterAgentList, Rekey, RevokedAgent
from skerry.api.approval import ClusterDecision
from skerry.api.connection import ClusterConnection
from skerry.api.desiredlist import DesiredEntryList, DesiredQuery
from skerry.api.eventstates import cluster_state
from skerry.api.inspection import InspectionCredential
from skerry.api.kinds.access import BUILT_IN, REACHED, READ_BY_ROLES, read_by
from skerry.api.kinds.action import Action
from skerry.api.kinds.columns import AGE, NAME, Column, joined, why_not
from skerry.api.kinds.fleet import agents, ceiling, cpu, memory, nodes_ready, platform, readiness
from skerry.api.kinds.happenings import describe_cluster, describe_join_token
from skerry.api.kinds.kind import Kind, Listing
from skerry.api.meta import Document


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
    state=cluster_state,
    cluster="metadata.name",
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

INSPECTION_CREDENTIAL = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="InspectionCredential",
    labelled=True,
    plural="inspectioncredentials",
    singular="inspectioncredential",
    owner="registry",
    type=InspectionCredential,
    verbs=("create", "delete", "get", "list", "watch"),
    columns=(
        NAME,
        Column(name="User", path="spec.user", description="Whom it is for."),
        Column(name="Expires", path="status.expires", description="After this it is refused."),
        AGE,
    ),
    listing=Listing(
        command="nats-credentials",
        help="List inspection credentials, without their secrets.\n\nExample: skerry nats-credentials -o json",
        empty="No inspection credentials. Make one: {skerry} nats-credential create --save skerry",
    ),
)

KINDS = (CLUSTER, INSPECTION_CREDENTIAL, JOIN_TOKEN)
