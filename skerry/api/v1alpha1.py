"""The kinds of the API group `skerry.dev/v1alpha1`.

Field docstrings are what `kubectl explain` prints, so they are written for the people who read that.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from skerry.api.hostsettings import HOST_SETTINGS
from skerry.api.meta import Condition, ObjectMeta, Struct
from skerry.api.names import API_VERSION as API_VERSION
from skerry.api.names import GROUP as GROUP
from skerry.api.names import VERSION as VERSION
from skerry.api.structural import list_map, list_set, one_of


def described(text: str) -> Meta:
    """A field's description, as `kubectl explain` shows it."""
    return Meta(description=text)


class Ceiling(Struct, frozen=True, kw_only=True):
    """The limits that a member's own administrator sets. The agent enforces it; the host cannot lift it."""

    read_only: Annotated[bool, described("Only get, list and watch leave the agent.")] = False
    no_exec: Annotated[bool, described("exec, attach, port-forward and proxy are refused by the agent.")] = False
    namespaces: Annotated[list[str], described("If not empty: the only namespaces that requests may name.")] = []
    desired: Annotated[
        str,
        one_of(
            "What the host may keep in place on the member: All, Access (RBAC of its tenants), or None.",
            "All",
            "Access",
            "None",
        ),
    ] = "All"

    @property
    def text(self) -> str:
        """For people, for example `read-only, no exec, namespaces a b`; `open` where nothing is forbidden."""
        parts = ["read-only"] * self.read_only + ["no exec"] * self.no_exec
        if self.namespaces:
            parts.append(f"namespaces {' '.join(self.namespaces)}")
        if self.desired != ("Access" if self.read_only else "All"):
            parts.append(f"desired {self.desired}")
        return ", ".join(parts) or "open"


class Connection(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """How the host reaches the cluster."""

    mode: Annotated[
        str,
        one_of(
            "agent: its agent dials out to the host; direct: the host dials its API server; in-cluster: the host runs in it; none.",
            "agent",
            "direct",
            "in-cluster",
            "none",
        ),
    ]


class Hold(Struct, frozen=True, kw_only=True):
    """Until when something is held back, and why."""

    until: Annotated[
        str | UnsetType, described("The host ends it at this time (RFC 3339); without one it does not end.")
    ] = UNSET
    reason: Annotated[str, described("For people.")] = ""


class ClusterSpec(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The cluster as it is wanted."""

    role: Annotated[str, one_of("host or member. There is exactly one host.", "host", "member")] = "member"
    connection: Annotated[Connection, described("How the host reaches the cluster.")]
    provider: Annotated[str | UnsetType, described("Who runs it, for people and selectors, for example eks.")] = UNSET
    region: Annotated[str | UnsetType, described("Where it runs, for people and selectors.")] = UNSET
    paused: Annotated[
        bool | UnsetType, described("While this is true nothing of the host's is applied on it or withdrawn from it.")
    ] = UNSET
    pause: Annotated[Hold | UnsetType, described("Of paused: until when, and why.")] = UNSET
    unschedulable: Annotated[
        bool | UnsetType, described("While this is true nothing new is placed on it; what is there stays.")
    ] = UNSET
    cordon: Annotated[Hold | UnsetType, described("Of unschedulable: until when, and why.")] = UNSET


class Platform(Struct, frozen=True, kw_only=True):
    """What a cluster runs on. spec.provider and spec.region win over what its nodes say."""

    provider: Annotated[str, described("Who runs the machines, for example aws.")] = ""
    region: Annotated[str, described("Where they are; of several, the one with most nodes.")] = ""
    distribution: Annotated[str, described("Which Kubernetes it is, for example eks, k3s or openshift.")] = ""
    arch: Annotated[list[str], described("Architectures of its nodes.")] = []
    source: Annotated[str, described("spec if spec says provider or region, else nodes.")] = ""


class APIVersions(Struct, frozen=True, kw_only=True):
    """The API that a cluster serves."""

    count: Annotated[int, described("Number of its group versions.")] = 0
    digest: Annotated[str, described("Of their sorted list: equal where the same versions are served.")] = ""
    extra: Annotated[list[str], described("Those that are not Kubernetes' own, at most 50.")] = []


class AgentStatus(Struct, frozen=True, kw_only=True):
    """The agents of a member, as the host sees them."""

    version: Annotated[str, described("Version of the agent that was heard last.")] = ""
    replicas: Annotated[int, described("Agents connected now.")] = 0


class ReplacedAgentKey(Struct, frozen=True, kw_only=True):
    """A key that an agent has had, and that is still good for the connections that it has."""

    key: Annotated[str, described("Its public nkey.")]
    by: Annotated[str, described("The agent's key now; empty if the agent was revoked.")] = ""
    at: Annotated[str, described("Since when.")] = ""


class RekeyStatus(Struct, frozen=True, kw_only=True):
    """A rekey that is under way; absent when there is nothing left to do."""

    requested: Annotated[str, described("When it was asked for.")] = ""
    by: Annotated[str, described("Who asked for it; empty: an agent, for itself.")] = ""
    at_once: Annotated[bool, described("Whether connections with replaced keys are cut, not left to end.")] = False
    pending: Annotated[list[str], described("Keys of agents that have not got another one yet: public nkeys.")] = []
    replaced: Annotated[
        list[ReplacedAgentKey],
        described("Keys that were replaced and are revoked when their streams have ended, or after 8 hours."),
    ] = []


class RevokedAgentKey(Struct, frozen=True, kw_only=True):
    """An agent's key that somebody revoked."""

    key: Annotated[str, described("Its public nkey.")] = ""
    by: Annotated[str, described("Who revoked it.")] = ""
    at: Annotated[str, described("Since when it is refused.")] = ""


class CredentialsStatus(Struct, frozen=True, kw_only=True):
    """The life of the credentials that the connection uses."""

    expires: Annotated[str | UnsetType, described("When they end unless they are renewed.")] = UNSET
    revision: Annotated[int, described("Of a direct member: counts the credentials that the host was given.")] = 0
    rekey: Annotated[RekeyStatus | UnsetType, described("Agents that get other keys.")] = UNSET
    revoked: Annotated[RevokedAgentKey | UnsetType, described("The agent that was revoked last.")] = UNSET


APP_STORE_SETTINGS = ("Enabled", "Disabled", "Unset")
"""Of a member itself. It is shown, and has no other effect."""


class ClusterAppStore(Struct, frozen=True, kw_only=True):
    """What a member itself says of the App Store."""

    setting: Annotated[
        str,
        one_of(
            "By the annotation skerry.dev/app-store of its namespace kube-system. It is shown, and has no other effect: the host's "
            "switch counts.",
            *APP_STORE_SETTINGS,
        ),
    ] = "Unset"


class DesiredStatus(Struct, frozen=True, kw_only=True):
    """What the host's services want on a member, in figures."""

    entries: Annotated[int, described("Objects that are wanted there.")] = 0
    applied: Annotated[int, described("Of these in place, as the member said last.")] = 0
    problems: Annotated[
        int, described("Of these not in place though they were tried: skerry desired NAME says why.")
    ] = 0


class ClusterStatus(Struct, frozen=True, kw_only=True):
    """The cluster as it is observed."""

    conditions: Annotated[list[Condition], list_map("Joined, Ready and their reasons.", "type")] = []
    kubernetes_version: Annotated[str, described("The member API server's gitVersion.")] = ""
    uid: Annotated[
        str,
        described(
            "UID of its kube-system namespace: the identity of the physical cluster. Of the host: its own, which it keeps "
            "wherever it is restored."
        ),
    ] = ""
    cluster_uid: Annotated[
        str, described("Of the host, if it manages the cluster that it runs in: the UID of kube-system there.")
    ] = msgspec.field(name="clusterUID", default="")
    platform: Annotated[Platform | UnsetType, described("What it runs on.")] = UNSET
    nodes: Annotated[int | UnsetType, described("Number of nodes, if they may be counted.")] = UNSET
    nodes_ready: Annotated[int | UnsetType, described("Nodes that are ready.")] = UNSET
    capacity: Annotated[dict[str, str], described("What its nodes have, summed.")] = {}
    allocatable: Annotated[dict[str, str], described("What of that pods may have.")] = {}
    requested: Annotated[
        dict[str, str],
        described("What pods on its nodes ask for, counted as the scheduler does; to 1 % of allocatable."),
    ] = {}
    used: Annotated[dict[str, str], described("By metrics.k8s.io, where it is served; to 5 % of allocatable.")] = {}
    api_versions: Annotated[APIVersions | UnsetType, described("The API that it serves.")] = UNSET
    observed: Annotated[str | UnsetType, described("When the inventory changed last, not when it was looked at.")] = (
        UNSET
    )
    agent: Annotated[AgentStatus | UnsetType, described("The agents of this member.")] = UNSET
    ceiling: Annotated[Ceiling | UnsetType, described("What the member's own administrator allows at most.")] = UNSET
    credentials: Annotated[CredentialsStatus | UnsetType, described("The life of the connection's credentials.")] = (
        UNSET
    )
    app_store: Annotated[ClusterAppStore | UnsetType, described("What it says itself of the App Store.")] = UNSET
    desired: Annotated[
        DesiredStatus | UnsetType, described("What the host's services want on it, and what became of it.")
    ] = UNSET


class Cluster(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A Kubernetes cluster of the federation: the host itself, or a member."""

    api_version: str = API_VERSION
    kind: str = "Cluster"
    metadata: ObjectMeta
    spec: Annotated[ClusterSpec, described("What is wanted of the cluster.")]
    status: Annotated[ClusterStatus, described("What is observed of the cluster.")] = ClusterStatus()


class JoinTokenSpec(Struct, frozen=True, kw_only=True):
    """The purpose of a join token: one of clusterName and pattern."""

    cluster_name: Annotated[str, described("The name under which the member joins.")] = ""
    pattern: Annotated[
        str, described("Names under which members join, each chosen by its agent, for example edge-*.")
    ] = ""
    uses: Annotated[
        int | UnsetType, described("With a pattern: how many agents may join with it, at most 1000. Default: 1.")
    ] = UNSET
    cluster_uid: Annotated[str, described("Only the cluster whose namespace kube-system has this UID may join.")] = (
        msgspec.field(name="clusterUID", default="")
    )
    labels: Annotated[dict[str, str], described("Labels of the Clusters that join with it.")] = {}
    ttl: Annotated[str, described("How long it may be used, for example 1h; at most 24h.")] = "1h"
    replica: Annotated[bool, described("For one more agent of a member that has joined already.")] = False
    approval: Annotated[
        bool,
        described(
            "Clusters that join with it wait until somebody approves them; they do so anyway where Setting join.approval is true."
        ),
    ] = False


class JoinTokenAgent(Struct, frozen=True, kw_only=True):
    """An agent that used a join token. It may repeat its join, with the same answer."""

    key: Annotated[str, described("Its public key.")]
    name: Annotated[str, described("The name of its cluster.")]
    at: Annotated[str, described("When it joined.")]


class JoinTokenStatus(Struct, frozen=True, kw_only=True):
    """The state of a join token."""

    token: Annotated[str | UnsetType, described("The secret, in the answer to create alone; it is not kept.")] = UNSET
    expires: Annotated[str, described("After this it is refused.")] = ""
    used: Annotated[bool, described("No other agent may use it any more.")] = False
    uses: Annotated[int, described("Agents that joined with it.")] = 0
    used_by: Annotated[str, described("Public key of the agent that used it first.")] = ""
    made: Annotated[list[str], list_set("Names of the clusters that joined with it.")] = []
    agents: Annotated[list[JoinTokenAgent], list_map("The agents that joined with it.", "key")] = []


class JoinToken(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Permission for an agent to join a member, once, or for as many agents as it says."""

    api_version: str = API_VERSION
    kind: str = "JoinToken"
    metadata: ObjectMeta
    spec: Annotated[JoinTokenSpec, described("What the token is for.")]
    status: Annotated[JoinTokenStatus, described("What became of it.")] = JoinTokenStatus()


class DelegationSubject(Struct, frozen=True, kw_only=True):
    """The object that somebody changed, in whose name it is carried on."""

    kind: Annotated[str, described("Its kind.")]
    namespace: Annotated[str, described("Its namespace.")] = ""
    name: Annotated[str, described("Its name.")]
    uid: Annotated[str, described("Its UID.")]


class Delegation(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What a token is good for that a service of the host has, to carry on what the user wanted. The host alone sets it."""

    of: Annotated[DelegationSubject, described("What the user changed.")]
    at: Annotated[str, described("When they changed it: a Revocation of later takes the token back too.")]
    clusters: Annotated[list[str], list_set("The clusters for which alone it is good.")]


class CredentialSpec(Struct, frozen=True, kw_only=True):
    """Whom a bearer token speaks for."""

    user: Annotated[str, described("The user, without the prefix skerry: that members see.")]
    groups: Annotated[
        list[str], described("Groups; skerry:view, edit, admin and cluster-admin hold on all members.")
    ] = []
    ttl: Annotated[str, described("How long it is valid, for example 8h.")] = "8h"
    delegation: Annotated[
        Delegation | UnsetType, described("Of a token of a service of the host: what it is good for, and nothing else.")
    ] = UNSET


class CredentialStatus(Struct, frozen=True, kw_only=True):
    """The life of a bearer token."""

    token: Annotated[str | UnsetType, described("The secret, in the answer to create alone; it is not kept.")] = UNSET
    expires: Annotated[str, described("After this it is refused.")] = ""


class Credential(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A bearer token of a user of the host. Its name is the digest of the secret, which is not stored."""

    api_version: str = API_VERSION
    kind: str = "Credential"
    metadata: ObjectMeta
    spec: Annotated[CredentialSpec, described("Whom the token speaks for.")]
    status: Annotated[CredentialStatus, described("The life of the token.")] = CredentialStatus()


class SettingSpec(Struct, frozen=True, kw_only=True):
    """The value of a setting."""

    value: Annotated[
        str,
        described(
            "Its value, as text: in YAML true and numbers stand in quotes. By name: "
            + "; ".join(f"{each.name}: {each.description} ({each.default})" for each in HOST_SETTINGS.values())
            + "."
        ),
    ]


class Setting(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Something that the host does otherwise than by default. Its name says what."""

    api_version: str = API_VERSION
    kind: str = "Setting"
    metadata: ObjectMeta
    spec: Annotated[SettingSpec, described("The value of the setting.")]
