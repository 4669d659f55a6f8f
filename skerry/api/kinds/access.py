"""Who may do what on the host, as data: kinds name the groups that they let in, and the ties by which an object is somebody's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skerry.api.names import PREFIX

ROLES = ("view", "edit", "admin", "cluster-admin")
"""Of a grant, and the ClusterRoles of these names that every cluster has; the weakest first."""
VIEW, EDIT, ADMIN, CLUSTER_ADMIN = (PREFIX + role for role in ROLES)
BUILT_IN = (VIEW, EDIT, ADMIN, CLUSTER_ADMIN)
"""Groups that hold on all members, and whose ClusterRoleBindings every joined member has; the weakest first."""
HOST_VIEW = PREFIX + "host-view"
"""The group of who has a grant on the host: no credential has it, and no member knows it. It reads what kinds let it."""
HOST_GROUPS = (AUDITOR, MONITOR, APP_REVIEWER) = tuple(PREFIX + name for name in ("auditor", "monitor", "app-reviewer"))
"""Groups that count on the host alone, and give there what kinds let them: of a credential, or of a grant on the host."""
EVERYBODY = ("system:authenticated",)
"""The group that every caller is in, as Kubernetes names it."""

READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
PLACED = ("pool", "workspace")
"""Ties to all that lies in a namespace."""


@dataclass(frozen=True, kw_only=True)
class Tie:
    """How an object may be a caller's own, or of their business."""

    by: Literal["cluster", "giver", "pool", "subjects", "user", "workspace"]
    """`cluster`: it is a Cluster on which the caller has something. `workspace`: it is the Workspace, or the Namespace of that
    name, or lies in the Namespace, of one that the caller is a member of; of what lies in there, a built-in group counts as
    its role in every workspace. `pool`: it is the Namespace POOL, or lies in there, and the caller has a role anywhere, or is a member of
    any workspace. `user`: its `path` names the caller. `subjects`: the list at `path` names the caller, or a group of theirs,
    as a Subject. `giver`: it is an AccessGrant or an AccessRequest for clusters that the list at `path` names, and the caller
    could give what it gives or asks for.
    """
    path: str = ""
    roles: tuple[str, ...] = ROLES[:3]
    """Of a workspace: those that are enough."""

    @property
    def written(self) -> bool:
        """True if the object itself says whom it is tied to."""
        return bool(self.path)

    @property
    def placed(self) -> bool:
        """True if the namespace alone decides, of objects that lie in one: also of one that is still to be made."""
        return self.by in PLACED


REACHED = Tie(by="cluster")
OF_WORKSPACE = Tie(by="workspace")
OF_POOL = Tie(by="pool")


def subjects_at(path: str) -> Tie:
    """Whoever is named by the list of Subjects at `path`."""
    return Tie(by="subjects", path=path)


def user_at(path: str) -> Tie:
    """The user whose name is at `path`."""
    return Tie(by="user", path=path)


def giver_at(path: str) -> Tie:
    """Whoever could give what a grant gives, or a request asks for, on the clusters that are named at `path`."""
    return Tie(by="giver", path=path)


OBJECT_VERBS = ("delete", "deletecollection", "get", "list", "patch", "update", "watch")
"""Verbs that any tie can allow: there is an object. A list, a watch, or a deletion of many by a tie has the objects that are tied.
`create` follows from ties alone that are `placed`, of kinds that are namespaced.
"""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Verbs that a kind allows with all its objects to members of any of these groups, and with a single one to whom it is
    tied in any of these ways. CLUSTER_ADMIN may do everything, unsaid.
    """

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    ties: tuple[Tie, ...] = ()


READ_ON_HOST = Access(verbs=READ, groups=(HOST_VIEW,))
"""Whoever holds a role on the host reads it."""
READ_BY_ROLES = Access(verbs=READ, groups=(*BUILT_IN, HOST_VIEW))
"""Whoever holds a role on all members, or on the host, reads it."""
READ_BY_EVERYBODY = Access(verbs=READ, groups=EVERYBODY)
CREATED_BY_EVERYBODY = Access(verbs=("create",), groups=EVERYBODY)
"""Questions about oneself."""
WRITTEN_BY_WHO_HOLDS = Access(verbs=("create", "delete", "patch", "update"), groups=EVERYBODY)
"""Everybody may try: the owner looks at what is given, and at what the writer holds (skerry/access/escalation.py)."""
CLEARED_BY_WHO_COULD_GIVE = Access(verbs=("deletecollection",), ties=(giver_at("spec.clusters.names"),))
"""Of many at once, those go that the caller could have written."""
CHANGED_BY_ITS_ADMINS = Access(verbs=("patch", "update"), ties=(Tie(by="workspace", roles=("admin",)),))
"""What of it, its owner looks at."""


def read_by(*ties: Tie) -> Access:
    """Whoever is tied to an object reads it."""
    return Access(verbs=READ, ties=ties)


READ_IN_NAMESPACES = read_by(OF_WORKSPACE, OF_POOL)
"""Of a namespaced kind: members of the workspace read it, and what is in the pool nearly everybody."""


def written_by(*roles: str, verbs: tuple[str, ...] = WRITE) -> Access:
    """Of a namespaced kind: members of the workspace with one of these roles write it. In the pool, and in `default`, they do not."""
    return Access(verbs=verbs, ties=(Tie(by="workspace", roles=roles),))
