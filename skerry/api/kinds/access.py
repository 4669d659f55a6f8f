"""Who may do what on the host, as data: kinds and their actions name the groups that they let in."""

from __future__ import annotations

from dataclasses import dataclass

from skerry.api.names import PREFIX

ROLES = ("view", "edit", "admin", "cluster-admin")
"""Of a grant, and the ClusterRoles of these names that every cluster has; the weakest first."""
VIEW, EDIT, ADMIN, CLUSTER_ADMIN = (PREFIX + role for role in ROLES)
BUILT_IN = (VIEW, EDIT, ADMIN, CLUSTER_ADMIN)
"""Groups that hold on all members, and whose ClusterRoleBindings every joined member has; the weakest first."""
HOST_VIEW = PREFIX + "host-view"
"""The group of who has a grant on the host: no credential has it, and no member knows it. It reads what kinds let it."""
EVERYBODY = ("system:authenticated",)
"""The group that every caller is in, as Kubernetes names it."""

READ = ("get", "list", "watch")


@dataclass(frozen=True, kw_only=True)
class Access:
    """Verbs that a kind allows to members of any of these groups. CLUSTER_ADMIN may do everything, unsaid."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]


READ_BY_ROLES = (Access(verbs=READ, groups=(*BUILT_IN, HOST_VIEW)),)
"""Whoever holds a role on members, or on the host, reads it."""
READ_ON_HOST = (Access(verbs=READ, groups=(HOST_VIEW,)),)
"""Whoever holds a role on the host reads it."""
CREATED_BY_EVERYBODY = (Access(verbs=("create",), groups=EVERYBODY),)
"""Questions about oneself."""
