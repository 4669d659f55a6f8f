"""The kinds of the API group `skerry.dev/v1alpha1`.

Field docstrings are what `kubectl explain` prints, so they are written for the people who read that.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from skerry.api.meta import Condition, ObjectMeta, Struct

GROUP = "skerry.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


def described(text: str) -> Meta:
    """A field's description, as `kubectl explain` shows it."""
    return Meta(description=text)


class Ceiling(Struct, frozen=True, kw_only=True):
    """What a member's own administrator allows at most. The agent enforces it; the host cannot lift it."""

    read_only: Annotated[bool, described("Only get, list and watch leave the agent.")] = False
    no_exec: Annotated[bool, described("exec, attach, port-forward and proxy are refused by the agent.")] = False
    namespaces: Annotated[list[str], described("If not empty: the only namespaces that requests may name.")] = []


class Connection(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """How the host reaches the cluster."""

    mode: Annotated[
        str, described("agent: its agent dials out to the host; direct: the host dials its API server; none.")
    ]


class ClusterSpec(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What is wanted of a cluster."""

    role: Annotated[str, described("host or member. There is exactly one host.")] = "member"
    connection: Annotated[Connection, described("How the host reaches the cluster.")]
    provider: Annotated[str | UnsetType, described("Who runs it, for people and selectors, for example eks.")] = UNSET
    region: Annotated[str | UnsetType, described("Where it runs, for people and selectors.")] = UNSET


class AgentStatus(Struct, frozen=True, kw_only=True):
    """The agents of a member, as the host sees them."""

    version: Annotated[str, described("Version of the agent that was heard last.")] = ""
    replicas: Annotated[int, described("Agents connected now.")] = 0


class CredentialsStatus(Struct, frozen=True, kw_only=True):
    """The life of the credentials that the connection uses."""

    expires: Annotated[str | UnsetType, described("When they end unless they are renewed.")] = UNSET


class ClusterStatus(Struct, frozen=True, kw_only=True):
    """What is observed of a cluster."""

    conditions: Annotated[list[Condition], described("Joined, Ready and their reasons.")] = []
    kubernetes_version: Annotated[str, described("The member API server's gitVersion.")] = ""
    uid: Annotated[str, described("UID of its kube-system namespace: the identity of the physical cluster.")] = ""
    nodes: Annotated[int | UnsetType, described("Number of nodes, if the agent may count them.")] = UNSET
    agent: Annotated[AgentStatus | UnsetType, described("The agents of this member.")] = UNSET
    ceiling: Annotated[Ceiling | UnsetType, described("What the member's own administrator allows at most.")] = UNSET
    credentials: Annotated[CredentialsStatus | UnsetType, described("The life of the connection's credentials.")] = (
        UNSET
    )


class Cluster(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A Kubernetes cluster of the federation: the host itself, or a member."""

    api_version: str = API_VERSION
    kind: str = "Cluster"
    metadata: ObjectMeta
    spec: Annotated[ClusterSpec, described("What is wanted of the cluster.")]
    status: Annotated[ClusterStatus, described("What is observed of the cluster.")] = ClusterStatus()


class JoinTokenSpec(Struct, frozen=True, kw_only=True):
    """What a join token is for."""

    cluster_name: Annotated[str, described("The name under which the member joins.")]
    ttl: Annotated[str, described("How long it may be used, for example 1h; at most 24h.")] = "1h"
    replica: Annotated[bool, described("For one more agent of a member that has joined already.")] = False


class JoinTokenStatus(Struct, frozen=True, kw_only=True):
    """What became of a join token."""

    token: Annotated[str | UnsetType, described("The secret, in the answer to create alone; it is not kept.")] = UNSET
    expires: Annotated[str, described("After this it is refused.")] = ""
    used: Annotated[bool, described("A join token works once.")] = False
    used_by: Annotated[str, described("Public key of the agent that used it.")] = ""


class JoinToken(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Permission for one agent to join one member, once."""

    api_version: str = API_VERSION
    kind: str = "JoinToken"
    metadata: ObjectMeta
    spec: Annotated[JoinTokenSpec, described("What the token is for.")]
    status: Annotated[JoinTokenStatus, described("What became of it.")] = JoinTokenStatus()


class CredentialSpec(Struct, frozen=True, kw_only=True):
    """Whom a bearer token speaks for."""

    user: Annotated[str, described("The user, without the prefix skerry: that members see.")]
    groups: Annotated[
        list[str], described("Groups; skerry:view, edit, admin and cluster-admin hold on all members.")
    ] = []
    ttl: Annotated[str, described("How long it is valid, for example 8h.")] = "8h"


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
