"""Kinds of `skerry.dev/v1alpha1` that say who may do what: AccessGrant and Workspace. See v1alpha1."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from skerry.api.meta import Condition, ObjectMeta, Struct
from skerry.api.structural import list_map, list_set, one_of
from skerry.api.v1alpha1 import API_VERSION, described


class LabelRequirement(Struct, frozen=True, kw_only=True):
    """One requirement on a label."""

    key: Annotated[str, described("The label's key.")]
    operator: Annotated[str, one_of("How the value relates to values.", "In", "NotIn", "Exists", "DoesNotExist")]
    values: Annotated[list[str], described("For In and NotIn; empty for the others.")] = []


class LabelSelector(Struct, frozen=True, kw_only=True):
    """Requirements on objects' labels, which must all hold."""

    match_labels: Annotated[dict[str, str], described("Labels with exactly these values.")] = {}
    match_expressions: Annotated[list[LabelRequirement], described("Further requirements.")] = []


class ClusterSelection(Struct, frozen=True, kw_only=True):
    """Which clusters: exactly one of names and selector."""

    names: Annotated[list[str], list_set("These clusters, whether they have joined already or not.")] = []
    selector: Annotated[
        LabelSelector | UnsetType, described("All clusters with such labels, now and later; {} is every cluster.")
    ] = UNSET


class Subject(Struct, frozen=True, kw_only=True):
    """Whom a grant is for."""

    kind: Annotated[str, one_of("What the name is.", "User", "Group", "ServiceAccount")]
    name: Annotated[
        str, described("The name, without the prefix skerry: that members see; namespace:name for a ServiceAccount.")
    ]


class AccessGrantSpec(Struct, frozen=True, kw_only=True):
    """Who may do what, where, and until when. One of role and groups."""

    subjects: Annotated[list[Subject], described("Whom it is for. The list is owned as a whole.")]
    clusters: Annotated[ClusterSelection, described("Where it holds.")]
    role: Annotated[str | UnsetType, one_of("What they may do there.", "view", "edit", "admin", "cluster-admin")] = (
        UNSET
    )
    groups: Annotated[
        list[str], list_set("Instead of a role: groups that the members' own RBAC knows, under the prefix skerry:.")
    ] = []
    namespaces: Annotated[list[str], list_set("Only in these namespaces; empty is the whole cluster.")] = []
    expires: Annotated[str | UnsetType, described("After this time (RFC 3339) it holds no more.")] = UNSET


class GrantedCluster(Struct, frozen=True, kw_only=True):
    """A cluster of a grant."""

    name: Annotated[str, described("Its name.")]
    uid: Annotated[
        str,
        described(
            "UID of the Cluster object for which a grant by name holds; another cluster that has the name later gets nothing."
        ),
    ] = ""
    state: Annotated[
        str, described("Enforced, Applying, Waiting, Away, Problem, NoCluster, ClusterReplaced or NotSupported.")
    ] = ""
    message: Annotated[str, described("What it waits for, or what is wrong.")] = ""


class AccessGrantStatus(Struct, frozen=True, kw_only=True):
    """The state of a grant."""

    conditions: Annotated[list[Condition], list_map("Enforced, and why not.", "type")] = []
    clusters: Annotated[
        list[GrantedCluster],
        list_map(
            "Where it holds: every cluster that it names; of a selector's at most 100, those first that lack something.",
            "name",
        ),
    ] = []


class AccessGrant(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Permission for users, groups or service accounts on some clusters."""

    api_version: str = API_VERSION
    kind: str = "AccessGrant"
    metadata: ObjectMeta
    spec: Annotated[AccessGrantSpec, described("Who may do what, where, and until when.")]
    status: Annotated[AccessGrantStatus, described("What became of it.")] = AccessGrantStatus()


class WorkspaceMember(Struct, frozen=True, kw_only=True):
    """Somebody who belongs to a workspace."""

    kind: Annotated[str, one_of("What the name is.", "User", "Group", "ServiceAccount")]
    name: Annotated[str, described("The name; namespace:name for a ServiceAccount.")]
    role: Annotated[str, one_of("What they may do in its namespaces.", "view", "edit", "admin")] = "view"


class WorkspaceNamespace(Struct, frozen=True, kw_only=True):
    """A namespace of a member cluster."""

    cluster: Annotated[str, described("Name of the cluster.")]
    name: Annotated[str, described("Name of the namespace.")]
    adopt: Annotated[
        bool, described("Whether one that exists already, and is nobody's, becomes the workspace's own.")
    ] = False
    when_removed: Annotated[
        str, one_of("What becomes of it when it, or the workspace, is removed: it stays, or goes.", "Keep", "Delete")
    ] = "Keep"


class WorkspaceSpec(Struct, frozen=True, kw_only=True):
    """The content of a workspace."""

    display_name: Annotated[str, described("Its name for people.")] = ""
    members: Annotated[list[WorkspaceMember], list_map("Who belongs to it.", "kind", "name")] = []
    clusters: Annotated[ClusterSelection | UnsetType, described("Clusters that it may use.")] = UNSET
    namespaces: Annotated[list[WorkspaceNamespace], list_map("Namespaces that are its own.", "cluster", "name")] = []


class OwnedNamespace(Struct, frozen=True, kw_only=True):
    """A namespace of a workspace as it is observed."""

    cluster: Annotated[str, described("Name of the cluster.")]
    name: Annotated[str, described("Name of the namespace.")]
    uid: Annotated[
        str,
        described(
            "UID of the Cluster object that it is on, once no other workspace can have it; another cluster that has the name "
            "later gets nothing."
        ),
    ] = ""
    state: Annotated[
        str,
        described(
            "Ready if it exists and is this workspace's own: its members have their roles in no other. Else Creating, Waiting, "
            "Exists, Away, Problem, NoCluster, ClusterReplaced or NotSupported."
        ),
    ] = ""
    message: Annotated[str, described("What it waits for, or what is wrong.")] = ""


class WorkspaceStatus(Struct, frozen=True, kw_only=True):
    """The workspace as it is observed."""

    conditions: Annotated[list[Condition], list_map("Its state.", "type")] = []
    namespaces: Annotated[list[OwnedNamespace], list_map("What became of its namespaces.", "cluster", "name")] = []


class Workspace(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A tenant: people, the clusters that they use, and their namespaces there. Its name is a namespace of the host."""

    api_version: str = API_VERSION
    kind: str = "Workspace"
    metadata: ObjectMeta
    spec: Annotated[WorkspaceSpec, described("What belongs to it.")]
    status: Annotated[WorkspaceStatus, described("What is observed of it.")] = WorkspaceStatus()
